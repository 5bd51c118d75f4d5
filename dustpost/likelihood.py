"""Masked Gaussian likelihood, with the band fluxes in sight.

    ln L(F) = -1/2 sum w (Y - F m)^2 + 1/2 sum ln(w / 2 pi),   w = ivar / inflation^2

over pixels with w > 0. In each band it is normal in F_i:

    P_i = sum m^2 w,   F^_i = sum m Y w / P_i,   chi2_i(F) = chi2_i(F^) + P_i (F_i - F^_i)^2

chi2(F^) is summed from residuals: the textbook form sum Y^2 w - F^^2 P takes the
difference of numbers of the order of S/N^2, which float32 does not survive.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.observation import Observation


class FluxFit(NamedTuple):
    """Likelihood of the band fluxes for fixed templates.

    Attributes
    ----------
    estimate, precision : Array, (band,)
        F^ and P, in the unit of the data and its inverse square.
    log_peak : Array, ()
        ln L at F = F^.
    """

    estimate: Array
    precision: Array
    log_peak: Array


def fit_flux(observation: Observation, templates: Array) -> FluxFit:
    """Best flux per band, its precision, and the likelihood there.

    Parameters
    ----------
    observation : Observation
        Its `ivar` already holds any `noise_inflation` (see `inflate_noise`).
    templates : Array, (band, y, x)
        Model at unit flux.
    """
    data, ivar = observation.data, observation.ivar
    # float32's tiny keeps an all-dark template finite; its precision is then 0
    precision = _sum(templates**2 * ivar) + jnp.finfo(data.dtype).tiny
    estimate = _sum(templates * data * ivar) / precision
    # chi2 is stationary in F at F^, so its gradient does not pass through F^
    estimate_held = jax.lax.stop_gradient(estimate)
    residual = data - estimate_held[:, None, None] * templates
    chi2 = jnp.sum(_sum(residual**2 * ivar))
    return FluxFit(estimate, precision, -0.5 * chi2 + log_normalisation(observation))


def log_likelihood(observation: Observation, templates: Array, flux: Array) -> Array:
    """ln L of fluxes (band,) and templates (band, y, x)."""
    residual = observation.data - flux[:, None, None] * templates
    chi2 = jnp.sum(_sum(residual**2 * observation.ivar))
    return -0.5 * chi2 + log_normalisation(observation)


def log_normalisation(observation: Observation) -> Array:
    """1/2 sum ln(w / 2 pi) over the pixels that count."""
    seen = observation.ivar > 0
    safe = jnp.where(seen, observation.ivar, 1.0)
    return 0.5 * jnp.sum(_sum(jnp.where(seen, jnp.log(safe / (2 * jnp.pi)), 0.0)))


def inflate_noise(observation: Observation, noise_inflation: float) -> Observation:
    """Multiply the noise sd by a factor, as correlated noise asks for."""
    return observation._replace(ivar=observation.ivar / noise_inflation**2)


def _sum(cube: Array) -> Array:
    # rows first: partial sums keep float32's rounding near its own epsilon
    return jnp.sum(jnp.sum(cube, axis=-1), axis=-1)
