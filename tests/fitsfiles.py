"""Small FITS files for the tests of io: a good cutout, and ways to spoil it."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

BANDS = ("hsc2017-g", "hsc2017-r", "hsc2017-i")
WAVELENGTHS = (0.4754, 0.6175, 0.7711)


def tan_wcs(crpix=(20.0, 25.0), rotation=30.0, scale=0.168, matrix="pc") -> WCS:
    """A rotated tangent-plane WCS with a PC or a CD matrix; `scale` in arcsec."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = (150.1, 2.2), crpix
    angle, degree = np.deg2rad(rotation), scale / 3600
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if matrix == "cd":
        wcs.wcs.cd = np.diag([-degree, degree]) @ turn
    else:
        wcs.wcs.pc, wcs.wcs.cdelt = turn, (-degree, degree)
    return wcs


def galaxy(height=64, width=64, bands=3, peak=30.0, seed=0, noise=1.0) -> np.ndarray:
    """A round galaxy in the middle with white noise, (band, y, x)."""
    y, x = np.indices((height, width))
    radius2 = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2
    light = peak * np.exp(-radius2 / (2 * 5.0**2)) * np.arange(1, bands + 1)[:, None, None]
    return light + noise * np.random.default_rng(seed).normal(size=(bands, height, width))


def gaussian_psf(side=11, width=1.5, shift=(0.0, 0.0)) -> np.ndarray:
    """Unit-sum Gaussian on the middle pixel, shifted by (y, x)."""
    offset = np.arange(side) - (side - 1) / 2
    psf = np.exp(-((offset[:, None] - shift[0]) ** 2 + (offset - shift[1]) ** 2) / (2 * width**2))
    return psf / psf.sum()


def good_hdus(data=None, wcs=None) -> dict[str, fits.hdu.base._BaseHDU]:
    """HDUs of a sound dustpost FITS by name, to be changed and then written."""
    data = galaxy() if data is None else data
    header = fits.Header() if wcs is None else wcs.to_header()
    header["BUNIT"] = "nJy"
    psf = np.stack([gaussian_psf(width=w) for w in (1.8, 1.5, 1.5)])[: len(data)]
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("name", "16A", array=list(BANDS[: len(data)])),
            fits.Column("wavelength", "D", array=WAVELENGTHS[: len(data)]),
        ],
        name="BANDS",
    )
    return {
        "PRIMARY": fits.PrimaryHDU(data.astype(np.float32), header),
        "IVAR": fits.ImageHDU(np.ones(data.shape, np.float32), name="IVAR"),
        "PSF": fits.ImageHDU(psf.astype(np.float32), name="PSF"),
        "BANDS": table,
    }


def write(path: Path, hdus: dict) -> Path:
    """Write HDUs to `path`."""
    fits.HDUList(list(hdus.values())).writeto(path)
    return path


def write_exposure(path: Path, data, variance, mask=None, planes=None, **header) -> Path:
    """One band as HSC and LSST write it; `planes` are bit numbers for MP_* keywords."""
    image = fits.ImageHDU(np.asarray(data, np.float32), name="IMAGE")
    wcs = header.pop("wcs", None)
    if wcs is not None:
        image.header.update(wcs.to_header())
    image.header.update(header)
    hdus = [fits.PrimaryHDU(), image]
    if mask is not None:
        hdus.append(fits.ImageHDU(np.asarray(mask, np.int32), name="MASK"))
        for name, bit in (planes or {}).items():
            hdus[-1].header[f"HIERARCH MP_{name}"] = bit
    if variance is not None:
        hdus.append(fits.ImageHDU(np.asarray(variance, np.float32), name="VARIANCE"))
    fits.HDUList(hdus).writeto(path)
    return path
