"""The README's real galaxies: each in colour, its dust with errors, and what the model misses.

dustpost sample ... --out out      (of each, see the README)
python docs/figures/real_galaxies.py ../shared/data/real out/NAME [out/NAME#x,y ...]

#x,y is the pixel that was given as --pixel, and stays out of the folder's name. Prints the numbers
of the README's table.
"""

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from dustpost.diagnostics.fit import fit
from dustpost.diagnostics.summary import summarise
from dustpost.io.cutout import Cutout
from dustpost.io.netcdf import open_posterior
from dustpost.io.read import read
from dustpost.plots.maps import DUST, SPREAD, colour_composite
from dustpost.plots.style import (
    INK,
    bare,
    image,
    light_contours,
    new_figure,
    save_png,
    scale_bar,
    styled,
)

SHOWN = ("mean_attenuation", "delta", "covering_fraction")


@styled
def picture(galaxies: list[tuple[str, Cutout, xr.DataTree]]) -> Figure:
    """A row a galaxy."""
    figure = new_figure(11.2, 2.3 * len(galaxies))
    axes = figure.subplots(len(galaxies), 5, squeeze=False)
    for row, (name, cutout, tree) in zip(axes, galaxies, strict=True):
        maps = {key: tree["maps"][key].values for key in ("A_mean", "A_sd", "A_inform", "S_mean")}
        matters = maps["S_mean"] > np.quantile(maps["S_mean"], 0.5)
        top = max(0.1, float(np.quantile(maps["A_mean"][matters], 0.995)))
        row[0].imshow(colour_composite(cutout))
        bare(row[0], name.replace(" Survey, pixel", ""))
        scale_bar(row[0], cutout)
        image(row[1], maps["A_mean"], "A, posterior mean", DUST, (0.0, top), "mag")
        image(row[2], maps["A_sd"], "A, posterior sd", SPREAD, (0.0, top), "mag")
        image(row[3], maps["A_inform"], "posterior / prior sd of A", SPREAD, (0.0, 1.0))
        found = fit(tree)
        worst = int(np.argmax(found.band_chi2))
        label = f"(data - model) / sd, {cutout.bands[worst]}"
        image(row[4], found.residual[worst], label, "RdBu_r", (-4.0, 4.0))
        for panel in row[1:4]:
            light_contours(panel, maps["S_mean"], INK)
    return figure


def numbers(name: str, tree: xr.DataTree) -> str:
    """A row of the table."""
    found, every = fit(tree), summarise(tree)
    rows = {row.name: row for row in every}
    cells = [f"{rows[key].mean:.3f} ± {rows[key].sd:.3f}" for key in SHOWN]
    cells += [f"{found.chi2:.2f}", f"{float(tree['sample_stats']['acceptance_joint'].mean()):.2f}"]
    cells += [f"{max(row.rhat for row in every):.2f}", f"{min(row.ess_bulk for row in every):.0f}"]
    return " | ".join(["", name, *cells, ""]).strip()


def main(data: Path, folders: list[str]) -> None:
    galaxies = []
    for text in folders:
        folder, _, pixel = text.partition("#")
        folder = Path(folder)
        place = tuple(float(value) for value in pixel.split(",")) if pixel else None
        name = f"Legacy Survey, pixel {pixel}" if pixel else folder.name
        inputs = [data / f"{folder.name}.fits"]
        inputs += sorted(data.glob(folder.name.replace("grz", "copsf") + ".fits")) if pixel else []
        galaxies.append((name, read(inputs, pixel=place), open_posterior(folder / "posterior.nc")))
        print(numbers(name, galaxies[-1][2]), flush=True)
    figure = save_png(picture(galaxies))
    shown = Image.open(BytesIO(figure)).convert("P", palette=Image.Palette.ADAPTIVE)
    shown.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
