"""Error of the model itself, as noise in proportion to the light.

One colour for the whole host and one curve for all of its dust are not exactly true. What
they miss is a share f of the local flux, so that a pixel's variance becomes

    sd^2 = 1 / ivar + (f m)^2,   m = (PSF * Y)+

with m the data smoothed by their own PSF (by a small binomial where none is known): close to
the model's flux, and no function of the parameters, so that ln L keeps its form and its
constant. What the model misses is correlated from pixel to pixel and from band to band
(`benchmarks/model_error.py`); a white term is the part of it that fits into a diagonal.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from dustpost.forward import convolve
from dustpost.observation import Observation

_BINOMIAL = jnp.array([1.0, 2.0, 1.0])


def add_model_error(observation: Observation, fraction: ArrayLike) -> Observation:
    """Widen the noise of an observation by the model's error.

    Parameters
    ----------
    observation : Observation
    fraction : array, () or (band,)
        f, sd of what the model misses over the local flux.

    Returns
    -------
    Observation
        Its `ivar` smaller; 0 stays 0.
    """
    return observation._replace(
        ivar=inflated(observation.data, observation.ivar, observation.psf, fraction)
    )


def inflated(data: ArrayLike, ivar: ArrayLike, psf: ArrayLike, fraction: ArrayLike) -> Array:
    """Inverse variance with the model's error in it.

    Parameters
    ----------
    data, ivar : array, (band, y, x)
        Flux, 0 where masked, and its inverse variance.
    psf : array, (band, py, px)
        Of unit sum; a single pixel where none is known.
    fraction : array, () or (band,)

    Returns
    -------
    Array, (band, y, x)
    """
    data, ivar = (jnp.asarray(x, dtype=float) for x in (data, ivar))
    share = jnp.broadcast_to(jnp.asarray(fraction, dtype=float), data.shape[:1])
    error = share[:, None, None] * jnp.maximum(smoothed(data, ivar, psf), 0.0)
    return ivar / (1.0 + ivar * error**2)


def smoothed(data: ArrayLike, ivar: ArrayLike, psf: ArrayLike) -> Array:
    """PSF * Y of what `inflated` takes, (band, y, x); where masked, the light around it."""
    data, ivar, psf = (jnp.asarray(x, dtype=float) for x in (data, ivar, psf))
    if psf.shape[-2:] == (1, 1):
        kernel = _BINOMIAL[:, None] * _BINOMIAL[None, :] / 16
        psf = jnp.broadcast_to(kernel, (data.shape[0], 3, 3))
    # masked pixels are 0 in the data: divide by the share of the PSF that saw something
    seen = (ivar > 0).astype(data.dtype)
    return convolve(data * seen, psf) / jnp.maximum(convolve(seen, psf), 1e-3)
