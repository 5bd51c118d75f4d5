"""What a survey makes of a view: its PSFs, and noise at a given peak signal-to-noise.

The noise of a pixel is white; its sd in the bands has the ratios of the survey's depths, and
its level is such that the brightest pixel of the blurred r image has the signal-to-noise
asked for. Bands that the survey does not have (u, for HSC) are left out.
"""

import zlib
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from dustpost.bands import effective_wavelength
from dustpost.errors import DustpostError
from dustpost.forward import convolve
from dustpost.io.cutout import Cutout
from dustpost.simulate.survey import get_survey, noise_sd, point_spread

SURVEY = "hsc-cosmos"  # PSFs as in Siegel & Melchior 2024: 0.68 arcsec in g, 0.57 beyond
RED = 0.62  # micron: the band nearest to it is r
SAME_BAND = 0.1  # relative distance in wavelength up to which two bands are the same


def observe(cutout: Cutout, signal_to_noise: float, seed: int) -> Cutout:
    """Look at a view through the survey; one that has been looked at stays as it is.

    Parameters
    ----------
    cutout : Cutout
        With its truth.
    signal_to_noise : float
        Of the brightest pixel in r.
    seed : int
        Of the noise, which also depends on the cutout's name.

    Raises
    ------
    DustpostError
        If no band is the survey's.
    """
    if cutout.ivar.any():
        return cutout
    cutout, bands = _shared_bands(cutout)
    survey = get_survey(SURVEY)
    psf = np.asarray(point_spread(survey), np.float32)[bands]
    clean = blur(cutout.data, psf)
    red = int(np.argmin(np.abs(cutout.wavelength - RED)))
    noise = noise_sd(survey)[bands]
    noise = noise * clean[red].max() / signal_to_noise / noise[red]
    ivar = np.broadcast_to(noise[:, None, None] ** -2.0, clean.shape).astype(np.float32)
    return add_noise(replace(cutout, data=clean, ivar=ivar, psf=psf), seed)


def blur(images: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Convolve images (band, y, x) with their PSFs."""
    return np.asarray(convolve(jnp.asarray(images), jnp.asarray(psf)))


def add_noise(cutout: Cutout, seed: int = 0) -> Cutout:
    """Add the noise that `ivar` speaks of; the same for a seed and a file's name."""
    rng = np.random.default_rng([seed, zlib.crc32(cutout.stem.encode())])
    seen = cutout.ivar > 0
    sd = np.where(seen, cutout.ivar, 1.0) ** -0.5
    data = np.where(seen, cutout.data + sd * rng.standard_normal(cutout.data.shape), 0.0)
    return replace(cutout, data=data.astype(np.float32))


def _shared_bands(cutout: Cutout) -> tuple[Cutout, list[int]]:
    """The cutout in the bands that the survey has, and which these are there."""
    theirs = np.array([effective_wavelength(name) for name in get_survey(SURVEY).bands])
    nearest = [int(np.argmin(np.abs(theirs - wave))) for wave in cutout.wavelength]
    keep = [
        here
        for here, there in enumerate(nearest)
        if abs(cutout.wavelength[here] / theirs[there] - 1) < SAME_BAND
    ]
    if not keep:
        raise DustpostError(
            f"{cutout.source}: none of its bands ({', '.join(cutout.bands)}) is near one of "
            f"{', '.join(get_survey(SURVEY).bands)}"
        )
    truth = cutout.truth
    truth = truth._replace(
        attenuation=None if truth.attenuation is None else truth.attenuation[keep],
        flux=None if truth.flux is None else truth.flux[keep],
    )
    fewer = replace(
        cutout,
        data=cutout.data[keep],
        ivar=cutout.ivar[keep],
        psf=cutout.psf[keep],
        bands=tuple(cutout.bands[here] for here in keep),
        wavelength=cutout.wavelength[keep],
        truth=truth,
    )
    return fewer, [nearest[here] for here in keep]
