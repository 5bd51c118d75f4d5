"""The model cube of one galaxy (Siegel & Melchior 2024, Eq. 6-8).

    model_i = PSF_i * [ F_i S D^{k_i(delta)} ]

Here for F = 1: the `templates` m_i, so that model_i = F_i m_i. S sums to one, D is the
transmission at l0 = 0.4754 micron.

Where stars lie between the dust one curve is not true of all pixels: the deeper, the greyer, as the
nearest stars shine on (Witt & Gordon 2000; Chevallard et al. 2013). With a `flattening` b,

    A_i = k_i(delta) A (A / 1 mag)^(b ln(l_i / l0)),

which is Eq. 8 with delta + b ln(A / 1 mag) in the place of delta. In simulated galaxies and in
RADMC-3D's b is 0.3 (`benchmarks/curve_flattens.py`).
"""

import jax.numpy as jnp
from jax import Array

from dustpost.attenuation import PIVOT, band_attenuation, pivot_attenuation
from dustpost.coordinates import attenuation
from dustpost.observation import Observation

CLEAR = 1e-3  # mag; thinner dust has the curve of this: a power of 0 has no derivative


def templates(
    observation: Observation,
    host: Array,
    transmission: Array,
    slope: Array,
    curve: str = "calzetti-noll",
    norm: str = "lambda0",
    flattening: float = 0.0,
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
    flattening : float
        b; 0 is Eq. 8.

    Returns
    -------
    Array, (band, y, x)
    """
    k = band_attenuation(observation.wavelength, observation.weight, slope, curve, norm)
    k = k[:, None, None]
    if flattening:
        depth = jnp.maximum(attenuation(transmission, pivot_attenuation(norm)), CLEAR)
        wave = jnp.sum(observation.weight * jnp.log(observation.wavelength / PIVOT), axis=-1)
        k = k * jnp.exp(flattening * wave[:, None, None] * jnp.log(depth)[None])
    dimmed = host[None] * jnp.exp(k * jnp.log(transmission)[None])
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
