"""What a telescope does to an image: it blurs, and adds the noise of the sky.

Y = PSF * image + sd e,   PSF: Moffat (1969), (1 + (r/a)^2)^-beta
"""

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.forward import convolve


def moffat(fwhm: Array, size: int = 43, beta: float = 3.0) -> Array:
    """Return a Moffat PSF (1 + (r/a)^2)^-beta of unit sum.

    Parameters
    ----------
    fwhm : Array
        Full width at half maximum, pixel.
    size : int
        Side of the stamp, odd.
    beta : float
        Slope of the wings.

    Returns
    -------
    Array, (size, size)
    """
    width = fwhm / (2 * jnp.sqrt(2 ** (1 / beta) - 1))
    axis = jnp.arange(size) - size // 2
    star = (1 + (axis[:, None] ** 2 + axis[None, :] ** 2) / width**2) ** -beta
    return star / star.sum()


def expose(key: Array, clean: Array, psf: Array, noise: Array) -> tuple[Array, Array]:
    """Add what a survey adds: the PSF of each band and white sky noise.

    Parameters
    ----------
    key : Array
        A jax random key.
    clean : Array, (band, y, x)
    psf : Array, (band, py, px)
    noise : Array, (band,)
        Standard deviation of a pixel's noise.

    Returns
    -------
    data, ivar : Array, (band, y, x)
    """
    seen = convolve(clean, psf)
    data = seen + noise[:, None, None] * jax.random.normal(key, seen.shape)
    return data, jnp.broadcast_to(1 / noise[:, None, None] ** 2, data.shape)
