"""Masked Gaussian likelihood, with the band fluxes in sight.

    ln L(F) = -1/2 sum w (Y - F m)^2 + 1/2 sum ln(w / 2 pi),   w = ivar / inflation^2

over pixels with w > 0. In each band it is normal in F_i:

    P_i = sum m^2 w,   F^_i = sum m Y w / P_i,   chi2_i(F) = chi2_i(F^) + P_i (F_i - F^_i)^2

chi2(F^) is summed from residuals: the textbook form sum Y^2 w - F^^2 P takes the
difference of numbers of the order of S/N^2, which float32 does not survive.

A colour field of the host (`dustpost.colour`) adds a covariance of low rank that leaves F^ and P
what they are (`dustpost.colour_covariance`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.colour_covariance import band_sums, expected_field, log_gain
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
    precision = band_sums(templates**2 * ivar) + jnp.finfo(data.dtype).tiny
    estimate = band_sums(templates * data * ivar) / precision
    # chi2 is stationary in F at F^, so its gradient does not pass through F^
    estimate_held = jax.lax.stop_gradient(estimate)
    residual = data - estimate_held[:, None, None] * templates
    return FluxFit(estimate, precision, _log_density(observation, templates, residual))


def log_likelihood(observation: Observation, templates: Array, flux: Array) -> Array:
    """ln L of fluxes (band,) and templates (band, y, x)."""
    residual = observation.data - flux[:, None, None] * templates
    return _log_density(observation, templates, residual)


def log_normalisation(observation: Observation) -> Array:
    """1/2 sum ln(w / 2 pi) over the pixels that count."""
    seen = observation.ivar > 0
    safe = jnp.where(seen, observation.ivar, 1.0)
    return 0.5 * jnp.sum(band_sums(jnp.where(seen, jnp.log(safe / (2 * jnp.pi)), 0.0)))


def inflate_noise(observation: Observation, noise_inflation: float) -> Observation:
    """Multiply the noise sd by a factor, as correlated noise asks for."""
    return observation._replace(ivar=observation.ivar / noise_inflation**2)


def temper(observation: Observation, power: Array | float) -> Observation:
    """The observation whose likelihood is that of another to a power, up to a constant.

    With a colour field, that of each of its scales.
    """
    colour = observation.colour
    if colour is not None:
        root = jnp.sqrt(jnp.asarray(power))
        follows = None if colour.follows is None else colour.follows / root
        colour = colour._replace(
            light=colour.light / root, expected=colour.expected * root, follows=follows
        )
    return observation._replace(ivar=power * observation.ivar, colour=colour)


def expected_cube(observation: Observation, templates: Array, flux: Array) -> Array:
    """Model of what the telescope saw, (band, y, x).

    With what the residual says of the colour field, E[U c | Y].
    """
    model = flux[:, None, None] * templates
    if observation.colour is None:
        return model
    return model + expected_field(observation, templates)


def _log_density(observation: Observation, templates: Array, residual: Array) -> Array:
    log_density = log_normalisation(observation)
    log_density = log_density - 0.5 * jnp.sum(band_sums(residual**2 * observation.ivar))
    if observation.colour is None:
        return log_density
    return log_density + log_gain(observation, templates, residual)
