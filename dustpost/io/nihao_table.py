"""The tables of one NIHAO-SKIRT file, checked before any of it is used.

Faucher et al. 2023 (ApJ 957, 7), ``[name]_nihao-resolved-photometry.fits``: table GALAXIES
(the galaxy) and table SUMMARY, one row per orientation, with

- ``name``, ``axis_ratio`` (b/a), ``Av`` (mag), ``size`` (side of the image in pc);
- ``bands``: 20 names, FUV NUV u g r i z 2MASS_J 2MASS_H 2MASS_KS W1 ... SPIRE500;
- ``flux``, ``flux_nodust``: (band, N, N) with N = 500, shaped by TDIM.

The catalogue calls the unit Jy. The script that wrote it stored the surface brightness that
SKIRT gives, averaged over 4x4 pixels, so it may be MJy/sr. All pixels of a file are equally
large, and only the unit of F hangs on it: S, D, A and colours do not. Bands are found by
name and not by place, so a file with more or fewer bands is read as well.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dustpost.io.fitsfile import FitsFile, open_fits

UNIT = "Jy"


class Table(NamedTuple):
    """One galaxy as the file has it.

    Attributes
    ----------
    path : Path
    bands : tuple of str
        Letters of the bands that were asked for.
    name : str
        The galaxy's, such as g1.88e10.
    axis_ratio, av : ndarray, (view,)
        Projected b/a, and attenuation in V in mag.
    size : float
        Side of the images in pc.
    unit : str
    dusty, free : ndarray, (view, band, N, N), float32
        With and without dust.
    """

    path: Path
    bands: tuple[str, ...]
    name: str
    axis_ratio: np.ndarray
    av: np.ndarray
    size: float
    unit: str
    dusty: np.ndarray
    free: np.ndarray


def read_table(path: Path, bands: Sequence[str]) -> Table:
    """Read some bands of all orientations.

    Parameters
    ----------
    path : Path
    bands : sequence of str
        Letters: FUV NUV u g r i z J H Ks.

    Raises
    ------
    DustpostError
        The file cannot be read, or is not as the module says.
    """
    with open_fits(path) as file:
        for name in ("GALAXIES", "SUMMARY"):
            if file.find(name) is None:
                raise file.error(
                    f"has no table {name}, expected GALAXIES and SUMMARY as in "
                    "[name]_nihao-resolved-photometry.fits: is it another file of the catalogue?"
                )
        _column(file, file.find("GALAXIES"), "name")
        index = file.find("SUMMARY")
        names = {str(name).strip("\0 ") for name in _column(file, index, "name")[0]}
        if len(names) != 1:
            found = ", ".join(sorted(names)[:5]) or "none"
            raise file.error(
                f"holds {len(names)} galaxies ({found}), expected the orientations of one", index
            )
        known = _bands(file, index)
        places = [_place(file, index, known, band) for band in bands]
        dusty, unit = _images(file, index, "flux", known, places)
        free, _ = _images(file, index, "flux_nodust", known, places)
        if dusty.shape != free.shape:
            raise file.error(
                f"the column 'flux' has images of {dusty.shape[-1]} pixels a side, but "
                f"'flux_nodust' of {free.shape[-1]}: fetch the file again",
                index,
            )
        return Table(
            path=path,
            bands=tuple(bands),
            name=names.pop(),
            axis_ratio=_numbers(file, index, "axis_ratio"),
            av=_numbers(file, index, "Av"),
            size=_size(file, index),
            unit=unit or UNIT,
            dusty=dusty,
            free=free,
        )


def _column(file: FitsFile, index: int, name: str) -> tuple[np.ndarray, str]:
    column = file.column(index, name)
    if column is None:
        raise file.error(
            f"has no column {name!r}, expected the columns of the NIHAO-SKIRT catalogue (name, "
            "axis_ratio, Av, bands, flux, flux_nodust, size): fetch the file again",
            index,
        )
    return column


def _numbers(file: FitsFile, index: int, name: str) -> np.ndarray:
    values = _column(file, index, name)[0]
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise file.error(
            f"the column {name!r} has the shape {values.shape} and type {values.dtype}, expected "
            "one number per orientation",
            index,
        )
    return values.astype(np.float64)


def _size(file: FitsFile, index: int) -> float:
    sizes = _numbers(file, index, "size")
    if not np.all((sizes > 0) & np.isfinite(sizes)) or np.ptp(sizes) > 1e-4 * sizes[0]:
        listed = ", ".join(f"{size:g}" for size in np.unique(sizes)[:3])
        raise file.error(
            f"the column 'size' is {listed}, expected the side of the images in pc, positive and "
            "the same for all orientations",
            index,
        )
    return float(sizes[0])


def _bands(file: FitsFile, index: int) -> list[str]:
    values = _column(file, index, "bands")[0]
    if values.ndim != 2 or values.dtype.kind not in "US":
        raise file.error(
            f"the column 'bands' has the shape {values.shape} and type {values.dtype}, expected "
            "20 names per orientation: its TDIM is missing or wrong",
            index,
        )
    if not np.all(values == values[0]):
        raise file.error("the column 'bands' differs between orientations: mend it", index)
    names = [str(name).strip("\0 ").removeprefix("2MASS_") for name in values[0]]
    return ["Ks" if name == "KS" else name for name in names]


def _place(file: FitsFile, index: int, known: list[str], band: str) -> int:
    if known.count(band) != 1:
        raise file.error(
            f"the column 'bands' has {known.count(band)} times {band} (it is "
            f"{', '.join(known)}), expected it once: choose other bands, or fetch the file again",
            index,
        )
    return known.index(band)


def _images(
    file: FitsFile, index: int, name: str, known: list[str], places: list[int]
) -> tuple[np.ndarray, str]:
    """Images (view, band, N, N) of some bands, with either order of the axes, and their unit."""
    values, unit = _column(file, index, name)
    shape, count = values.shape[1:], len(known)
    cube = values.dtype.kind in "fiu" and len(shape) == 3
    if not cube or shape[1] not in (shape[0], shape[2]):
        raise file.error(
            f"the column {name!r} has rows of shape {shape} and type {values.dtype}, expected "
            f"({count}, N, N) numbers: its TDIM is missing or wrong",
            index,
        )
    axis = 0 if shape[1] == shape[2] else 2
    if shape[axis] != count:
        raise file.error(
            f"the column {name!r} has {shape[axis]} bands (rows of shape {shape}), but 'bands' "
            f"names {count}: they must agree, fetch the file again",
            index,
        )
    images = np.moveaxis(values, axis + 1, 1)[:, places].astype(np.float32)
    for view, cube in enumerate(images):
        for place, image in zip(places, cube, strict=True):
            if fault := _fault(image):
                where = f"row {view} (from 0) of the column {name!r}, band {known[place]}"
                raise file.error(f"{where}, {fault}", index)
    return images, unit


def _fault(image: np.ndarray) -> str | None:
    """What is wrong with one image of a band, None where nothing is."""
    if bad := np.count_nonzero(~np.isfinite(image)):
        return f"has {bad} pixels that are NaN or infinite: fetch the file again"
    if bad := np.count_nonzero(image < 0):
        return (
            f"has {bad} negative pixels, the lowest {image.min():g}, but a simulated flux is 0 "
            "or more: fetch the file again"
        )
    if not image.any():
        return "is dark, every pixel is 0: fetch the file again, or leave the galaxy out"
    return None
