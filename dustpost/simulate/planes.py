"""Paint a galaxy's stars and dust on the plane of its disc.

Everything that is rich in structure is two-dimensional: surface densities on
an n x n grid of the plane, multiplied later by sech^2(z/h)/(2h). Arms follow

    phase = m (theta - ln R / tan(pitch)),   pattern = exp(kappa (cos(phase) - 1)),

clumps are lognormal, exp(s g - s^2/2), with g a Gaussian field of power
spectrum P(k) ~ (k^2 + k_0^2)^(-slope/2), wound up by differential rotation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.simulate.structure import Parameters

PLANE = 192  # cells across the plane
IMAGE = 64  # pixels across the image
EXTENT = 3.4  # half the plane's side in half-light radii (5.7 scale lengths)


class Structure(NamedTuple):
    """One galaxy, ready for the ray marcher.

    Attributes
    ----------
    parameters : Parameters
    half_side : Array
        Half the side of the plane's grid, pixel.
    stars : Array, (3, PLANE, PLANE)
        Inner old, outer old and young light per square pixel of the plane; the old
        ones sum to 1 together, the young to 1.
    dust : Array, (PLANE, PLANE)
        Face-on optical depth at 0.4754 micron.
    wisps : Array, (IMAGE, IMAGE)
        Factor on the dust's density along each line of sight.
    """

    parameters: Parameters
    half_side: Array
    stars: Array
    dust: Array
    wisps: Array


def gaussian_field(key: Array, size: int, cell: Array, outer: Array, slope: Array) -> Array:
    """Return a periodic Gaussian field of unit variance.

    Parameters
    ----------
    key : Array
        A jax random key.
    size : int
        Cells on a side.
    cell, outer : Array
        Size of a cell and the outer scale, in the same unit (pixel).
    slope : Array
        Logarithmic slope of the power spectrum beyond the outer scale.

    Returns
    -------
    Array, (size, size)
    """
    ky = jnp.fft.fftfreq(size)[:, None] / cell
    kx = jnp.fft.rfftfreq(size)[None, :] / cell
    power = (ky**2 + kx**2 + 1 / outer**2) ** (-slope / 2)
    power = power.at[0, 0].set(0.0)
    noise = jnp.fft.rfft2(jax.random.normal(key, (size, size)))
    field = jnp.fft.irfft2(noise * jnp.sqrt(power), s=(size, size))
    return field / jnp.std(field)


def sample_plane(plane: Array, y: Array, x: Array, half_side: Array) -> Array:
    """Interpolate bilinearly on the plane's grid; 0 outside it.

    Parameters
    ----------
    plane : Array, (PLANE, PLANE, channel)
        Values at the cells' centres.
    y, x : Array
        Positions in the plane, pixel, one shape for both.
    half_side : Array
        Half the side of the grid, pixel.

    Returns
    -------
    Array, (..., channel)
    """
    size = plane.shape[0]
    row = (y / half_side + 1) * size / 2 - 0.5
    column = (x / half_side + 1) * size / 2 - 0.5
    inside = (jnp.abs(y) < half_side) & (jnp.abs(x) < half_side)
    row, column = jnp.clip(row, 0, size - 1.001), jnp.clip(column, 0, size - 1.001)
    top, left = row.astype(int), column.astype(int)
    dy, dx = (row - top)[..., None], (column - left)[..., None]
    value = (1 - dy) * ((1 - dx) * plane[top, left] + dx * plane[top, left + 1])
    value = value + dy * ((1 - dx) * plane[top + 1, left] + dx * plane[top + 1, left + 1])
    return jnp.where(inside[..., None], value, 0.0)


def _spiral(p: Parameters, radius, angle, offset, sharpness, contrast):
    """Arm pattern of mean about 1, fading inside half a scale length."""
    winding = jnp.log(radius / p.scale_length + 0.1) / jnp.tan(p.pitch)
    phase = p.arms * (p.chirality * angle - winding) + offset
    pattern = jnp.exp(sharpness * (jnp.cos(phase) - 1))
    # mean over phase of exp(kappa (cos - 1)) is e^-kappa I0(kappa)
    pattern = pattern / jax.scipy.special.i0e(sharpness)
    strength = contrast * jax.nn.sigmoid((radius / p.scale_length - 0.5) / 0.1)
    return 1 - strength + strength * pattern


def _lognormal(field, spread):
    return jnp.exp(spread * field - spread**2 / 2)


def build(key: Array, p: Parameters) -> Structure:
    """Paint one galaxy.

    Parameters
    ----------
    key : Array
        A jax random key for the clumps.
    p : Parameters
        The galaxy's numbers.

    Returns
    -------
    Structure
    """
    star_key, dust_key, sky_key, side_key = jax.random.split(key, 4)
    length = p.scale_length
    half_side = jnp.maximum(EXTENT * p.half_light_radius, 18.0)
    cell = 2 * half_side / PLANE
    axis = (jnp.arange(PLANE) - (PLANE - 1) / 2) * cell
    y, x = jnp.meshgrid(axis, axis, indexing="ij")
    radius = jnp.sqrt(x**2 + y**2) + 1e-3
    angle = jnp.arctan2(y, x)
    edge = jax.nn.sigmoid((4.8 * length - radius) / (0.4 * length))

    # Clumps, the same fields seen through a rotation that winds them up.
    fields = jnp.stack(
        [
            gaussian_field(k, PLANE, cell, p.clump_scale, p.clump_slope)
            for k in (star_key, dust_key)
        ],
        axis=-1,
    )
    swirl = p.chirality * p.clump_shear * jnp.log(radius / length + 0.3) / jnp.tan(p.pitch)
    wound_y = radius * jnp.sin(angle - swirl)
    wound_x = radius * jnp.cos(angle - swirl)
    star_field, other = jnp.moveaxis(sample_plane(fields, wound_y, wound_x, half_side), -1, 0)
    match = p.clump_match
    dust_field = match * star_field + jnp.sqrt(1 - match**2) * other

    # Off-centre young light and dust (irregulars).
    side = jax.random.uniform(side_key, (), maxval=2 * jnp.pi)
    away_y = y - p.lopsided * length * jnp.sin(side)
    away_x = x - p.lopsided * length * jnp.cos(side)
    away = jnp.sqrt(away_y**2 + away_x**2) + 1e-3

    along = x * jnp.cos(p.bar_angle) + y * jnp.sin(p.bar_angle)
    across = y * jnp.cos(p.bar_angle) - x * jnp.sin(p.bar_angle)
    bar = jnp.exp(-((along / (p.bar_length * length)) ** 4) - (across / (0.3 * length)) ** 2)
    old = edge * jnp.exp(-radius / length)
    old = (1 - p.bar_fraction) * old / old.sum() + p.bar_fraction * bar / bar.sum()
    old = old / old.sum()
    young = edge * jnp.exp(-away / (p.young_length * length))
    young = young * _spiral(p, radius, angle, 0.0, p.arm_sharpness, p.arm_contrast)
    young = young * _lognormal(star_field, p.star_clumps)

    dust = _dust(p, radius, angle, away) * edge * _lognormal(dust_field, p.dust_clumps)
    # The old disc grows from the inside out: its light belongs to an outer population
    # in proportion to the radius at first, wholly so far out.
    outer = old * radius / (radius + p.half_light_radius)
    wisps = gaussian_field(sky_key, IMAGE, jnp.ones(()), p.clump_scale, p.clump_slope)
    return Structure(
        parameters=p,
        half_side=half_side,
        stars=jnp.stack([old - outer, outer, young / young.sum()]) / cell**2,
        dust=p.optical_depth * dust,
        wisps=_lognormal(wisps, p.dust_wisps),
    )


def _dust(p: Parameters, radius, angle, away):
    """Smooth face-on dust of peak about 1: the disc and its lanes, rings, cuts."""
    scaled = away / p.scale_length
    disc = jnp.exp(-scaled / p.dust_length)
    disc = disc * (1 - jnp.exp(-((scaled / (p.hole + 1e-3)) ** 4)))
    # The lane lies inside the arm: a positive phase is reached at smaller radius.
    disc = disc * _spiral(p, radius, angle, p.lane_offset, p.lane_sharpness, p.lane_contrast)
    ring = jnp.exp(-0.5 * ((scaled - p.ring_radius) / p.ring_width) ** 2)
    nuclear = jnp.exp(-scaled / (0.12 + 0.15 * p.dust_length))
    # Flat-topped: nearly uniform over the stars.
    screen = jnp.exp(-((scaled / (1.6 * p.dust_length)) ** 4))
    facing = jnp.cos(angle - p.side_angle) * radius / p.scale_length
    one_sided = disc * jax.nn.sigmoid((facing - 0.3) / 0.15)
    cut = disc * jax.nn.sigmoid((p.truncation - scaled) / 0.05)
    kinds = jnp.stack([disc, ring, nuclear, one_sided, cut, screen, disc, disc])
    return kinds[p.dust]
