"""Parallel rays through a galaxy, one per pixel, dense where they cross its plane.

A point at distance t towards the observer of the sky position (a, b), a along
the major axis and b across it, lies at (a, b cos i - t sin i) in the plane of
the disc and b sin i + t cos i above it.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.scipy.ndimage import map_coordinates

from dustpost.simulate.matter import matter
from dustpost.simulate.planes import IMAGE, Structure
from dustpost.simulate.structure import Parameters

STEPS = 56


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
    place : Array, (3, step, y, x)
        x, y and height of the cell's middle in the galaxy's frame.
    """

    emissivity: Array
    opacity: Array
    path: Array
    place: Array


def tilt(p: Parameters) -> tuple[Array, Array]:
    """Return cos i and sin i, kept off exactly edge-on."""
    cosine = jnp.maximum(p.cos_inclination, 0.01)
    return cosine, jnp.sqrt(1 - cosine**2)


def observer(p: Parameters) -> Array:
    """Return the direction (x, y, height) from the galaxy to the observer."""
    cosine, sine = tilt(p)
    return jnp.stack([jnp.zeros_like(sine), -sine, cosine])


def cast(structure: Structure, steps: int = STEPS) -> Rays:
    """Lay rays through a galaxy.

    Parameters
    ----------
    structure : Structure
    steps : int
        Cells along each ray.

    Returns
    -------
    Rays
    """
    p = structure.parameters
    cosine, sine = tilt(p)
    axis = jnp.arange(IMAGE) - (IMAGE - 1) / 2
    sky_y, sky_x = jnp.meshgrid(axis - p.centre_y, axis - p.centre_x, indexing="ij")
    across = -sky_x * jnp.sin(p.position_angle) + sky_y * jnp.cos(p.position_angle)
    along = sky_x * jnp.cos(p.position_angle) + sky_y * jnp.sin(p.position_angle)

    # Distance towards the observer: l = l_0 + a t + b t^3, t from 1 to -1, fine
    # (a fraction of the dust's height) about l_0, the crossing of the plane.
    reach = structure.half_side
    crossing = jnp.clip(-across * sine / cosine, -0.8 * reach, 0.8 * reach)
    fine = jnp.minimum(0.7 * p.dust_height / cosine, reach / (steps / 2)) * steps / 2
    t = jnp.linspace(1.0, -1.0, steps + 1)
    offset = fine * t + (reach - fine) * t**3
    path = jnp.broadcast_to((offset[:-1] - offset[1:])[:, None, None], (steps, IMAGE, IMAGE))
    toward = crossing[None] + 0.5 * (offset[:-1] + offset[1:])[:, None, None]

    y = across[None] * cosine - toward * sine
    height = across[None] * sine + toward * cosine
    x = jnp.broadcast_to(along[None], height.shape)
    emissivity, opacity = matter(structure, x, y, height)
    return Rays(emissivity, opacity * structure.wisps[None], path, jnp.stack([x, y, height]))


def along_rays(values: Array, rays: Rays, size: Array) -> Array:
    """Interpolate what is known in a box to the rays; the faces' values outside it.

    Parameters
    ----------
    values : Array, (layer, y, x)
        At the cells' middles.
    rays : Rays
    size : Array, (2,)
        Half the side and half the height of the box, pixel.

    Returns
    -------
    Array, (step, y, x)
    """
    x, y, height = rays.place
    half, top = size
    scaled = (height / top, y / half, x / half)
    index = [(s + 1) * n / 2 - 0.5 for s, n in zip(scaled, values.shape, strict=True)]
    return map_coordinates(values, index, order=1, mode="nearest")
