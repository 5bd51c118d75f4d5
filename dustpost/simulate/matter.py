"""Where the stars and the dust of one galaxy are: densities at any point.

Discs are a surface density times sech^2(z/h)/(2h). The spheroid is a Sersic
law deprojected by Prugniel & Simien (1997),

    rho(m) = m^-p exp(-b m^(1/n)),   p = 1 - 0.6097/n + 0.05463/n^2,

with b of Ciotti & Bertin (1999), softened within half a pixel.
"""

import jax.numpy as jnp
from jax import Array

from dustpost.simulate.planes import Structure, sample_plane
from dustpost.simulate.scattering import Box
from dustpost.simulate.structure import Parameters

COMPONENTS = ("spheroid", "inner old disc", "outer old disc", "young disc")
CELLS, LAYERS = 32, 24  # of the box in which light is scattered


def matter(structure: Structure, x: Array, y: Array, height: Array) -> tuple[Array, Array]:
    """Return the emissivity of each component and the opacity of the dust.

    Parameters
    ----------
    structure : Structure
    x, y, height : Array
        Positions in the galaxy's own frame, pixel, of one shape.

    Returns
    -------
    emissivity : Array, (component, ...)
        Light per volume at 0.4754 micron; the galaxy's sums to 1.
    opacity : Array, (...)
        Extinction per pixel of length at 0.4754 micron.
    """
    layers = jnp.moveaxis(jnp.concatenate([structure.stars, structure.dust[None]]), 0, -1)
    inner, outer, young, dust = jnp.moveaxis(sample_plane(layers, y, x, structure.half_side), -1, 0)
    old_scale, young_scale, dust_scale = scale_heights(structure.parameters)
    old_sheet = sheet(height, old_scale)
    emissivity = _share(
        structure.parameters,
        spheroid(structure.parameters, x**2 + y**2, height),
        inner * old_sheet,
        outer * old_sheet,
        young * sheet(height, young_scale),
    )
    return emissivity, dust * sheet(height, dust_scale)


def scattering_box(structure: Structure) -> tuple[Box, Array]:
    """Average a galaxy over the cells of a box about its dust.

    Returns
    -------
    box : Box
        `emission` has a leading component axis: (component, layer, y, x).
    size : Array, (2,)
        Half the box's side and half its height, pixel.
    """
    p = structure.parameters
    axis = (jnp.arange(structure.dust.shape[0]) + 0.5) / structure.dust.shape[0] * 2 - 1
    axis = axis * structure.half_side
    square = (axis[:, None] ** 2 + axis[None, :] ** 2) * structure.dust
    spread = jnp.sqrt(square.sum() / jnp.maximum(structure.dust.sum(), 1e-12))
    half = jnp.clip(2.5 * spread, 0.2 * structure.half_side, structure.half_side)
    old_scale, young_scale, dust_scale = scale_heights(p)
    tall = jnp.where(p.bulge_fraction > 0.05, jnp.minimum(p.bulge_radius, half), 0.0)
    top = jnp.maximum(jnp.maximum(2.5 * dust_scale, 2 * old_scale), tall)

    fine = 3 * CELLS  # the planes are averaged over 3x3 points a cell
    place = ((jnp.arange(fine) + 0.5) / fine * 2 - 1) * half
    y, x = jnp.meshgrid(place, place, indexing="ij")
    layers = jnp.moveaxis(jnp.concatenate([structure.stars, structure.dust[None]]), 0, -1)
    plane = sample_plane(layers, y, x, structure.half_side)
    plane = plane.reshape(CELLS, 3, CELLS, 3, 4).mean(axis=(1, 3))
    inner, outer, young, dust = jnp.moveaxis(plane, -1, 0)[:, None]

    faces = jnp.linspace(-1.0, 1.0, LAYERS + 1) * top
    thickness = 2 * top / LAYERS

    def between(scale):
        # the sheet's share between two faces, per length
        return (0.5 * jnp.diff(jnp.tanh(faces / scale)) / thickness)[:, None, None]

    coarse = place.reshape(CELLS, 3)[:, 1]
    height = 0.5 * (faces[1:] + faces[:-1])[:, None, None]
    round_light = spheroid(p, (coarse[:, None] ** 2 + coarse[None, :] ** 2)[None], height)
    old_sheet = between(old_scale)
    emission = _share(
        p, round_light, inner * old_sheet, outer * old_sheet, young * between(young_scale)
    )
    box = Box(emission, dust * between(dust_scale), 2 * half / CELLS, thickness)
    return box, jnp.stack([half, top])


def scale_heights(p: Parameters) -> tuple[Array, Array, Array]:
    """Return the scale heights of old stars, young stars and dust, pixel."""
    length = p.scale_length
    old, young = p.old_height * length, p.young_height * length
    return jnp.maximum(old, 0.5), jnp.maximum(young, 0.4), p.dust_height


def sheet(height: Array, scale: Array) -> Array:
    """Return sech^2(z/h)/(2h), of unit integral, safe from overflow."""
    falloff = jnp.exp(-2 * jnp.abs(height) / scale)
    return 2 * falloff / (1 + falloff) ** 2 / scale


def spheroid(p: Parameters, radius_squared: Array, height: Array) -> Array:
    """Return the deprojected Sersic density of unit light."""
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


def _share(p, round_light, inner, outer, young):
    """Weigh the components, each of unit light (the two old ones together)."""
    old_share = 1 - p.bulge_fraction - p.young_fraction
    parts = [p.bulge_fraction * round_light, old_share * inner, old_share * outer]
    return jnp.stack([*parts, p.young_fraction * young])
