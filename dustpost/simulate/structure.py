"""The random geometry of one galaxy: stars and dust, in three dimensions.

Stars are a Sersic spheroid, an old disc exp(-R/h) sech^2(z/z_old) with or
without a bar, and a young disc with logarithmic arms and lognormal clumps. Dust
has a scale length and height of its own (0.5-1.6 of the stars', as in the fits
of Xilouris et al. 1999 and beyond), lanes on the inner side of the arms, rings,
nuclear discs, one-sided lanes, thick screens, or is absent. This file draws the
numbers; planes.py paints them on the disc's plane, matter.py puts them into
three dimensions, rays.py looks at them from outside.

Lengths are in pixels of the 64x64 image, optical depths at 0.4754 micron.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

# The kinds of galaxy and of dust, and how often each is drawn.
GALAXIES = ("spiral", "elliptical", "irregular")
GALAXY_ODDS = (0.66, 0.16, 0.18)
DUSTS = ("disc", "ring", "nuclear", "one-sided", "truncated", "screen", "trace", "none")
GRAIN_ODDS = (0.6, 0.2, 0.2)
DUST_ODDS = (0.43, 0.09, 0.08, 0.08, 0.07, 0.13, 0.05, 0.07)


class Parameters(NamedTuple):
    """The numbers behind one galaxy; all scalars.

    Attributes
    ----------
    galaxy, dust, grains : Array, int
        Index into `GALAXIES`, `DUSTS` and `dustpost.simulate.grains.KINDS`.
    cos_inclination, position_angle : Array
        Cosine of the inclination (1 face-on); angle of the major axis, radian.
    centre_y, centre_x, blur : Array
        Offset of the centre and Gaussian sigma of the image's sharpness, pixel.
    half_light_radius : Array
        Of the disc seen face-on, or of the spheroid where there is no disc; pixel.
    bulge_fraction, young_fraction : Array
        Shares of the light at 0.4754 micron; the old disc has the rest.
    bulge_radius, bulge_index, bulge_flattening : Array
        Effective radius (pixel), Sersic index, axis ratio of the spheroid.
    young_length, old_height, young_height : Array
        In disc scale lengths.
    arms, pitch, arm_contrast, arm_sharpness, chirality : Array
        Number, angle (radian), share of the young light in the arms, their
        concentration in phase, and the sense of winding (+1 or -1).
    bar_fraction, bar_length, bar_angle : Array
        Share of the old disc's light; length in scale lengths; radian.
    lopsided : Array
        Offset of the young light and of the dust from the centre, scale lengths.
    star_clumps, dust_clumps, dust_wisps : Array
        Standard deviations of ln(density): young stars and dust in the plane,
        dust across the sky (fine structure out of the plane).
    clump_scale, clump_slope, clump_shear, clump_match : Array
        Outer scale (pixel), slope of the power spectrum, how far rotation has
        wound the clumps up, correlation of dust clumps with stellar ones.
    optical_depth : Array
        Face-on, at 0.4754 micron, where the smooth dust is densest.
    dust_length, dust_height : Array
        Radial scale (disc scale lengths); scale height (pixel).
    lane_contrast, lane_offset, lane_sharpness : Array
        As for the arms; the offset is a phase in radian, to the inner side.
    ring_radius, ring_width, hole, side_angle, truncation : Array
        Of the dust: ring and central hole and cut (scale lengths), the
        direction of the dusty side (radian).
    """

    galaxy: Array
    dust: Array
    grains: Array
    cos_inclination: Array
    position_angle: Array
    centre_y: Array
    centre_x: Array
    blur: Array
    half_light_radius: Array
    bulge_fraction: Array
    young_fraction: Array
    bulge_radius: Array
    bulge_index: Array
    bulge_flattening: Array
    young_length: Array
    old_height: Array
    young_height: Array
    arms: Array
    pitch: Array
    arm_contrast: Array
    arm_sharpness: Array
    chirality: Array
    bar_fraction: Array
    bar_length: Array
    bar_angle: Array
    lopsided: Array
    star_clumps: Array
    dust_clumps: Array
    dust_wisps: Array
    clump_scale: Array
    clump_slope: Array
    clump_shear: Array
    clump_match: Array
    optical_depth: Array
    dust_length: Array
    dust_height: Array
    lane_contrast: Array
    lane_offset: Array
    lane_sharpness: Array
    ring_radius: Array
    ring_width: Array
    hole: Array
    side_angle: Array
    truncation: Array

    @property
    def scale_length(self) -> Array:
        """Disc scale length h = R_half / 1.678, pixel."""
        return self.half_light_radius / 1.678


def draw_parameters(key: Array) -> Parameters:
    """Draw one galaxy's numbers.

    Parameters
    ----------
    key : Array
        A jax random key.

    Returns
    -------
    Parameters
    """
    # One vector of draws: 64 separate generators take seconds to compile.
    draws = iter(jax.vmap(jax.random.uniform)(jax.random.split(key, 64)))

    def uniform(low, high):
        return low + (high - low) * next(draws)

    def log_uniform(low, high):
        return jnp.exp(uniform(jnp.log(low), jnp.log(high)))

    def choice(odds):
        edges = jnp.cumsum(jnp.asarray(odds))
        return jnp.searchsorted(edges, edges[-1] * (1 - next(draws)))

    galaxy, dust = choice(GALAXY_ODDS), choice(DUST_ODDS)
    elliptical, irregular = galaxy == 1, galaxy == 2
    screen, trace, none = dust == 5, dust == 6, dust == 7

    half_light = log_uniform(4.0, 28.0)  # from a few pixels to all of the frame
    # Spheroids of half the ellipticals sit in a disc (lenticulars).
    lenticular = jnp.where(uniform(0, 1) < 0.5, 1.0, uniform(0.4, 0.95))
    bulge_share = jnp.where(uniform(0, 1) < 0.15, 0.0, uniform(0.02, 0.6))
    bulge_share = jnp.where(elliptical, lenticular, jnp.where(irregular, 0.0, bulge_share))
    young_share = jnp.where(irregular, uniform(0.4, 1.0), uniform(0.1, 0.9))
    young_share = jnp.where(elliptical, 0.15 * young_share, young_share)
    bulge_radius = half_light * jnp.where(elliptical & (bulge_share == 1), 1.0, uniform(0.1, 0.5))
    bulge_index = jnp.where(elliptical, uniform(1.5, 5.0), uniform(0.8, 4.0))

    # Thin dust in spirals, thicker in irregulars, and screens that enclose the stars.
    old_height = jnp.where(irregular, uniform(0.25, 0.6), uniform(0.08, 0.25))
    young_height = old_height * uniform(0.25, 0.8)
    length = half_light / 1.678
    thin = (
        length * old_height * jnp.where(uniform(0, 1) < 0.2, uniform(0.8, 1.5), uniform(0.2, 0.8))
    )
    dust_height = jnp.where(screen, length * uniform(0.4, 1.5), thin)
    depth = jnp.where(screen, log_uniform(0.1, 3.0), log_uniform(0.25, 12.0))
    depth = jnp.where(trace, log_uniform(0.003, 0.03), depth)

    return Parameters(
        galaxy=galaxy,
        dust=dust,
        grains=choice(GRAIN_ODDS),
        cos_inclination=uniform(0.0, 1.0),
        position_angle=uniform(0.0, 2 * jnp.pi),
        centre_y=uniform(-2.0, 2.0),
        centre_x=uniform(-2.0, 2.0),
        blur=uniform(0.3, 0.9),
        half_light_radius=half_light,
        bulge_fraction=bulge_share,
        young_fraction=(1.0 - bulge_share) * young_share,
        bulge_radius=bulge_radius,
        bulge_index=bulge_index,
        bulge_flattening=uniform(0.5, 1.0),
        young_length=uniform(0.8, 1.6),
        old_height=old_height,
        young_height=young_height,
        arms=1 + choice((0.08, 0.55, 0.17, 0.2)),
        pitch=jnp.deg2rad(uniform(10.0, 35.0)),
        arm_contrast=jnp.where(irregular, 0.0, uniform(0.0, 1.0)),
        arm_sharpness=uniform(1.0, 6.0),
        chirality=jnp.sign(uniform(-1.0, 1.0)),
        bar_fraction=jnp.where(uniform(0, 1) < 0.35, uniform(0.1, 0.4), 0.0),
        bar_length=uniform(0.5, 1.4),
        bar_angle=uniform(0.0, jnp.pi),
        lopsided=jnp.where(irregular, uniform(0.0, 0.7), uniform(0.0, 0.1)),
        star_clumps=jnp.where(irregular, uniform(0.4, 1.5), uniform(0.0, 1.3)),
        dust_clumps=jnp.where(screen, uniform(0.0, 0.8), uniform(0.1, 2.0)),
        dust_wisps=jnp.where(screen, uniform(0.0, 0.2), uniform(0.0, 0.6)),
        clump_scale=half_light * log_uniform(0.15, 1.5),
        clump_slope=uniform(2.0, 3.7),
        clump_shear=uniform(0.0, 1.0),
        clump_match=uniform(-0.3, 0.9),
        optical_depth=jnp.where(none, 0.0, depth),
        dust_length=jnp.where(screen, uniform(1.2, 3.5), uniform(0.5, 1.6)),
        dust_height=jnp.maximum(dust_height, 0.35),
        lane_contrast=jnp.where(irregular | elliptical | screen, 0.0, uniform(0.0, 1.0)),
        lane_offset=uniform(0.0, 0.9),
        lane_sharpness=log_uniform(1.5, 12.0),
        ring_radius=uniform(0.6, 2.5),
        ring_width=uniform(0.1, 0.4),
        hole=jnp.where(uniform(0, 1) < 0.2, uniform(0.3, 1.0), 0.0),
        side_angle=uniform(0.0, 2 * jnp.pi),
        truncation=uniform(0.4, 1.6),
    )
