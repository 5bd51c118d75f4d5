"""The orbit: an exact invariance of the likelihood, and what it saves a sampler."""

from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost import coordinates
from dustpost.attenuation import band_attenuation
from dustpost.likelihood import log_likelihood
from dustpost.priors.gaussian import GaussianPrior, matern_power
from dustpost.samplers import gibbs, orbit
from tests import gaussian_world as world


@flax.struct.dataclass
class Depth(GaussianPrior):
    """Gaussian optical depth: the orbit is a translation of it."""

    coordinate = "optical_depth"

    def transmission(self, clean):
        """D of u."""
        return jnp.exp(-clean)

    def latent(self, transmission):
        """u of D."""
        return -jnp.log(transmission)


def covered(noise: float):
    """Every pixel behind 0.5 +- 0.15 of optical depth, most of it in common; fluxes free."""
    seen = world.target(noise)
    power = matern_power(world.SHAPE, 0.02**2, 1.0).at[0, 0].set(64 * 0.15**2)
    broad = jnp.eye(3) * 2.0
    free = seen.flux_prior.replace(scale_tril=broad, precision=jnp.eye(3) / 4.0)
    return seen.replace(
        dust_prior=Depth(jnp.full(world.SHAPE, 0.5), power),
        flux_prior=free,
        sigma_dust=jnp.asarray(0.01),
    )


def _invariance(dtype):
    target = world.target()
    target = jax.tree.map(lambda x: jnp.asarray(x, dtype), target)
    keys = jax.random.split(jax.random.key(0), 2)
    position, flux = world.draw_prior(keys[0], target)
    target = world.draw_data(keys[1], target, position, flux)
    galaxy = target.galaxy(position)
    seen = target.observation
    k = band_attenuation(seen.wavelength, seen.weight, position.slope, target.curve, target.norm)

    def value(c):
        moved = target.explicit(galaxy.host, c * galaxy.transmission, position.slope)[1]
        return log_likelihood(seen, moved.templates, flux * c**-k)

    assert seen.psf.shape[-1] > 1 and (seen.ivar == 0).any()
    return [abs(float(value(c) / value(1.0) - 1)) for c in (0.7, 0.9, 1.2)]


def test_the_likelihood_does_not_change_along_the_orbit():
    assert max(_invariance(jnp.float32)) < 1e-5


def test_the_likelihood_does_not_change_along_the_orbit_in_double_precision(float64):
    assert max(_invariance(jnp.float64)) < 1e-12


@pytest.mark.parametrize("name", ["transmission", "depth"])
def test_direction_is_the_derivative_by_optical_depth(name):
    prior = covered(0.01).dust_prior if name == "depth" else world.target().dust_prior
    target = world.target().replace(dust_prior=prior)
    transmission = jnp.linspace(0.2, 0.9, 64).reshape(world.SHAPE)
    step = 1e-2
    moved = prior.latent(transmission * jnp.exp(-step)) - prior.latent(transmission)
    np.testing.assert_allclose(orbit.direction(target, transmission), moved / step, rtol=0.01)


@partial(jax.jit, static_argnames=("scan", "sweeps", "chains"))
def log_screens(key, target, position, tuning, scan, sweeps, chains):
    def one(key):
        first, key = jax.random.split(key)

        def sweep(state, key):
            state, info = gibbs.kernel(key, state, target, tuning, 4, scan=scan)
            galaxy = state.galaxy
            return state, coordinates.log_screen(galaxy.host, galaxy.transmission)

        start = gibbs.init(first, position, target)
        return jax.lax.scan(sweep, start, jax.random.split(key, sweeps))[1]

    return jax.vmap(one)(jax.random.split(key, chains))


def _rate(draws, sd):
    """Sweeps that a random walk with these steps takes to cross sd^2."""
    return 2 * sd**2 / np.mean(np.diff(draws, axis=1) ** 2)


def test_a_covered_galaxy_mixes_within_sweeps():
    target = covered(noise=1e-4)
    keys = jax.random.split(jax.random.key(1), 3)
    position, flux = world.draw_prior(keys[0], target)
    target = world.draw_data(keys[1], target, position, flux)
    times = {}
    for scan in (("orbit", "dust"), ("dust",)):
        tuning = jax.jit(gibbs.tune, static_argnames=("scan",))(target, position, 0.25, scan=scan)
        if "orbit" in scan:  # along the orbit there is the prior alone: 0.15, not the data
            tuning.precision["orbit"] = jnp.asarray(0.15**-2)
            tuning.step["orbit"] = jnp.asarray(0.5)
        draws = np.asarray(log_screens(keys[2], target, position, tuning, scan, 300, 8))[:, 100:]
        times[scan] = _rate(draws, 0.15)
    assert times["orbit", "dust"] < 5
    assert times["dust",] > 1000
