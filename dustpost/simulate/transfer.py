"""Absorption along parallel rays through emitting, dusty matter.

Front to back, with the optical depth tau(l) between the observer and l,

    I_0 = integral j dl,    I = integral j exp(-k tau(l)) dl,    D = I / I_0.

A cell of constant j and opacity kappa on a path dl gives exactly
j dl exp(-k tau_front) (1 - exp(-k kappa dl)) / (k kappa dl), so a slab of
mixed stars and dust, (1 - e^-tau)/tau, comes out without error. Scattering
is left out. Where there is no starlight D has no meaning; there it tends to
the slab's value for the whole column, which is smooth and 1 without dust.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.simulate.planes import IMAGE, Structure, sample_plane
from dustpost.simulate.structure import Parameters

STEPS = 56
# Share of the brightest pixel at which the column's D begins to replace the light's.
BLANK = 1e-5


class Rays(NamedTuple):
    """One value per cell: leading axis along the ray, from the observer.

    Attributes
    ----------
    emissivity : Array, (component, step, y, x)
        Light per unit length.
    opacity : Array, (step, y, x)
        Extinction per unit length at 0.4754 micron.
    path : Array, (step, y, x)
        Length of the cell along the ray.
    """

    emissivity: Array
    opacity: Array
    path: Array


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


def integrate(rays: Rays, curve: Array) -> tuple[Array, Array, Array]:
    """Sum emission and absorption along every ray.

    Parameters
    ----------
    rays : Rays
    curve : Array, (band,)
        k, the extinction in each band over that at 0.4754 micron.

    Returns
    -------
    light : Array, (component, y, x)
        Without dust.
    absorbed : Array, (band, component, y, x)
        What dust takes from it: summed by itself, so that it is exactly 0 without dust.
    column : Array, (y, x)
        Optical depth at 0.4754 micron of the whole ray.
    """
    components = rays.emissivity.shape[0]
    shape = rays.opacity.shape[1:]
    k = curve[:, None, None]

    def cell(carry, inputs):
        light, absorbed, depth = carry
        emissivity, opacity, path = inputs
        emitted = emissivity * path[None]
        step = opacity * path
        passed = jnp.exp(-k * depth[None]) * slab(k * step[None])
        lost = emitted[None] * (1 - passed[:, None])
        return (light + emitted, absorbed + lost, depth + step), None

    start = (
        jnp.zeros((components, *shape)),
        jnp.zeros((curve.shape[0], components, *shape)),
        jnp.zeros(shape),
    )
    inputs = (jnp.moveaxis(rays.emissivity, 1, 0), rays.opacity, rays.path)
    (light, absorbed, column), _ = jax.lax.scan(cell, start, inputs)
    return light, absorbed, column


def cast(structure: Structure, steps: int = STEPS) -> Rays:
    """Lay rays through a galaxy, one per pixel, dense where they cross its plane.

    Parameters
    ----------
    structure : Structure
    steps : int
        Cells along each ray.

    Returns
    -------
    Rays
        Components: spheroid, old disc, young disc; their light sums to 1.
    """
    p = structure.parameters
    cos_i = jnp.maximum(p.cos_inclination, 0.01)
    sin_i = jnp.sqrt(1 - cos_i**2)
    axis = jnp.arange(IMAGE) - (IMAGE - 1) / 2
    sky_y, sky_x = jnp.meshgrid(axis - p.centre_y, axis - p.centre_x, indexing="ij")
    across = -sky_x * jnp.sin(p.position_angle) + sky_y * jnp.cos(p.position_angle)
    along = sky_x * jnp.cos(p.position_angle) + sky_y * jnp.sin(p.position_angle)

    # Distance towards the observer: l = l_0 + a t + b t^3, t from 1 to -1, fine
    # (a fraction of the dust's height) about l_0, the crossing of the plane.
    reach = structure.half_side
    crossing = jnp.clip(-across * sin_i / cos_i, -0.8 * reach, 0.8 * reach)
    fine = jnp.minimum(0.7 * p.dust_height / cos_i, reach / (steps / 2)) * steps / 2
    t = jnp.linspace(1.0, -1.0, steps + 1)
    offset = fine * t + (reach - fine) * t**3
    path = jnp.broadcast_to((offset[:-1] - offset[1:])[:, None, None], (steps, IMAGE, IMAGE))
    toward = crossing[None] + 0.5 * (offset[:-1] + offset[1:])[:, None, None]

    plane_y = across[None] * cos_i - toward * sin_i
    height = across[None] * sin_i + toward * cos_i
    plane_x = jnp.broadcast_to(along[None], height.shape)
    layers = jnp.moveaxis(jnp.concatenate([structure.stars, structure.dust[None]]), 0, -1)
    old, young, dust = jnp.moveaxis(
        sample_plane(layers, plane_y, plane_x, structure.half_side), -1, 0
    )

    def sheet(scale):
        falloff = jnp.exp(-2 * jnp.abs(height) / scale)
        return 2 * falloff / (1 + falloff) ** 2 / scale  # sech^2(z/h) / (2h)

    length = p.scale_length
    old = old * sheet(jnp.maximum(p.old_height * length, 0.5))
    young = young * sheet(jnp.maximum(p.young_height * length, 0.4))
    spheroid = _spheroid(p, plane_x**2 + plane_y**2, height)
    old_share = 1 - p.bulge_fraction - p.young_fraction
    emissivity = jnp.stack([p.bulge_fraction * spheroid, old_share * old, p.young_fraction * young])
    return Rays(emissivity, dust * sheet(p.dust_height) * structure.wisps[None], path)


def _spheroid(p: Parameters, radius_squared, height):
    """Deprojected Sersic density of unit light, softened within half a pixel."""
    index = p.bulge_index
    slope = 1 - 0.6097 / index + 0.05463 / index**2
    width = 2 * index - 1 / 3 + 0.009876 / index

    def density(m):
        return m**-slope * jnp.exp(-width * m ** (1 / index))

    soft = 0.5 / p.bulge_radius
    squared = (radius_squared + (height / p.bulge_flattening) ** 2) / p.bulge_radius**2
    grid = jnp.geomspace(1e-3, 20.0, 128)
    total = jnp.trapezoid(
        4 * jnp.pi * grid**3 * density(jnp.sqrt(grid**2 + soft**2)), jnp.log(grid)
    )
    return density(jnp.sqrt(squared + soft**2)) / (total * p.bulge_flattening * p.bulge_radius**3)


def transmission(light: Array, absorbed: Array, column: Array) -> Array:
    """Return D = I / I_0, tending to the slab's value where there is no light.

    Parameters
    ----------
    light, absorbed : Array, (y, x)
        I_0 and I_0 - I.
    column : Array, (y, x)
        Optical depth of the whole ray in the same band.

    Returns
    -------
    Array, (y, x)
        In (0, 1].
    """
    floor = BLANK * light.max()
    taken = (absorbed + floor * (1 - slab(column))) / (light + floor)
    return jnp.clip(1 - taken, 1e-6, 1.0)  # round-off, where all but all is absorbed


def observe(structure: Structure, curve: Array) -> tuple[Array, Array, Array]:
    """Cast rays through a galaxy and integrate: see `integrate`."""
    return integrate(cast(structure), curve)


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
