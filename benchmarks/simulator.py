"""Claim: simulated galaxies look like galaxies, cover the RADMC-3D set, and cost < 50 ms.

    python benchmarks/simulator.py --out docs/figures [--data ../shared/data]

Writes a contact sheet of 40 galaxies and simulator.json: milliseconds per
galaxy, and quantiles of mean attenuation and covering fraction beside those
of the RADMC-3D views.
"""

import argparse
import json
import os
import time
from pathlib import Path

import jax
import matplotlib
import numpy as np
from astropy.io import fits

from dustpost.simulate.suite import draw_pairs

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

QUANTILES = (0.05, 0.16, 0.5, 0.84, 0.95)


def summaries(host, transmission) -> dict:
    """Quantiles of the light-weighted mean attenuation and of the covering fraction."""
    depth = -2.5 * np.log10(np.clip(transmission, 1e-6, 1.0))
    mean, cover = (host * depth).sum(axis=(1, 2)), (host * (depth > 0.05)).sum(axis=(1, 2))
    return {
        "mean_attenuation": np.quantile(mean, QUANTILES).round(4).tolist(),
        "covering_fraction": np.quantile(cover, QUANTILES).round(4).tolist(),
    }


def main() -> None:
    """Draw, time, compare, plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", default=os.environ.get("DUSTPOST_DATA", "../shared/data"))
    options = parser.parse_args()
    key, count = jax.random.key(21), 400
    host, transmission = jax.block_until_ready(draw_pairs(key, count))
    start = time.perf_counter()
    jax.block_until_ready(draw_pairs(key, count))
    cost = 1e3 * (time.perf_counter() - start) / count
    host, transmission = np.asarray(host), np.asarray(transmission)
    report = {"ms_per_galaxy": round(cost, 1), "quantiles": QUANTILES}
    report["simulator"] = summaries(host, transmission)
    views = [fits.open(path) for path in sorted((Path(options.data) / "rt").glob("*.fits"))]
    if views:
        lights = np.array([view["TRUE_HOST"].data for view in views], np.float32)
        maps = np.array([view["TRUE_TRANS"].data for view in views], np.float32)
        report["radmc"] = summaries(lights, maps)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "simulator.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))

    figure, axes = plt.subplots(8, 10, figsize=(10, 8.1))
    for number in range(40):
        row, column = 2 * (number // 10), number % 10
        light = np.arcsinh(50 * host[number] / host[number].max())
        axes[row, column].imshow(light, origin="lower", cmap="gray")
        axes[row + 1, column].imshow(
            transmission[number], origin="lower", vmin=0, vmax=1, cmap="magma"
        )
    for axis in axes.ravel():
        axis.set_axis_off()
    figure.tight_layout(pad=0.1)
    figure.savefig(options.out / "simulated_galaxies.png", dpi=80)


if __name__ == "__main__":
    main()
