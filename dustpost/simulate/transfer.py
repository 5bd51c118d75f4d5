"""Extinction and scattering along parallel rays through emitting, dusty matter.

Front to back, with the optical depth tau(l) between the observer and l,

    I_0 = integral j dl,    I = integral (j + w k kappa J) exp(-k tau(l)) dl,

and D = I / I_0, with w the albedo and J the light scattered towards the observer
(scattering.py). A cell of constant j and kappa on a path dl gives exactly
j dl exp(-k tau_front) (1 - exp(-k kappa dl)) / (k kappa dl), so a slab of
mixed stars and dust, (1 - e^-tau)/tau, comes out without error. Where there is no
starlight D has no meaning; there it tends to the absorption of the whole column,
which is smooth and 1 without dust.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.simulate.rays import Rays

# Share of the brightest pixel at which the column's D begins to replace the light's.
BLANK = 1e-5


class Sight(NamedTuple):
    """What an observer gets.

    Attributes
    ----------
    light : Array, (component, y, x)
        Without dust, at 0.4754 micron.
    absorbed : Array, (band, y, x)
        What dust takes from the bands' light, less what it scatters back: summed by
        itself, so that it is exactly 0 without dust.
    column : Array, (y, x)
        Optical depth at 0.4754 micron of the whole ray.
    """

    light: Array
    absorbed: Array
    column: Array


def slab(optical_depth: Array) -> Array:
    """Return (1 - e^-tau)/tau, with its limit 1 at tau = 0.

    Parameters
    ----------
    optical_depth : Array
        tau >= 0, any shape.
    """
    safe = jnp.maximum(optical_depth, 1e-4)
    series = 1 - optical_depth / 2 + optical_depth**2 / 6
    return jnp.where(optical_depth > 1e-2, -jnp.expm1(-safe) / safe, series)


def integrate(rays: Rays, spectra: Array, curve: Array, scattered: Array) -> Sight:
    """Sum emission, absorption and scattered light along every ray.

    Parameters
    ----------
    rays : Rays
    spectra : Array, (band, component)
        Light of each component relative to that at 0.4754 micron.
    curve : Array, (band,)
        k, the extinction in each band over that at 0.4754 micron.
    scattered : Array, (band, step, y, x)
        w J: what dust of unit opacity sends to the observer.

    Returns
    -------
    Sight
    """
    shape = rays.opacity.shape[1:]
    k = curve[:, None, None]

    def cell(carry, inputs):
        light, absorbed, depth = carry
        emissivity, opacity, path, gained = inputs
        emitted = emissivity * path[None]
        step = k * (opacity * path)[None]
        share = slab(step)
        front = jnp.exp(-k * depth[None])
        lost = jnp.einsum("bc,cyx->byx", spectra, emitted) * (1 - front * share)
        absorbed = absorbed + lost - gained * step * front * share
        return (light + emitted, absorbed, depth + opacity * path), None

    start = (
        jnp.zeros((rays.emissivity.shape[0], *shape)),
        jnp.zeros((curve.shape[0], *shape)),
        jnp.zeros(shape),
    )
    inputs = (
        jnp.moveaxis(rays.emissivity, 1, 0),
        rays.opacity,
        rays.path,
        jnp.moveaxis(scattered, 1, 0),
    )
    return Sight(*jax.lax.scan(cell, start, inputs)[0])


def transmission(light: Array, absorbed: Array, column: Array) -> Array:
    """Return D = I / I_0, tending to the column's absorption where there is no light.

    Parameters
    ----------
    light, absorbed : Array, (y, x)
        I_0 and I_0 - I.
    column : Array, (y, x)
        Optical depth for absorption of the whole ray in the same band.

    Returns
    -------
    Array, (y, x)
        In (0, 1]: 1 where dust scatters more towards us than it takes.
    """
    floor = BLANK * light.max()
    taken = (absorbed + floor * (1 - slab(column))) / (light + floor)
    return jnp.clip(1 - taken, 1e-6, 1.0)  # round-off, where all but all is absorbed


def smooth(image: Array, blur: Array) -> Array:
    """Convolve with a Gaussian of standard deviation `blur` (pixel, below 1.3).

    Parameters
    ----------
    image : Array, (..., y, x)
    blur : Array
        Standard deviation, pixel.
    """
    taps = jnp.exp(-0.5 * (jnp.arange(-4, 5) / blur) ** 2)
    taps = taps / taps.sum()
    size = image.shape[-1]
    distance = jnp.arange(size)[:, None] - jnp.arange(size)[None, :] + 4
    matrix = jnp.where((distance >= 0) & (distance <= 8), taps[jnp.clip(distance, 0, 8)], 0.0)
    matrix = matrix / matrix.sum(axis=1, keepdims=True)
    return jnp.einsum("ij,...jk,lk->...il", matrix, image, matrix)
