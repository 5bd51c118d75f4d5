"""Ages and metallicities of a galaxy's stars, and from them the colours of its components.

Each component formed its stars at a constant rate between two ages (`starlight`):

    spheroid    from 1-10 to 13 Gyr ago (3-11 in ellipticals)
    old inner   old disc inside about one half-light radius: from 0.4-6 to 5-13 Gyr ago
                (2-8 to 10-13 in ellipticals, 0.2-2 to 3-13 in irregulars)
    old outer   the same disc outside, its ages less by the gradient (inside-out growth)
    young       from now to 0.1-6 Gyr ago (0.05-3 in irregulars)

Numbers are drawn per galaxy, so that colours scatter, and gradients too. The mean gradients
and metallicities have sources; the ranges are ours, wide enough to hold late and early types
whose colours were made otherwise (tests/test_populations.py):

- age gradient of discs: light-weighted -0.11 dex per effective radius in late types, flat
  in early ones (Goddard et al. 2017, MNRAS 466, 4731, MaNGA); CALIFA finds all types younger
  and poorer in metals outwards (Gonzalez Delgado et al. 2015, A&A 581, A103). The halves of
  an exponential disc's light inside and outside its half-light radius lie 1.25 of it apart.
- metallicity gradient: negative in early and late types (both papers), here -0.1 dex per
  half-light radius on average.
- metallicity: along the relation with stellar mass of Gallazzi et al. 2005 (MNRAS 362, 41),
  from below half of solar in irregulars to solar in ellipticals.

Real discs are dusty; these colours are the stars' own, dust is the ray marcher's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.simulate.starlight import colours_table, spectrum

BANDS = ("hsc2017-g", "hsc2017-r", "hsc2017-i", "hsc2017-z", "hsc2017-y")
COMPONENTS = ("spheroid", "old inner", "old outer", "young")
FIRST_STARS = 13.0  # Gyr ago
SEPARATION = 1.25  # of the inner and the outer light, half-light radii


class Populations(NamedTuple):
    """The stars of one galaxy, by component.

    Attributes
    ----------
    start, end : Array, (component,)
        Ages of the youngest and of the oldest stars, Gyr.
    metallicity : Array, (component,)
        log10 Z/Z_sun.
    """

    start: Array
    end: Array
    metallicity: Array


def draw_populations(key: Array, galaxy: Array) -> Populations:
    """Draw the ages and metallicities of one galaxy's components.

    Parameters
    ----------
    key : Array
        A jax random key.
    galaxy : Array, int
        0 spiral, 1 elliptical, 2 irregular (`structure.GALAXIES`).

    Returns
    -------
    Populations
        In the order of `COMPONENTS`.
    """
    uniform_key, normal_key = jax.random.split(key)
    draws = iter(jax.random.uniform(uniform_key, (4,)))
    normals = iter(jax.random.normal(normal_key, (5,)))

    def log_uniform(low, high):
        return low * (high / low) ** next(draws)

    def of_kind(spiral, elliptical, irregular):
        return jnp.asarray([spiral, elliptical, irregular])[galaxy]

    bulge_start = log_uniform(of_kind(1.0, 3.0, 1.0), of_kind(10.0, 11.0, 10.0))
    disc_start = log_uniform(of_kind(0.4, 2.0, 0.2), of_kind(6.0, 8.0, 2.0))
    disc_end = log_uniform(of_kind(5.0, 10.0, 3.0), FIRST_STARS)
    young_end = log_uniform(of_kind(0.1, 0.1, 0.05), of_kind(6.0, 6.0, 3.0))

    gradient = SEPARATION * of_kind(0.11, 0.0, 0.0) + 0.15 * next(normals)
    inner_start, outer_start = (disc_start * 10 ** (s * gradient / 2) for s in (1, -1))
    inner_end, outer_end = (disc_end * 10 ** (s * gradient / 2) for s in (1, -1))

    disc = of_kind(-0.1, 0.05, -0.4) + 0.2 * next(normals)
    step = SEPARATION * 0.1 + 0.1 * next(normals)
    bulge = disc + step + 0.15 * next(normals)
    young = disc + 0.1 + 0.1 * next(normals)

    start = jnp.stack([bulge_start, inner_start, outer_start, jnp.zeros(())])
    end = jnp.stack([jnp.full((), FIRST_STARS), inner_end, outer_end, young_end])
    end = jnp.minimum(end, FIRST_STARS)
    return Populations(
        # half a Gyr at least, but for the young
        start=jnp.minimum(start, jnp.maximum(end - 0.5, 0.0)),
        end=end,
        metallicity=jnp.stack([bulge, disc + step / 2, disc - step / 2, young]),
    )


def draw_colours(
    key: Array, galaxy: Array, bands: Sequence[str | float] = BANDS, redshift: float = 0.0
) -> Array:
    """Draw the spectra of one galaxy's components.

    Parameters
    ----------
    key : Array
        A jax random key.
    galaxy : Array, int
        0 spiral, 1 elliptical, 2 irregular.
    bands : sequence of str or float, (band,)
        Speclite names, or micron; with `redshift` fixed when the function is compiled.
    redshift : float
        Of the galaxy.

    Returns
    -------
    Array, (band, component)
        f_nu in each band over that at 0.4754 micron, in the order of `COMPONENTS`; one
        error of the library, common to the components, is drawn with them.
    """
    table = colours_table(tuple(bands), redshift)
    star_key, error_key = jax.random.split(key)
    stars = draw_populations(star_key, galaxy)
    spectra = jax.vmap(lambda *numbers: spectrum(table, *numbers), out_axes=1)(*stars)
    mismatch = jnp.asarray(table.mismatch)
    error = mismatch @ jax.random.normal(error_key, mismatch.shape[1:])
    return spectra * jnp.exp(error)[:, None]
