"""Contact sheets: simulated galaxies, and prior draws of dust beside what is true."""

from collections.abc import Sequence

import numpy as np
from astropy.visualization import make_lupton_rgb
from matplotlib.figure import Figure

from dustpost.simulate.suite import Cube

COLUMNS = 10
CLEAR = {"origin": "lower", "vmin": 0, "vmax": 1, "cmap": "magma"}


def contact_sheet(cubes: Sequence[Cube]) -> Figure:
    """Show galaxies in four lines each: without dust, with dust, S, D.

    Parameters
    ----------
    cubes : sequence of Cube
        Their first three bands are shown as blue, green and red.
    """
    rows = -(-len(cubes) // COLUMNS)
    figure = Figure(figsize=(COLUMNS, 4 * rows + 0.2))
    axes = figure.subplots(4 * rows, COLUMNS, squeeze=False)
    for number, cube in enumerate(cubes):
        row, column = divmod(number, COLUMNS)
        bright = np.quantile(np.asarray(cube.free)[1], 0.98)
        cell = axes[4 * row : 4 * row + 4, column]
        for axis, image in zip(cell, (cube.free, cube.clean), strict=False):
            blue, green, red = np.maximum(np.asarray(image)[:3], 1e-12) / bright
            colours = make_lupton_rgb(0.9 * red, green, 1.5 * blue, stretch=0.6, Q=8)
            axis.imshow(colours, origin="lower")
        cell[2].imshow(_stretched(cube.host), origin="lower", cmap="gray")
        cell[3].imshow(np.asarray(cube.transmission), **CLEAR)
    return _bare(figure, axes)


def prior_sheet(hosts: np.ndarray, truths: np.ndarray, draws: np.ndarray) -> Figure:
    """Show each host above its true D and draws of D, unmarked: tell them apart who can.

    Parameters
    ----------
    hosts, truths : ndarray, (n, y, x)
    draws : ndarray, (n, draw, y, x)
    """
    lines = 2 + draws.shape[1]
    figure = Figure(figsize=(len(hosts), lines + 0.1))
    axes = figure.subplots(lines, len(hosts), squeeze=False)
    for column, (host, truth, drawn) in enumerate(zip(hosts, truths, draws, strict=True)):
        axes[0, column].imshow(_stretched(host), origin="lower", cmap="gray")
        for axis, image in zip(axes[1:, column], [truth, *drawn], strict=True):
            axis.imshow(image, **CLEAR)
    return _bare(figure, axes)


def _stretched(host) -> np.ndarray:
    light = np.asarray(host)
    return np.arcsinh(50 * light / light.max())


def _bare(figure, axes):
    for axis in axes.ravel():
        axis.set_axis_off()
    figure.subplots_adjust(0, 0, 1, 1, 0.02, 0.02)
    return figure
