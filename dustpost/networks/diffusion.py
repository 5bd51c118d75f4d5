"""Noise levels, Tweedie's formula and reverse diffusion (Song et al. 2021).

A latent at a noise level is z = scale * z0 + sigma * eps, eps ~ N(0, 1):

* variance preserving, scale^2 + sigma^2 = 1, with beta(t) = t, so scale = e^{-t/2};
* variance exploding, scale = 1.

E[z0 | z] = (z + sigma^2 score) / scale (Tweedie), and back.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Level(NamedTuple):
    """Noise level of z = scale * z0 + sigma * eps; both are dimensionless scalars."""

    scale: Array
    sigma: Array


def variance_preserving(sigma: Array) -> Level:
    """Level of a variance-preserving diffusion at noise `sigma` in (0, 1)."""
    return Level(jnp.sqrt(1.0 - jnp.square(sigma)), jnp.asarray(sigma))


def variance_exploding(sigma: Array) -> Level:
    """Level of a variance-exploding diffusion at noise `sigma` > 0."""
    return Level(jnp.ones_like(sigma), jnp.asarray(sigma))


def time_of(sigma: Array) -> Array:
    """Diffusion time t of beta(t) = t at which 1 - e^{-t} = sigma^2."""
    return -jnp.log1p(-jnp.square(sigma))


def sigma_of(time: Array) -> Array:
    """Noise sigma = sqrt(1 - e^{-t}) of the variance-preserving diffusion at time t."""
    return jnp.sqrt(-jnp.expm1(-time))


def tweedie(latent: Array, score: Array, level: Level) -> Array:
    """E[z0 | z] from the score of the noisy density (Robbins 1956; Efron 2011)."""
    return (latent + level.sigma**2 * score) / level.scale


def score_from_denoised(latent: Array, denoised: Array, level: Level) -> Array:
    """Score of the noisy density from E[z0 | z]; the inverse of `tweedie`."""
    return (level.scale * denoised - latent) / level.sigma**2


def perturb(key: Array, clean: Array, level: Level) -> Array:
    """Draw z at a level given z0."""
    return level.scale * clean + level.sigma * jax.random.normal(key, clean.shape, clean.dtype)


def reverse_diffusion(
    key: Array,
    denoise: Callable[[Array, Array], Array],
    levels: Level,
    shape: tuple[int, ...],
) -> Array:
    """Draw a latent at the last of a ladder of levels by ancestral sampling.

    Parameters
    ----------
    key : Array
        Random key.
    denoise : callable
        (latent, sigma) -> E[z0 | latent].
    levels : Level
        Ladder, noisiest first; arrays of shape (step + 1,).
    shape : tuple of int
        Shape of the latent.

    Returns
    -------
    Array
        A draw at ``levels[-1]``.
    """
    start_key, *keys = jax.random.split(key, levels.sigma.shape[0])
    # at the noisiest level the signal is negligible beside the noise
    start = levels.sigma[0] * jax.random.normal(start_key, shape)
    return ancestral(jnp.asarray(keys), denoise, levels, start)


def ancestral(
    keys: Array,
    denoise: Callable[[Array, Array], Array],
    levels: Level,
    start: Array,
    wide: float = 0.0,
) -> Array:
    """Draw the less noisy latent that a noisy one came from, given that one.

    Each step draws z_s from q(z_s | z_t, z0) with z0 put at E[z0 | z_t] (Ho et al. 2020,
    Eq. 6-7, for any scale and sigma). As the steps grow many this is a draw of z_s given
    the start, which the deterministic flow is not: it has the right law of z_s alone.
    With few steps it is too narrow, as if z0 were known; `wide = 1` takes the other extreme of
    Ho et al. (2020, section 3.2), exact where z0 is much less certain than the noise.

    Parameters
    ----------
    keys : Array, (step,)
        Random keys.
    denoise : callable
        (latent, sigma) -> E[z0 | latent].
    levels : Level
        Ladder, noisiest first; arrays of shape (step + 1,), or (step + 1, ...) to
        broadcast with the latent.
    start : Array
        Latent at ``levels[0]``.
    wide : float
        From 0 to 1: where the variance of a step lies between the two, in its logarithm.

    Returns
    -------
    Array
        A draw at ``levels[-1]``.
    """

    def step(latent, inputs):
        step_key, noisy, quiet = inputs
        denoised = denoise(latent, noisy.sigma)
        ratio = noisy.scale / quiet.scale
        added = noisy.sigma**2 - ratio**2 * quiet.sigma**2
        weight = quiet.sigma**2 / noisy.sigma**2
        mean = ratio * weight * latent + quiet.scale * (added / noisy.sigma**2) * denoised
        variance = added * weight ** (1 - wide) / ratio ** (2 * wide)
        spread = jnp.sqrt(jnp.maximum(variance, 0.0))
        return mean + spread * jax.random.normal(step_key, latent.shape), None

    first = jax.tree.map(lambda x: x[:-1], levels)
    second = jax.tree.map(lambda x: x[1:], levels)
    latent, _ = jax.lax.scan(step, start, (keys, first, second))
    return latent
