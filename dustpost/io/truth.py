"""What a simulated cutout knows of itself: TRUE_HOST, TRUE_TRANS, TRUE_A, TRUTH.

`TRUE_HOST` (y, x) has unit sum, `TRUE_TRANS` (y, x) is the transmission at 0.4754 micron,
`TRUE_A` (band, y, x) the attenuation in mag; the table `TRUTH` has one row per band with the
host's flux `F`, and in its header COVFRAC, MEANA (mag at 0.4754 micron) and DELTA.
"""

import numpy as np
from astropy.io import fits

from dustpost.io.cutout import Truth
from dustpost.io.fitsfile import FitsFile

KEYS = {"COVFRAC": "covering_fraction", "MEANA": "mean_attenuation", "DELTA": "slope"}


def load_truth(file: FitsFile, shape: tuple[int, int, int]) -> Truth | None:
    """Read the truth of a cutout.

    Parameters
    ----------
    file : FitsFile
    shape : tuple of int
        (band, y, x) of the cutout.

    Returns
    -------
    Truth or None
        None where TRUE_HOST or TRUE_TRANS is missing.

    Raises
    ------
    DustpostError
        A shape disagrees with the cutout's.
    """
    host, transmission = file.find("TRUE_HOST"), file.find("TRUE_TRANS")
    if host is None or transmission is None:
        return None
    attenuation, table = file.find("TRUE_A"), file.find("TRUTH")
    flux, header = None, {}
    if table is not None:
        column = file.column(table, "F")
        flux = None if column is None else column[0].astype(np.float64)
        header = {name: _number(file.value(table, key)) for key, name in KEYS.items()}
        if flux is not None and flux.shape != shape[:1]:
            raise file.error(f"has {len(flux)} rows for {shape[0]} bands", table)
    return Truth(
        host=_image(file, host, shape[1:]),
        attenuation=None if attenuation is None else _image(file, attenuation, shape),
        transmission=_image(file, transmission, shape[1:]),
        flux=None if flux is None or not np.isfinite(flux).all() else flux,
        covering_fraction=header.get("covering_fraction"),
        mean_attenuation=header.get("mean_attenuation"),
        slope=header.get("slope"),
    )


def truth_hdus(truth: Truth, bands: int) -> list[fits.hdu.base.ExtensionHDU]:
    """HDUs that `load_truth` reads back.

    Parameters
    ----------
    truth : Truth
    bands : int
        Number of bands.
    """
    hdus = [
        fits.ImageHDU(np.asarray(truth.host, np.float32), name="TRUE_HOST"),
        fits.ImageHDU(np.asarray(truth.transmission, np.float32), name="TRUE_TRANS"),
    ]
    if truth.attenuation is not None:
        hdus.append(fits.ImageHDU(np.asarray(truth.attenuation, np.float32), name="TRUE_A"))
        hdus[-1].header["BUNIT"] = "mag"
    flux = np.full(bands, np.nan) if truth.flux is None else np.asarray(truth.flux, np.float64)
    table = fits.BinTableHDU.from_columns([fits.Column("F", "D", array=flux)], name="TRUTH")
    for key, name in KEYS.items():
        if (value := getattr(truth, name)) is not None:
            table.header[key] = float(value)
    return [*hdus, table]


def pad_truth(truth: Truth, padding: tuple[int, int, int, int]) -> Truth:
    """Truth of a padded cutout: no light and no dust in the padding.

    Parameters
    ----------
    truth : Truth
    padding : tuple of int
        (bottom, top, left, right).
    """
    bottom, top, left, right = padding
    width = ((bottom, top), (left, right))
    attenuation = truth.attenuation
    return truth._replace(
        host=np.pad(truth.host, width),
        transmission=np.pad(truth.transmission, width, constant_values=1.0),
        attenuation=None if attenuation is None else np.pad(attenuation, ((0, 0), *width)),
    )


def _image(file: FitsFile, index: int, shape: tuple[int, ...]) -> np.ndarray:
    image = file.image(index)
    if image.shape != shape:
        raise file.error(f"has shape {image.shape}, but the cutout asks for {shape}", index)
    return image


def _number(value: object) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
