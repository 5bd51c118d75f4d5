"""What a survey does to an image: pixel scale, sharpness and noise of each band.

A survey states the AB magnitude m_5 of a point source that it detects at 5 sigma. Fitting a
PSF P of unit sum to white noise of sd s per pixel gives the flux with the error s sqrt(A),

    A = 1 / sum P^2   (the noise-equivalent area; King 1983, PASP 95, 163),
    s = 10^(0.4 (z - m_5)) / (5 sqrt(A)),

z being the zero point: the AB magnitude of a source of one unit of flux. PSFs are Moffat's with
beta = 3, for which A = 3.8 FWHM^2; HSC's and DECaLS's own PSF images have 3.8 to 6.4 (a
Gaussian: 2.3). Real coadds are resampled, so that their noise is correlated besides.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.errors import DustpostError
from dustpost.simulate.telescope import moffat

NANOJANSKY = 31.4
"""AB magnitude of one nJy."""


class Survey(NamedTuple):
    """One survey.

    Attributes
    ----------
    bands : tuple of str, (band,)
        Speclite names.
    pixel_scale : float
        Arcsec.
    fwhm : tuple of float, (band,)
        Of the PSF, arcsec.
    depth : tuple of float, (band,)
        5-sigma AB magnitude of a point source.
    source : str
        Where the numbers come from.
    """

    bands: tuple[str, ...]
    pixel_scale: float
    fwhm: tuple[float, ...]
    depth: tuple[float, ...]
    source: str


_HSC = tuple(f"hsc2017-{band}" for band in "grizy")
_LSST = tuple(f"lsst2023-{band}" for band in "ugrizy")

SURVEYS = {
    "hsc-wide": Survey(
        _HSC,
        0.168,
        (0.79, 0.75, 0.61, 0.68, 0.68),
        (26.6, 26.2, 26.2, 25.3, 24.5),
        "median seeing of the Wide layer: Aihara et al. 2022, PASJ 74, 247, Table 1 (PDR3); "
        "median depths: Aihara et al. 2019, PASJ 71, 114 (PDR2)",
    ),
    "hsc-cosmos": Survey(
        _HSC,
        0.168,
        (0.68, 0.57, 0.57, 0.57, 0.57),
        (27.6, 27.7, 27.2, 26.6, 25.7),
        "PSFs as in Siegel & Melchior 2024; depths measured on the variances and PSFs of a "
        "COSMOS cutout (test data of pmelchior/scarlet)",
    ),
    "lsst": Survey(
        _LSST,
        0.2,
        # 0.822 FWHM_eff + 0.052 of FWHM_eff = 0.92, 0.87, 0.83, 0.80, 0.78, 0.76
        (0.81, 0.77, 0.73, 0.71, 0.69, 0.68),
        (26.1, 27.4, 27.5, 26.8, 26.1, 24.9),
        "ten-year coadds: Ivezic et al. 2019, ApJ 873, 111, Tables 1 and 2",
    ),
    "decals": Survey(
        ("decam2014-g", "decam2014-r", "decam2014-z"),
        0.262,
        (1.29, 1.18, 1.11),
        (24.7, 23.9, 23.0),
        "Dey et al. 2019, AJ 157, 168: median image quality, depth of two exposures",
    ),
}


def get_survey(name: str) -> Survey:
    """Return a survey by name.

    Raises
    ------
    DustpostError
        No survey of this name.
    """
    if name not in SURVEYS:
        raise DustpostError(f"{name!r} is no survey known here: choose one of {', '.join(SURVEYS)}")
    return SURVEYS[name]


def point_spread(survey: Survey, size: int = 43) -> Array:
    """Return the PSF of each band on the survey's pixels.

    Parameters
    ----------
    survey : Survey
    size : int
        Side of the stamps, odd.

    Returns
    -------
    Array, (band, size, size)
        Each of unit sum.
    """
    return jnp.stack([moffat(jnp.asarray(w / survey.pixel_scale), size) for w in survey.fwhm])


def noise_area(psf: np.ndarray) -> np.ndarray:
    """Return the noise-equivalent area A of PSFs (band, py, px), in pixels, (band,)."""
    psf = np.asarray(psf, float)
    return psf.sum(axis=(1, 2)) ** 2 / (psf**2).sum(axis=(1, 2))


def noise_sd(survey: Survey, zero_point: float = NANOJANSKY) -> np.ndarray:
    """Return the noise of one pixel in each band.

    Parameters
    ----------
    survey : Survey
    zero_point : float
        AB magnitude of one unit of flux: 31.4 for nJy, 22.5 for nanomaggies.

    Returns
    -------
    ndarray, (band,)
        Standard deviation, in that unit.
    """
    faintest = 10 ** (0.4 * (zero_point - np.asarray(survey.depth)))
    return faintest / (5 * np.sqrt(noise_area(point_spread(survey))))
