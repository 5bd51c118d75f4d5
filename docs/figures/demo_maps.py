"""The README's picture: the dust maps of a run of the demo, and their truth.

dustpost demo --out out && python docs/figures/demo_maps.py out/demo
"""

import sys
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from dustpost.io.netcdf import open_posterior
from dustpost.io.read import read
from dustpost.plots.maps import dust_plot, truth_plot
from dustpost.plots.style import save_png


def main(folder: Path) -> None:
    tree = open_posterior(folder / "posterior.nc")
    cutout = read([files("dustpost") / "data" / "demo.fits"])
    for name, figure in (("maps", dust_plot(tree, cutout)), ("truth", truth_plot(tree, cutout))):
        image = Image.open(BytesIO(save_png(figure))).convert("P", palette=Image.Palette.ADAPTIVE)
        image.save(Path(__file__).with_name(f"demo_{name}.png"), optimize=True)
    compare(tree, cutout)


def compare(tree, cutout) -> None:
    """Print how the maps meet the truth, weighted by the true host's light."""
    maps, light = tree["maps"], cutout.truth.host
    truth = -2.5 * np.log10(cutout.truth.transmission)
    inside = (maps["A_q16"].values < truth) & (truth < maps["A_q84"].values)
    mean = maps["A_mean"].values
    bright = light > np.quantile(light, 0.75)
    print(f"light whose A lies within 16-84 %: {np.sum(light * inside):.2f}")
    print(f"rms error of A, light-weighted: {np.sqrt(np.sum(light * (mean - truth) ** 2)):.3f} mag")
    correlation = np.corrcoef(mean[bright], truth[bright])[0, 1]
    print(f"correlation of A, brightest quarter of the pixels: {correlation:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
