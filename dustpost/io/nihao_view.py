"""One NIHAO-SKIRT galaxy from one side: its field of view, its pixels and its truth.

    S = dust-free r / sum,    D = dusty / dust-free at g,

and the rest as `simulated` says. The field is a centred square, resampled to 64x64 with its
flux kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dustpost.bands import effective_wavelength
from dustpost.errors import DustpostError
from dustpost.io.box import SIDE
from dustpost.io.cutout import Truth
from dustpost.io.nihao_table import Table
from dustpost.io.resample import central_width, resample
from dustpost.io.simulated import attenuation_of, remove_gradients, transmission_of, truth_of

FILTERS = {
    "FUV": "galex-fuv",
    "NUV": "galex-nuv",
    "u": "sdss2010-u",
    "g": "sdss2010-g",
    "r": "sdss2010-r",
    "i": "sdss2010-i",
    "z": "sdss2010-z",
    "J": "twomass-J",
    "H": "twomass-H",
    "Ks": "twomass-Ks",
}
"""Speclite's name of each band in the range of the attenuation curve."""

LIGHT = 0.99
"""Share of the dust-free g light inside the default field, in every view."""


class View(NamedTuple):
    """One galaxy from one side.

    Attributes
    ----------
    name : str
        The galaxy's, such as g1.88e10.
    orientation : int
        Row in SUMMARY, from 0.
    axis_ratio, av : float
        Projected b/a, and attenuation in V in mag of the whole image, as the file has them.
    bands : tuple of str
        Speclite names.
    wavelength : ndarray, (band,)
        Effective wavelengths in micron.
    dusty, free : ndarray, (band, 64, 64), float64
        Flux per pixel with and without dust, in `unit`.
    unit : str
    pixel : float
        Side of a pixel in pc.
    truth : Truth
    """

    name: str
    orientation: int
    axis_ratio: float
    av: float
    bands: tuple[str, ...]
    wavelength: np.ndarray
    dusty: np.ndarray
    free: np.ndarray
    unit: str
    pixel: float
    truth: Truth


def check_bands(bands: Sequence[str]) -> None:
    """Refuse bands that cannot be used.

    Raises
    ------
    DustpostError
        None, an unknown one, or one twice.
    """
    known = ", ".join(FILTERS)
    if not bands:
        raise DustpostError(f"no band is asked for: choose from {known}")
    for band in bands:
        if band not in FILTERS or bands.count(band) > 1:
            what = "is asked for twice" if band in FILTERS else "cannot be used"
            raise DustpostError(f"band {band!r} {what}: choose from {known}, each once")


def field_width(table: Table, field: float | str | None) -> float:
    """Side of the field in pixels of the file.

    Parameters
    ----------
    table : Table
        Its first band is g.
    field : float or "all" or None
        Side in pc, the whole image, or 99 % of the light.

    Raises
    ------
    DustpostError
        It is no side in pc within the image.
    """
    pixels = table.free.shape[-1]
    if field is None:
        return float(central_width(table.free[:, 0], LIGHT))
    if field == "all":
        return float(pixels)
    if isinstance(field, str) or not 0 < field <= table.size:
        raise DustpostError(
            f"{table.path}: the field is {field!r}, expected 'all' or a side in pc up to the "
            f"image's {table.size:g}"
        )
    return field / table.size * pixels


def make_view(
    table: Table, number: int, width: float, bands: tuple[str, ...], monochromatic: bool
) -> View:
    """Resample one orientation and work out its truth.

    Parameters
    ----------
    table : Table
        Its first bands are g and r.
    number : int
        Row of the table, from 0.
    width : float
        Side of the field in pixels of the file.
    bands : tuple of str
        Those of the table's bands that the view is to have.
    monochromatic : bool
        Take the host's colour gradients away.

    Raises
    ------
    DustpostError
        There is no light in the field.
    """
    dusty, free = (resample(cube[number], width, SIDE) for cube in (table.dusty, table.free))
    pixel = width / SIDE * table.size / table.free.shape[-1]
    if not free.any(axis=(1, 2)).all():
        raise DustpostError(
            f"{table.path}, HDU SUMMARY: row {number} (from 0) of the column 'flux_nodust' is "
            f"dark in the central {SIDE * pixel:g} pc: choose a larger field"
        )
    host = free[1] / free[1].sum()
    if monochromatic:
        dusty, free = remove_gradients(dusty, free, host)
    transmission = transmission_of(attenuation_of(dusty[0], free[0]))
    keep = [table.bands.index(band) for band in bands]
    names = tuple(FILTERS[band] for band in bands)
    wavelength = np.array([effective_wavelength(name) for name in names])
    dusty, free = dusty[keep], free[keep]
    return View(
        name=table.name,
        orientation=number,
        axis_ratio=float(table.axis_ratio[number]),
        av=float(table.av[number]),
        bands=names,
        wavelength=wavelength,
        dusty=dusty,
        free=free,
        unit=table.unit,
        pixel=pixel,
        truth=truth_of(dusty, free, names, wavelength, host, transmission),
    )
