"""Claim: one attenuation slope a galaxy is not what pixels have: deep dust is greyer than thin.

    python -m benchmarks.curve_flattens [--galaxies 66] [--seed 77] [--data ../shared/data]

In every pixel that holds at least `FAINT` of the brightest one's light, the slope delta whose curve
(Siegel & Melchior 2024, Eq. 5) is nearest to the pixel's attenuation in HSC's five bands, of true
attenuations without PSF and noise; its mean, weighted by light, in bins of A at the pivot; median
and scatter of that over views, simulated ones, one a galaxy, and with --data RADMC-3D's. Stars
between the dust do that, of which the nearest dominate where it is deep, and light scattered to
where it is thin (Witt & Gordon 2000; Chevallard et al. 2013). The rise is the slope of a line
through the medians from `FROM` mag on, by ln A: A_i would be proportional to
A^(1 + rise ln(l_i / l_0)). Writes curve_flattens.json.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np

from dustpost.attenuation import PIVOT, band_attenuation
from dustpost.io.cutout import Cutout
from dustpost.io.read import to_observation
from dustpost.reproduce.sources import find_views

RESULT = Path(__file__).with_suffix(".json")
EDGES = np.array([0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0])  # of A, mag
FROM = 0.12
SLOPES = np.linspace(-2.5, 1.2, 75)
FAINT = 0.01
FEWEST = 4  # pixels in a bin
BANDS = 5  # the reddest of a view's: HSC has no u


def by_depth(cutout: Cutout) -> np.ndarray:
    """Mean slope of the pixels in each bin of A, nan where there are too few."""
    seen = to_observation(cutout)
    k = np.stack([np.asarray(band_attenuation(seen.wavelength, seen.weight, s)) for s in SLOPES])
    depth = np.asarray(cutout.truth.attenuation, float)
    pivot = depth[int(np.argmin(np.abs(cutout.wavelength - PIVOT)))]
    light = np.maximum(np.asarray(cutout.data, float)[-BANDS:], 0.0).mean(axis=0)
    some = (light > FAINT * light.max()) & (pivot > EDGES[0])
    of_curve = k[:, -BANDS:, None] * pivot[some]
    error = np.square(depth[-BANDS:][:, some] - of_curve).sum(axis=1)
    slope, bins = SLOPES[error.argmin(axis=0)], np.digitize(pivot[some], EDGES) - 1
    found = np.full(len(EDGES) - 1, np.nan)
    for number in range(len(found)):
        if np.sum(bins == number) >= FEWEST:
            found[number] = np.average(slope[bins == number], weights=light[some][bins == number])
    return found


def measure(views: list) -> dict:
    """Medians over views, and how the slope rises."""
    found = np.array([by_depth(view.read(False)) for view in views])
    counts = np.isfinite(found).sum(axis=0)
    medians, scatter = np.nanmedian(found, axis=0), np.nanstd(found, axis=0)
    middle = np.log(np.sqrt(EDGES[1:] * EDGES[:-1]))
    use = (EDGES[:-1] >= FROM) & (counts >= FEWEST)
    rise, at_one = np.polyfit(middle[use], medians[use], 1)
    return dict(
        views=counts.tolist(),
        slope_median=medians.round(2).tolist(),
        slope_sd=scatter.round(2).tolist(),
        rise=round(float(rise), 3),
        slope_at_1_mag=round(float(at_one), 3),
    )


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=66)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--data", default=os.environ.get("DUSTPOST_DATA", "../shared/data"))
    options = parser.parse_args()
    record = dict(galaxies=options.galaxies, seed=options.seed, edges=EDGES.tolist())
    record["simulated"] = measure(find_views(None, options.galaxies, 1, options.seed))
    if (folder := Path(options.data) / "rt").is_dir():
        record["radmc"] = measure(find_views(folder, 99, 3, 0))
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
