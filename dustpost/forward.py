"""The model cube of one galaxy (Siegel & Melchior 2024, Eq. 6-8).

    model_i = PSF_i * [ F_i S D^{k_i(delta)} ]

Here for F = 1: the `templates` m_i, so that model_i = F_i m_i. S sums to one, D is the
transmission at 0.4754 micron.
"""

import jax.numpy as jnp
from jax import Array

from dustpost.attenuation import band_attenuation
from dustpost.observation import Observation


def templates(
    observation: Observation,
    host: Array,
    transmission: Array,
    slope: Array,
    curve: str = "calzetti-noll",
    norm: str = "lambda0",
) -> Array:
    """Model of each band at unit flux, after dust and PSF.

    Parameters
    ----------
    observation : Observation
        Only its PSFs and filter nodes are used.
    host, transmission : Array, (y, x)
        S of unit sum, and D in (0, 1].
    slope : Array, ()
        delta of the attenuation curve.
    curve, norm : str
        See `dustpost.attenuation`.

    Returns
    -------
    Array, (band, y, x)
    """
    k = band_attenuation(observation.wavelength, observation.weight, slope, curve, norm)
    dimmed = host[None] * jnp.exp(k[:, None, None] * jnp.log(transmission)[None])
    return convolve(dimmed, observation.psf)


def convolve(images: Array, psf: Array) -> Array:
    """Convolve each band with its PSF, the frame continued by its edge pixels.

    The frame is padded by half the PSF and only the pixels inside are kept, so that a
    PSF of unit sum leaves a constant image as it is and conserves the flux of all that
    lies farther from the edge than half the PSF.

    Parameters
    ----------
    images : Array, (band, y, x)
    psf : Array, (band, py, px)
        Odd-sized, centred on the middle pixel.

    Returns
    -------
    Array, (band, y, x)
    """
    if psf.shape[-2:] == (1, 1):
        return images * psf
    half = [side // 2 for side in psf.shape[-2:]]
    padded = jnp.pad(images, [(0, 0), (half[0], half[0]), (half[1], half[1])], mode="edge")
    # the wrapped-around part of the circular convolution falls on pixels that are cut off
    shape = [_good_size(side) for side in padded.shape[-2:]]
    product = jnp.fft.rfft2(padded, shape) * jnp.fft.rfft2(psf, shape)
    full = jnp.fft.irfft2(product, shape)
    height, width = images.shape[-2:]
    return full[:, 2 * half[0] : 2 * half[0] + height, 2 * half[1] : 2 * half[1] + width]


def _good_size(least: int) -> int:
    """Smallest even number >= least with no prime factor above 5: fast for FFTs."""
    size = least + least % 2
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2
