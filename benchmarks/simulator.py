"""Claim: simulated galaxies look like galaxies, cover the RADMC-3D set, and cost < 0.5 s.

    python benchmarks/simulator.py --out docs/figures [--data ../shared/data]

Writes a contact sheet of 40 galaxies (dust-free, dusty, S, D) and simulator.json:
seconds a pair and a cube, and for each statistic of dustpost.simulate.statistics, and
for the colours of the dust-free galaxies, the quantiles of simulated and RADMC-3D views,
their Kolmogorov-Smirnov distance, and the share of RADMC-3D views outside the central
99 % of simulated ones.
"""

import argparse
import json
import os
import time
from pathlib import Path

import jax
import numpy as np
from astropy.io import fits
from scipy.stats import ks_2samp

from dustpost.io.simulated import fit_slope
from dustpost.plots import contact_sheet
from dustpost.simulate import suite
from dustpost.simulate.statistics import colour_scatter, dust_statistics

WAVELENGTHS = (0.4754, 0.62, 0.77, 0.89, 0.98)  # of the RADMC-3D views but u, micron
NAMES = ("g", "r", "i", "z", "y")
QUANTILES = (0.05, 0.16, 0.5, 0.84, 0.95)
DUSTY = 0.03  # mag of mean attenuation, below which a slope means nothing
SHOWN = 40


@jax.jit
def draw(key):
    """One galaxy in the bands of the RADMC-3D views."""
    structure = suite.draw_structure(key)
    numbers = structure.parameters
    spectra = suite.draw_spectra(key, numbers, WAVELENGTHS)
    dust = suite.dust_of(numbers.grains, (suite.PIVOT, *WAVELENGTHS))
    return suite.simulate_cube(structure, spectra, dust)


def describe(host, transmission, free, attenuation) -> dict[str, float]:
    """All statistics of one galaxy; images (y, x), cubes (band, y, x) of g r i z y."""
    numbers = dust_statistics(host, transmission)
    mean = (host * attenuation).sum(axis=(1, 2))
    slope = fit_slope(mean, NAMES, np.asarray(WAVELENGTHS))
    dusty = slope is not None and numbers["mean_attenuation"] > DUSTY
    magnitude = -2.5 * np.log10(free.sum(axis=(1, 2)))
    return numbers | {
        "slope": slope if dusty else float("nan"),
        "colour_scatter": colour_scatter(free[0], free[2]),
        "g_r": float(magnitude[0] - magnitude[1]),
        "r_z": float(magnitude[1] - magnitude[3]),
    }


def radmc(folder: Path) -> list[dict[str, float]]:
    """Statistics of the RADMC-3D views."""
    rows = []
    for path in sorted((folder / "rt").glob("*.fits")):
        with fits.open(path) as view:
            images = [np.asarray(view[name].data, float) for name in ("TRUE_HOST", "TRUE_TRANS")]
            cubes = [np.asarray(view[name].data, float)[1:] for name in ("DUSTFREE", "TRUE_A")]
            rows.append(describe(*images, *cubes))
    return rows


def compare(ours: list[dict], theirs: list[dict]) -> dict:
    """Two-sample comparison of every statistic, NaNs left out."""
    report = {}
    for name in ours[0]:
        one, other = (np.array([row[name] for row in rows]) for rows in (ours, theirs))
        one, other = one[np.isfinite(one)], other[np.isfinite(other)]
        low, high = np.quantile(one, [0.005, 0.995])
        test = ks_2samp(one, other)
        report[name] = {
            "simulated": np.quantile(one, QUANTILES).round(3).tolist(),
            "radmc": np.quantile(other, QUANTILES).round(3).tolist(),
            "counts": [len(one), len(other)],
            "ks": round(float(test.statistic), 3),
            "p": float(f"{test.pvalue:.2g}"),
            "outside": round(float(np.mean((other < low) | (other > high))), 3),
        }
    return report


def seconds_of(work, count: int) -> float:
    """Seconds a galaxy, compilation not counted."""
    jax.block_until_ready(work(0))
    start = time.perf_counter()
    jax.block_until_ready([work(number) for number in range(1, 3)])
    return (time.perf_counter() - start) / (2 * count)


def main() -> None:
    """Draw, time, compare, plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", default=os.environ.get("DUSTPOST_DATA", "../shared/data"))
    parser.add_argument("--galaxies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=21)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    root = jax.random.key(options.seed)
    report = {"seed": options.seed, "galaxies": options.galaxies, "quantiles": QUANTILES}
    keys = jax.random.split(root, options.galaxies)
    pairs = seconds_of(lambda n: suite.draw_pairs(jax.random.fold_in(root, n), 32), 32)
    report["seconds_a_pair"] = round(pairs, 4)
    report["seconds_a_cube"] = round(seconds_of(lambda n: draw(keys[n]), 1), 4)
    report["hours_for_20000_pairs_on_one_core"] = round(20_000 * pairs / 3600, 2)

    rows, shown = [], []
    for key in keys:
        cube = draw(key)
        images = (cube.host, cube.transmission, cube.free, cube.attenuation)
        rows.append(describe(*(np.asarray(image, float) for image in images)))
        if len(shown) < SHOWN:
            shown.append(cube)
    contact_sheet(shown).savefig(options.out / "simulated_galaxies.png", dpi=80)
    theirs = radmc(Path(options.data))
    if theirs:
        report["statistics"] = compare(rows, theirs)
    (options.out / "simulator.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
