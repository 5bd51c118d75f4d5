"""A small world in which every density is known: Gaussian priors on 8x8 pixels.

The dust does not depend on the host here, so that the cross term is zero and the blocks are
conditionals of one joint density.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.observation import Observation
from dustpost.posterior import Position, Target
from dustpost.priors.gaussian import GaussianPrior, matern_power
from dustpost.priors.slope import slope_prior
from dustpost.priors.spectrum import StellarFlux

SHAPE = (8, 8)


def flux_prior() -> StellarFlux:
    covariance = np.array([[0.10, 0.08, 0.08], [0.08, 0.10, 0.08], [0.08, 0.08, 0.10]])
    factor, inverse = np.linalg.cholesky(covariance), np.linalg.inv(covariance)
    return StellarFlux(*(jnp.asarray(x, float) for x in (np.log([2.0, 3.0, 4.0]), factor, inverse)))


def target(noise: float = 0.02) -> Target:
    """Three bands, a small PSF per band, one masked pixel; peak S/N of about 0.15 / noise."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] - 3.5
    light = np.log1p(np.exp(-np.hypot(y, x) / 2)) / 0.1 + 1.0
    ivar = np.full((3, *SHAPE), noise**-2)
    ivar[1, 2, 3] = 0.0
    psf = np.full((3, 3, 3), 0.05)
    psf[:, 1, 1] = [0.6, 0.7, 0.8]
    psf /= psf.sum(axis=(1, 2), keepdims=True)
    waves = np.array([[0.4754], [0.62], [0.89]])
    parts = (np.zeros((3, *SHAPE)), ivar, psf, waves, np.ones_like(waves))
    return Target(
        observation=Observation(*(jnp.asarray(p, float) for p in parts)),
        host_prior=GaussianPrior(jnp.asarray(light, float), matern_power(SHAPE, 0.3, 2.0)),
        dust_prior=GaussianPrior(jnp.full(SHAPE, 0.7), matern_power(SHAPE, 0.008, 2.0)),
        flux_prior=flux_prior(),
        slope_prior=slope_prior(),
        sigma_host=jnp.asarray(0.2),
        sigma_dust=jnp.asarray(0.05),
    )


def draw_prior(key: jax.Array, target: Target) -> tuple[Position, jax.Array]:
    """Position and fluxes from the prior."""
    host_key, dust_key, slope_key, flux_key = jax.random.split(key, 4)
    position = Position(
        target.host_prior.sample(host_key, target.sigma_host),
        target.dust_prior.sample(dust_key, target.sigma_dust),
        target.slope_prior.sample(slope_key),
    )
    prior = target.flux_prior
    noise = jax.random.normal(flux_key, prior.mean.shape)
    return position, jnp.exp(prior.mean + prior.scale_tril @ noise)


def draw_data(key: jax.Array, target: Target, position: Position, flux: jax.Array) -> Target:
    """The target with data drawn from the model at a position."""
    seen = target.observation
    model = flux[:, None, None] * target.galaxy(position).templates
    noise = jax.random.normal(key, model.shape) / jnp.sqrt(jnp.where(seen.ivar > 0, seen.ivar, 1.0))
    data = jnp.where(seen.ivar > 0, model + noise, 0.0)
    return target.replace(observation=seen._replace(data=data))


def log_joint(target: Target, position: Position) -> jax.Array:
    """ln of the collapsed posterior density, up to a constant."""
    explicit, _ = target.explicit(
        *target.galaxy(position)[:2],
        position.slope,
    )
    return (
        explicit
        + target.slope_prior.log_prob(position.slope)
        + target.host_prior.log_density(position.host, target.sigma_host)
        + target.dust_prior.log_density(position.dust, target.sigma_dust)
    )


def observed(key: jax.Array, target: Target) -> tuple[Target, Position]:
    """A galaxy drawn from the prior: the target with its data, and where it truly is."""
    prior_key, data_key = jax.random.split(key)
    position, flux = draw_prior(prior_key, target)
    return draw_data(data_key, target, position, flux), position


def brisk_target(noise: float = 0.05) -> Target:
    """The same world with fields of short correlation, in which short runs mix."""
    wide = target(noise)
    light, clear = wide.host_prior.mean, wide.dust_prior.mean
    return wide.replace(
        host_prior=GaussianPrior(light, matern_power(SHAPE, 0.1, 0.5)),
        dust_prior=GaussianPrior(clear, matern_power(SHAPE, 0.006, 0.5)),
    )
