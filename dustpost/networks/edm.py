"""Denoising with the preconditioning of EDM (Karras et al. 2022, Table 1).

With data of mean m and standard deviation s, and y = x - m,

    D0(x, sigma) = bound(m + c_skip y + c_out F(c_in y, ln(sigma)/4, condition)),
    c_skip = s^2/(sigma^2 + s^2),  c_out = sigma s/sqrt(sigma^2 + s^2),
    c_in = 1/sqrt(sigma^2 + s^2),  weight = 1/c_out^2,

and the score of the data smoothed by sigma is (D0 - x)/sigma^2 (Tweedie).
`bound` is a smooth clip to (0, 1]: a denoiser that stays in the data's range
pulls every runaway back, however far it went.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

LOWEST = 1e-3  # the smallest transmission the denoiser can return, 7.5 mag
Denoise = Callable[[Array, Array], Array]


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


def bound(value: Array, width: Array) -> Array:
    """Clip smoothly to (0, 1]; the corners are hyperbolae of the given width.

    Unlike a sigmoid's, their slope decays as a power, so that a pixel far out
    of range can still be taught to come back.

    Parameters
    ----------
    value, width : Array
        Of shapes that broadcast by rank.
    """
    low = 0.5 * (value + LOWEST + jnp.sqrt((value - LOWEST) ** 2 + width**2))
    high = 0.5 * (low + 1 - jnp.sqrt((low - 1) ** 2 + width**2))
    return jnp.clip(high, 1e-6, 1.0)  # against round-off far out of range


def denoise(
    network: Callable[[Array, Array, Array], Array],
    x: Array,
    sigma: Array,
    condition: Array,
    moments: Precondition,
) -> Array:
    """Return D0 = E[D | x, condition] for a batch.

    Parameters
    ----------
    network : callable
        F(x, noise, condition), as `UNet` with its parameters.
    x : Array, (batch, y, x)
        Noisy transmission D + sigma e.
    sigma : Array, (batch,)
        Noise level of each.
    condition : Array, (batch, y, x)
        See `dustpost.networks.unet.condition`.
    moments : Precondition

    Returns
    -------
    Array, (batch, y, x)
    """
    level = sigma[:, None, None]
    skip, out, scale = coefficients(level, moments.spread)
    centred = x - moments.mean
    raw = skip * centred + out * network(scale * centred, jnp.log(sigma) / 4, condition)
    return bound(moments.mean + raw, jnp.minimum(moments.softness * level, moments.softest))


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
