"""A small world in which every density is known: Gaussian priors on 8x8 pixels.

The dust does not depend on the host here, so that the cross term is zero and the blocks are
conditionals of one joint density.
"""

from dataclasses import fields
from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from dustpost import coordinates
from dustpost.galaxy import Position
from dustpost.observation import Observation
from dustpost.posterior import Target
from dustpost.priors.gaussian import GaussianPrior, matern_power
from dustpost.priors.slope import slope_prior
from dustpost.priors.spectrum import StellarFlux
from dustpost.samplers import gibbs
from dustpost.samplers.grey import Curve

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


def grey_curve() -> Curve:
    """A curve of the grey move, of none of the galaxies: dust in a corner."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] - 3.5
    light, depth = np.exp(-np.hypot(y, x) / 2), 0.3 * np.exp(-((y - 2) ** 2 + x**2) / 8)
    return Curve(*(jnp.asarray(part, float) for part in (light, -depth, 0.2)))


def draw_prior(key: jax.Array, target: Target) -> tuple[Position, jax.Array]:
    """Position and fluxes from the prior."""
    host_key, dust_key, slope_key, flux_key = jax.random.split(key, 4)
    host = target.host_prior.sample(host_key, target.sigma_host)
    position = Position(
        host,
        target.draw_dust(dust_key, target.host_of(host)[0]),
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


def brisk_target(noise: float = 0.004) -> Target:
    """The same world with fields of short correlation, in which short runs mix."""
    wide = target(noise)
    light, clear = wide.host_prior.mean, wide.dust_prior.mean
    return wide.replace(
        host_prior=GaussianPrior(light, matern_power(SHAPE, 0.1, 0.5)),
        dust_prior=GaussianPrior(clear, matern_power(SHAPE, 0.006, 0.5)),
    )


def functionals(slope, flux, host, transmission, position):
    """Numbers by which two samplers are compared."""
    attenuation = coordinates.mean_attenuation(host, transmission, 1.0)
    values = [slope, jnp.log(flux[0]), jnp.log(flux[2]), attenuation, position.dust[3, 4]]
    return jnp.stack([*values, position.host[3, 3], host[3, 4], transmission[4, 4]])


@partial(jax.jit, static_argnames=("sweeps", "chains"))
def by_sweeps(key, target, position, tuning, sweeps, chains):
    """Functionals (chain, sweep, ...) of the package's own sweeps."""

    def one(key):
        first, key = jax.random.split(key)

        def sweep(state, key):
            state, _ = gibbs.kernel(key, state, target, tuning, 4)
            galaxy, place = state.galaxy, state.position
            return state, functionals(
                place.slope, state.flux.value, galaxy.host, galaxy.transmission, place
            )

        start = gibbs.init(first, position, target)
        return jax.lax.scan(sweep, start, jax.random.split(key, sweeps))[1]

    return jax.vmap(one)(jax.random.split(key, chains))


@flax.struct.dataclass
class CoupledGaussian(GaussianPrior):
    """White dust tied to a white host: v = mean + tie (z0 - host_mean) + e, e of `power`.

    The cross term and the joint posterior mean are closed forms, pixel by pixel.
    """

    host_mean: jax.Array
    host_power: jax.Array
    tie: jax.Array

    def _given(self, z, tau, sigma):
        gain = self.host_power / (self.host_power + tau**2)
        mean = self.mean + self.tie * gain * (z - self.host_mean)
        own = self.tie**2 * self.host_power * (1 - gain) + self.power
        return mean, own, own + sigma**2, gain

    def conditional(self, z, x, tau, sigma):
        """Cross term, and E[v | z, x]."""
        mean, own, total, gain = self._given(z, tau, sigma)
        away = x - mean
        return self.tie * gain * away / total, mean + own / total * away

    def log_density(self, z, x, tau, sigma):
        """log p_sigma(x | z)."""
        mean, _, total, _ = self._given(z, tau, sigma)
        return -0.5 * jnp.sum((x - mean) ** 2 / total + jnp.log(2 * jnp.pi * total))

    def sample_dust(self, key, z, tau, sigma):
        """Draw x given z."""
        mean, _, total, _ = self._given(z, tau, sigma)
        return mean + jnp.sqrt(total) * jax.random.normal(key, z.shape)


def coupled_target(noise: float = 0.05) -> Target:
    """A world with a cross term, for `cross_term="full"`."""
    free = target(noise)
    light, flat = free.host_prior.mean, jnp.ones(SHAPE)
    return free.replace(
        host_prior=GaussianPrior(light, 0.1 * flat),
        dust_prior=CoupledGaussian(0.7 * flat, 0.002 * flat, light, 0.1 * flat, -0.15 * flat),
        cross_term="full",
    )


@flax.struct.dataclass
class ScoreOnlyGaussian(GaussianPrior):
    """The same prior to a sampler that is not told its density."""

    log_density = None


@flax.struct.dataclass
class Dimmed(GaussianPrior):
    """Dust that is thicker where its host is bright; the condition is all it goes by."""

    tie: float = 4.0

    def denoise(self, latent, sigma, condition=None):
        """E[v | x, S]."""
        shift = -self.tie * condition
        return super().denoise(latent - shift, sigma) + shift

    def sample(self, key, sigma, condition=None):
        """Draw x given S."""
        return super().sample(key, sigma) - self.tie * condition

    def log_density(self, latent, sigma, condition=None, clean=None):
        """log p_sigma(x | S), normalised."""
        return super().log_density(latent + self.tie * condition, sigma)


@flax.struct.dataclass
class ScoreOnlyDimmed(Dimmed):
    """Likewise, its density withheld."""

    log_density = None


def dimmed_target(noise: float = 0.05) -> Target:
    """Scores alone, the dust given its host."""
    free = score_only(target(noise))
    dust = ScoreOnlyDimmed(free.dust_prior.mean, free.dust_prior.power)
    return free.replace(dust_prior=dust)


def full_target(noise: float = 0.05) -> Target:
    """Densities, the dust's a function of the host: the cross term is its gradient."""
    free = target(noise)
    dust = Dimmed(free.dust_prior.mean, free.dust_prior.power)
    return free.replace(dust_prior=dust, cross_term="full")


def anchored_target(noise: float = 0.05) -> Target:
    """The same, the dust given one host, which is another than the galaxy's own."""
    return anchored(dimmed_target(noise))


def anchored(free: Target) -> Target:
    """A target with its dust given the host of the prior's mean."""
    host = free.host_of(free.host_prior.mean)[0].image
    return free.replace(cross_term="anchored", anchor=host)


@flax.struct.dataclass
class ScoreOnlyCoupled(CoupledGaussian):
    """Likewise, dust and cross term."""

    log_density = None


def score_only(target: Target) -> Target:
    """The target with its densities withheld: Metropolis ratios then come from the scores."""

    def withheld(prior):
        kind = ScoreOnlyCoupled if isinstance(prior, CoupledGaussian) else ScoreOnlyGaussian
        return kind(**{field.name: getattr(prior, field.name) for field in fields(prior)})

    priors = {name: withheld(getattr(target, name)) for name in ("host_prior", "dust_prior")}
    return target.replace(**priors)
