"""Masked Gaussian likelihood, with the band fluxes in sight.

    ln L(F) = -1/2 sum w (Y - F m)^2 + 1/2 sum ln(w / 2 pi),   w = ivar / inflation^2

over pixels with w > 0. In each band it is normal in F_i:

    P_i = sum m^2 w,   F^_i = sum m Y w / P_i,   chi2_i(F) = chi2_i(F^) + P_i (F_i - F^_i)^2

chi2(F^) is summed from residuals: the textbook form sum Y^2 w - F^^2 P takes the
difference of numbers of the order of S/N^2, which float32 does not survive.

A colour field of the host (`dustpost.colour`) adds a covariance of low rank. Of its templates
T the part along the model is taken out, band by band, as it is F's:

    C = 1/w + U U^T,   U_k = T_k - m (m w T_k) / (m w m),   A = 1 + U^T w U,

so that F^ and P stay what they are, and

    chi2 = sum w r^2 - (U^T w r)^T A^{-1} (U^T w r),   ln|C| = -sum ln w + ln|A|.

How much the colours of a galaxy vary is not known: U has one of a few factors c, as likely as
each other, with A = 1 + c^2 U^T w U, and L is the mean of theirs.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular
from jax.scipy.special import logsumexp

from dustpost.observation import Colour, Observation

_MEAN = np.ones(1)  # the scale whose C is the mean over scales


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
    return FluxFit(estimate, precision, _log_density(observation, templates, residual))


def log_likelihood(observation: Observation, templates: Array, flux: Array) -> Array:
    """ln L of fluxes (band,) and templates (band, y, x)."""
    residual = observation.data - flux[:, None, None] * templates
    return _log_density(observation, templates, residual)


def log_normalisation(observation: Observation) -> Array:
    """1/2 sum ln(w / 2 pi) over the pixels that count."""
    seen = observation.ivar > 0
    safe = jnp.where(seen, observation.ivar, 1.0)
    return 0.5 * jnp.sum(_sum(jnp.where(seen, jnp.log(safe / (2 * jnp.pi)), 0.0)))


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
        scaled = colour.templates / root, colour.weighted * root
        colour = colour._replace(templates=scaled[0], weighted=scaled[1])
    return observation._replace(ivar=power * observation.ivar, colour=colour)


def with_colour(
    observation: Observation, colour: Array, scales: Sequence[float] = (1.0,)
) -> Observation:
    """The observation behind a colour field.

    Parameters
    ----------
    observation : Observation
        As the telescope saw it.
    colour : Array, (k, band, y, x)
        Templates T of the field; 0 where masked.
    scales : sequence of float
        Factors of T that it may have; here divided by their rms.
    """
    weighted = colour * observation.ivar[None]
    gram = jnp.einsum("kbyx,lbyx->kl", weighted, colour)
    factors = jnp.asarray(scales, colour.dtype)
    factors = factors / jnp.sqrt(jnp.mean(factors**2))
    return observation._replace(colour=Colour(colour, weighted, gram, factors))


def expected_cube(observation: Observation, templates: Array, flux: Array) -> Array:
    """Model of what the telescope saw, (band, y, x).

    With what the residual says of the colour field, E[U c | Y].
    """
    model = flux[:, None, None] * templates
    if observation.colour is None:
        return model
    scales = observation.colour.scales
    free = _free(observation, templates, scales)
    along = _along(observation, templates, free, observation.data)
    share = jax.nn.softmax(_gain(free, scales, along)) * scales**2
    tilt = share @ jax.vmap(lambda factor: cho_solve((factor, True), along))(free.factor)
    of_model = (tilt @ free.share)[:, None, None] * templates
    field = jnp.einsum("k,kbyx->byx", tilt, observation.colour.templates)
    return model + field - of_model


def free_colour(observation: Observation, templates: Array) -> Array:
    """U, (k, band, y, x): the colour field's templates without their part along the model."""
    share = _free(observation, templates, _MEAN).share[:, :, None, None]
    return observation.colour.templates - share * templates[None]


def weighted(observation: Observation, templates: Array, change: Array) -> Array:
    """C^{-1} dm of a change dm of the model cube, (band, y, x), at the mean of the C."""
    plain = observation.ivar * change
    if observation.colour is None:
        return plain
    free = _free(observation, templates, _MEAN)
    along = cho_solve((free.factor[0], True), _along(observation, templates, free, change))
    of_model = (along @ free.share)[:, None, None] * observation.ivar * templates
    return plain - jnp.einsum("k,kbyx->byx", along, observation.colour.weighted) + of_model


def hidden_by_colour(observation: Observation, templates: Array) -> Callable[[Array], Array]:
    """A map h of changes dm of the model cube, with dm^T C^-1 dm = dm^T w dm - |h(dm)|^2.

    C is the mean of those of the scales. h has the length of the colour field's templates; where
    there is none it is one 0.
    """
    if observation.colour is None:
        return lambda change: jnp.zeros(1, change.dtype)
    free = _free(observation, templates, _MEAN)
    return lambda change: solve_triangular(
        free.factor[0], _along(observation, templates, free, change), lower=True
    )


class _Free(NamedTuple):
    """m w T / m w m, (k, band), and the Cholesky factor of A for every scale, (scale, k, k)."""

    share: Array
    factor: Array


def _free(observation: Observation, templates: Array, scales: Array) -> _Free:
    colour = observation.colour
    precision = _sum(templates**2 * observation.ivar) + jnp.finfo(templates.dtype).tiny
    along = jnp.einsum("kbyx,byx->kb", colour.weighted, templates)
    share = along / precision[None]
    curvature = colour.gram - share @ along.T
    one = jnp.eye(len(along), dtype=templates.dtype)
    square = jnp.asarray(scales, templates.dtype)[:, None, None] ** 2
    return _Free(share, jnp.linalg.cholesky(one[None] + square * curvature[None]))


def _along(observation: Observation, templates: Array, free: _Free, change: Array) -> Array:
    """U^T w dm, (k,)."""
    of_colour = jnp.einsum("kbyx,byx->k", observation.colour.weighted, change)
    return of_colour - free.share @ _sum(templates * observation.ivar * change)


def _gain(free: _Free, scales: Array, along: Array) -> Array:
    """What the field of each scale adds to ln L, (scale,); `along` is U^T w r."""

    def of(factor, scale):
        hidden = solve_triangular(factor, scale * along, lower=True)
        return 0.5 * jnp.sum(hidden**2) - jnp.sum(jnp.log(jnp.diag(factor)))

    return jax.vmap(of)(free.factor, scales)


def _log_density(observation: Observation, templates: Array, residual: Array) -> Array:
    log_density = log_normalisation(observation)
    log_density = log_density - 0.5 * jnp.sum(_sum(residual**2 * observation.ivar))
    if observation.colour is None:
        return log_density
    scales = observation.colour.scales
    free = _free(observation, templates, scales)
    gain = _gain(free, scales, _along(observation, templates, free, residual))
    return log_density + logsumexp(gain) - math.log(len(scales))


def _sum(cube: Array) -> Array:
    # rows first: partial sums keep float32's rounding near its own epsilon
    return jnp.sum(jnp.sum(cube, axis=-1), axis=-1)
