"""Claim: a few smooth functions hold most of a host's colour field, and their sds are known.

    python benchmarks/colour_field.py [--galaxies 120] [--seed 5] [--data ../shared/data]

Dust-free light of simulated galaxies, three views each, without noise or PSF: the tilt of the
spectrum g(y, x) by least squares (HSC's five bands) over the pixels that hold 90 %
of the light, its light-weighted mean taken off. Written are its rms over views (and quantiles),
the share of the colours' variance that a tilt explains, the rms of its coefficient of every
function of `dustpost.colour`, made from the light behind the dust as a fit makes them, the mean
of the first, over all views and over the thirds of them whose tilt is weak, middling and strong,
with its sd there, and the rms that is left; with --data of the RADMC-3D views too, which had no
part in the choice of `SPREAD` and `CENTRE`. Writes colour_field.json.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from model_error import bright

from dustpost import colour
from dustpost.io.cutout import Cutout
from dustpost.reproduce.sources import View, find_views

LOG = Path(__file__).with_suffix(".json")
BANDS = 5  # the reddest of a view's: HSC has no u
FAINTEST = 1e-12  # of the galaxy's flux; below it a logarithm means nothing
QUANTILES = (0.16, 0.5, 0.84)


def tilt(cutout: Cutout) -> tuple[np.ndarray, np.ndarray, float]:
    """g (y, x) and its weights, of unit sum, and the share of the colours' variance it explains."""
    truth = cutout.truth
    light = (cutout.data * 10 ** (0.4 * truth.attenuation))[-BANDS:].astype(float)
    weight = bright(cutout)
    log = np.log(np.maximum(light, FAINTEST))
    log = log - (log * weight).sum(axis=(1, 2), keepdims=True)
    log = log - log.mean(axis=0)  # what all bands share is the host's shape
    wave = colour.reddening(np.asarray(cutout.wavelength, float)[-BANDS:])
    found = np.tensordot(wave, log, 1) / (wave @ wave)
    rest = log - wave[:, None, None] * found
    return found, weight, 1 - (weight * rest**2).sum() / max((weight * log**2).sum(), 1e-30)


def measure(views: list[View]) -> dict:
    """Statistics of the tilt over views."""
    rms, explained, coefficients, left = [], [], [], []
    for view in views:
        cutout = view.read(False)
        found, weight, share = tilt(cutout)
        seen = np.maximum(cutout.data[-BANDS:].astype(float), 0.0)
        phi = colour.functions((seen / seen.sum(axis=(1, 2), keepdims=True)).mean(axis=0))
        # their norm is under the light that is seen, of all pixels: least squares here
        root = np.sqrt(weight).ravel()
        best = np.linalg.lstsq(root[:, None] * phi.reshape(len(phi), -1).T, root * found.ravel())[0]
        rest = found - np.tensordot(best, phi, 1)
        rms.append(np.sqrt((weight * found**2).sum()))
        left.append(np.sqrt((weight * rest**2).sum()))
        explained.append(share)
        coefficients.append(best)
    total = lambda values: round(float(np.sqrt(np.mean(np.square(values)))), 4)  # noqa: E731
    first = np.array(coefficients)[:, 0]
    thirds = [first[part] for part in np.array_split(np.argsort(rms), 3)]
    return dict(
        views=len(views),
        rms=total(rms),
        rms_quantiles=np.quantile(rms, QUANTILES).round(4).tolist(),
        explained=round(float(np.median(explained)), 4),
        left=total(left),
        coefficients=[total(row) for row in np.transpose(coefficients)],
        mean_of_first=round(float(first.mean()), 4),
        mean_of_first_by_thirds=[round(float(part.mean()), 4) for part in thirds],
        sd_of_first_by_thirds=[round(float(part.std()), 4) for part in thirds],
    )


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxies", type=int, default=120)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--data", default=os.environ.get("DUSTPOST_DATA", "../shared/data"))
    options = parser.parse_args()
    report = dict(galaxies=options.galaxies, seed=options.seed, quantiles=QUANTILES)
    report["simulated"] = measure(find_views(None, options.galaxies, 3, options.seed))
    folder = Path(options.data) / "rt"
    if folder.is_dir():
        report["radmc"] = measure(find_views(folder, 99, 3, 0))
    report |= dict(spread=colour.spreads().tolist(), centre=colour.CENTRE, scales=colour.SCALES)
    LOG.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
