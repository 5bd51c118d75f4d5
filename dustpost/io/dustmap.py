"""dustmap.fits: the maps as images with the input's WCS, and a table of parameters.

One image HDU per map, by EXTNAME (DESIGN: A_MEAN, A_SD, A_Q16, A_Q50, A_Q84, TRANS_MEAN,
TRANS_SD, HOST_MEAN, HOST_SD, INFORM, RHAT, RESID; `map` writes A_MAP, TRANS_MAP, HOST_MAP),
each with BUNIT and WCS; the table is PARAMS; checksums are on. What was padded with zero
weight on the way in is cropped off again, so that the pixels are the input's.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.io.fitsfile import open_fits
from dustpost.io.folder import atomic_write
from dustpost.io.sky import find_sky

Value = str | int | float | bool | None


def write_dustmap(
    path: Path,
    images: Mapping[str, tuple[np.ndarray, str]],
    cutout: Cutout,
    params: Mapping[str, object],
    header: Mapping[str, Value | tuple[Value, str]],
) -> None:
    """Write maps and parameters; nothing is left under `path` if it fails.

    Parameters
    ----------
    path : Path
    images : mapping of EXTNAME to (array, unit)
        Arrays (y, x) or (band, y, x) on the pixels of `cutout`; the unit becomes BUNIT, ""
        for none.
    cutout : Cutout
        Its `wcs` and `padding`.
    params : mapping of column name to values
        Columns of the table PARAMS, equally long: strings or numbers.
    header : mapping of keyword to value or (value, comment)
        Into the primary header; keywords longer than 8 letters become HIERARCH, None and NaN
        the strings "none" and "nan", which FITS headers cannot hold otherwise.

    Raises
    ------
    DustpostError
        A map's shape is not the cutout's, or the file cannot be written.
    """
    primary = fits.PrimaryHDU()
    for key, value in header.items():
        value, comment = value if isinstance(value, tuple) else (value, "")
        keyword = key.upper() if len(key) <= 8 else f"HIERARCH {key}"
        primary.header[keyword] = (_card(value), comment)
    sky = _cropped_wcs(cutout)
    hdus = [primary]
    for name, (image, unit) in images.items():
        image = np.asarray(image)
        if image.shape[-2:] != cutout.data.shape[-2:]:
            raise DustpostError(
                f"{path}: the map {name} has shape {image.shape}, the cutout "
                f"{cutout.data.shape[-2:]}"
            )
        hdu = fits.ImageHDU(crop_padding(image, cutout).astype(np.float32), sky.copy(), name=name)
        if unit:
            hdu.header["BUNIT"] = unit
        hdus.append(hdu)
    columns = [_column(name, values) for name, values in params.items()]
    hdus.append(fits.BinTableHDU.from_columns(columns, name="PARAMS"))
    with atomic_write(path) as partial:
        fits.HDUList(hdus).writeto(partial, checksum=True, overwrite=True)


def read_dustmap(path: Path) -> tuple[dict[str, np.ndarray], tuple[float, float]]:
    """Read A_MEAN and HOST_MEAN of a `dustmap.fits`, and where its centre is.

    Parameters
    ----------
    path : Path

    Returns
    -------
    images : dict of ndarray, (y, x)
    centre : (ra, dec)
        Degrees (ICRS); nan without a WCS.

    Raises
    ------
    DustpostError
        The file cannot be read or lacks a map.
    """
    with open_fits(path) as file:
        found = {name: file.find(name) for name in ("A_MEAN", "HOST_MEAN")}
        missing = [name for name, index in found.items() if index is None]
        if missing:
            raise file.error(f"has no {missing[0]}, expected a dustmap.fits of `dustpost sample`")
        images = {name: file.image(index, ndim=(2,)) for name, index in found.items()}
        wcs = file.celestial(found["A_MEAN"])
    height, width = images["A_MEAN"].shape
    centre = (math.nan, math.nan)
    if wcs is not None:
        centre = find_sky(wcs, (width - 1) / 2, (height - 1) / 2)
    return images, centre


def crop_padding(image: np.ndarray, cutout: Cutout) -> np.ndarray:
    """Take the zero-weight padding off the last two axes.

    Parameters
    ----------
    image : ndarray, (..., y, x)
    cutout : Cutout

    Returns
    -------
    ndarray, (..., y, x)
        View of `image` without `cutout.padding`.
    """
    bottom, top, left, right = cutout.padding
    height, width = image.shape[-2:]
    return image[..., bottom : height - top, left : width - right]


def _cropped_wcs(cutout: Cutout) -> fits.Header:
    if cutout.wcs is None:
        return fits.Header()
    wcs = cutout.wcs.deepcopy()
    bottom, _, left, _ = cutout.padding
    wcs.wcs.crpix = wcs.wcs.crpix - np.array([left, bottom])
    return wcs.to_header()


def _column(name: str, values: object) -> fits.Column:
    array = np.asarray(values)
    if array.dtype.kind in "US":
        width = max((len(str(v)) for v in array), default=1) or 1
        return fits.Column(name, f"{width}A", array=array)
    kind = {"b": "L", "i": "K", "u": "K"}.get(array.dtype.kind, "D")
    return fits.Column(name, kind, array=array)


def _card(value: Value) -> str | int | float | bool:
    if value is None:
        return "none"
    if isinstance(value, bool | int | str):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)
