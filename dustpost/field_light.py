"""The light of the colour field counts in the host's fluxes.

The F of Eq. 6 of Siegel & Melchior (2024) is the flux of one spectrum for the whole host, in each
band that which fits the pixels best, weighted by their S/N. What the stars of a place have beside
it is the colour field's (`dustpost.colour`), c U y in the cube as it is seen. A galaxy that is red
in its bright middle alone has a redder template than all its stars together. Its dust-free flux is

    F_i + sum_yx (c U y)_i (PSF_i * S) / (PSF_i * (S D^{k_i})),

with c and y drawn given the data and the rest of the galaxy: c of its scales by what each of them
gains, y from N(A^{-1} (t + nu), A^{-1}) (`dustpost.colour_covariance`). F and y are independent
given the rest, as U is orthogonal to the template in every band.
"""

import jax.numpy as jnp
from jax import Array

from dustpost.colour_covariance import band_sums, draw_field
from dustpost.forward import convolve
from dustpost.galaxy import Galaxy
from dustpost.posterior import Target


def whole_flux(key: Array, target: Target, galaxy: Galaxy, flux: Array) -> Array:
    """Draw the flux of all stars without their dust.

    Parameters
    ----------
    key : Array
        Random key.
    target : Target
    galaxy : Galaxy
    flux : Array, (band,)
        F of the one spectrum, as drawn with the galaxy.

    Returns
    -------
    Array, (band,)
        `flux` itself where the host has no colour field.
    """
    seen = target.behind(galaxy)
    if seen.colour is None:
        return flux
    field = draw_field(key, seen, galaxy.templates)
    bare = convolve(jnp.broadcast_to(galaxy.host, field.shape), seen.psf)
    # of light that float32 does not see next to the peak nothing is known
    faint = jnp.finfo(field.dtype).eps * jnp.max(galaxy.templates, axis=(1, 2), keepdims=True)
    return flux + band_sums(field * bare / jnp.maximum(galaxy.templates, faint))
