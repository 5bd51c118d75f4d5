"""Denoising with the preconditioning of EDM (Karras et al. 2022, Table 1).

With data v of mean m and standard deviation s, y = x - m, u = c_in y,

    score    D0(x, sigma) = N(x, sigma) = bound(m + c_skip y + c_out F(u, ln(sigma)/4)),
    energy   E(x, sigma) = <x - c, x - N(x, sigma)> / (2 sigma^2),
             D0(x, sigma) = x - sigma^2 grad E = c + grad_x P,
             dE/dln(sigma) = -2 E - (dP/dln(sigma))/sigma^2,   P = <x - c, N(x, sigma) - c> / 2,

    c_skip = s^2/(sigma^2 + s^2),  c_out = sigma s/sqrt(sigma^2 + s^2),
    c_in = 1/sqrt(sigma^2 + s^2),  weight = 1/c_out^2,

and the score of the data smoothed by sigma is (D0 - x)/sigma^2 (Tweedie). The energy
is a log-density, -E + const, at the price of a gradient in every call (compare Salimans &
Ho 2021; Du et al. 2023; Hurault et al. 2022). Where N is homogeneous of degree 1 about c,
such as a Gaussian's, it has the score of N itself (Euler), so that a score network is a good
start for it; with c the data's clear end, a clear region is denoised to c without effort.
`bound` is a smooth clip to the data's range: a denoiser that stays there pulls every
runaway back, however far it went. That of an energy may leave it a little.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Denoise = Callable[[Array, Array], Array]
Network = Callable[[Array, Array], Array]  # F(u, noise): (batch, y, x), (batch,) -> (batch, y, x)
OVERSHOOT = 1e-3  # by how much of its range `bound` may miss the second end


class Precondition(NamedTuple):
    """First two moments of the data, and the bound's softness.

    Attributes
    ----------
    mean, spread : float
        m and s, over all pixels of the training set.
    softness : float
        Width of the bound's corner, in units of sigma ...
    softest : float
        ... and at most this.
    """

    mean: float = 0.985
    spread: float = 0.08
    softness: float = 0.2
    softest: float = 0.01


def coefficients(sigma: Array, spread: float) -> tuple[Array, Array, Array]:
    """Return c_skip, c_out and c_in.

    Parameters
    ----------
    sigma : Array
        Noise level, any shape.
    spread : float
        Standard deviation of the data.
    """
    total = sigma**2 + spread**2
    return spread**2 / total, sigma * spread * jax.lax.rsqrt(total), jax.lax.rsqrt(total)


def loss_weight(sigma: Array, spread: float) -> Array:
    """Return 1/c_out^2, which gives every noise level the same initial loss."""
    return (sigma**2 + spread**2) / (sigma * spread) ** 2


def bound(value: Array, width: Array, first: float, second: float) -> Array:
    """Clip smoothly between two ends; the corners are hyperbolae of the given width.

    Unlike a sigmoid's, their slope decays as a power, so that a pixel far out
    of range can still be taught to come back.

    Parameters
    ----------
    value, width : Array
        Of shapes that broadcast by rank.
    first, second : float
        The end that is never left, and the other, either way round.
    """
    if first < second:
        return -bound(-value, width, -first, -second)
    low = 0.5 * (value + second + jnp.sqrt((value - second) ** 2 + width**2))
    high = 0.5 * (low + first - jnp.sqrt((low - first) ** 2 + width**2))
    # against round-off far out of range
    return jnp.clip(high, second - OVERSHOOT * (first - second), first)


def denoise(
    network: Network, x: Array, sigma: Array, moments: Precondition, ends: tuple[float, float]
) -> Array:
    """Return D0 = E[v | x] for a batch, by a network that is the denoiser.

    Parameters
    ----------
    network : callable
        F(u, noise), with its parameters and its condition.
    x : Array, (batch, y, x)
        Noisy map v + sigma e.
    sigma : Array, (batch,)
        Noise level of each.
    moments : Precondition
    ends : tuple of float
        The data's range, first the end that is never left.

    Returns
    -------
    Array, (batch, y, x)
    """
    level = sigma[:, None, None]
    skip, out, scale = coefficients(level, moments.spread)
    centred = x - moments.mean
    raw = skip * centred + out * network(scale * centred, jnp.log(sigma) / 4)
    return bound(moments.mean + raw, jnp.minimum(moments.softness * level, moments.softest), *ends)


def energy(x: Array, clean: Array, sigma: Array, end: float) -> Array:
    """Return E, so that p_sigma(x) is proportional to exp(-E).

    The factor is a function of sigma and of the condition that nobody knows.

    Parameters
    ----------
    x, clean : Array, (..., y, x)
        Noisy map and N(x), as `denoise` returns it.
    sigma : Array, (...)
    end : float
        c, the end of the data's range that is never left.
    """
    return 0.5 * ((x - end) * (x - clean)).sum(axis=(-2, -1)) / sigma**2


class Parts(NamedTuple):
    """What an energy is to learn, of a batch.

    Attributes
    ----------
    denoised, picture : Array, (batch, y, x)
        D0 = E[v | x], and N(x).
    rate : Array, (batch,)
        dE/dln(sigma), nat.
    """

    denoised: Array
    picture: Array
    rate: Array


def energy_parts(
    network: Network, x: Array, sigma: Array, moments: Precondition, ends: tuple[float, float]
) -> Parts:
    """Return D0 = x - sigma^2 grad E, N and dE/dln(sigma) of a batch; arguments as of `denoise`."""
    end = ends[0]

    def product(x, log_sigma):
        picture = denoise(network, x, jnp.exp(log_sigma), moments, ends)
        return 0.5 * ((x - end) * (picture - end)).sum(), picture

    slopes = jax.grad(product, argnums=(0, 1), has_aux=True)(x, jnp.log(sigma))
    (along_x, along_sigma), picture = slopes
    rate = -2 * energy(x, picture, sigma, end) - along_sigma / sigma**2
    return Parts(end + along_x, picture, rate)


def ladder(high: Array, low: Array, steps: int, rho: float = 7.0) -> Array:
    """Return Karras' noise levels, steps + 1 of them from high to low (Eq. 5)."""
    ramp = jnp.linspace(0.0, 1.0, steps + 1)
    return (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho


def reverse_diffusion(
    key: Array, denoiser: Denoise, start: Array, levels: Array, churn: float
) -> Array:
    """Run the stochastic Heun sampler (Karras et al. 2022, Algorithm 2).

    Parameters
    ----------
    key : Array
        A jax random key.
    denoiser : callable
        D0(x, sigma) of one map.
    start : Array, (y, x)
        A map at noise level levels[0].
    levels : Array, (step + 1,)
        Falling noise levels; the result is at the last.
    churn : float
        S_churn: noise added and taken off again, over the whole run; 0 is the
        deterministic flow.

    Returns
    -------
    Array, (y, x)
    """
    steps = levels.shape[0] - 1
    growth = 1 + min(churn / steps, 2**0.5 - 1)

    def step(x, inputs):
        step_key, now, after = inputs
        hat = growth * now
        x = x + jnp.sqrt(hat**2 - now**2) * jax.random.normal(step_key, x.shape)
        slope = (x - denoiser(x, hat)) / hat
        euler = x + (after - hat) * slope
        slope_after = (euler - denoiser(euler, after)) / after
        return x + (after - hat) * 0.5 * (slope + slope_after), None

    final, _ = jax.lax.scan(step, start, (jax.random.split(key, steps), levels[:-1], levels[1:]))
    return final
