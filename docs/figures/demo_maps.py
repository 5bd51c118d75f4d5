"""The README's picture: the dust maps of a run of the demo, and their truth.

dustpost demo --out out && python docs/figures/demo_maps.py out/demo
"""

import sys
from importlib.resources import files
from io import BytesIO
from pathlib import Path

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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
