"""The dust's fine structure: draws of D given x, in a Gaussian world and with the network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost import coordinates
from dustpost.assemble import build_target, choose_fine_prior
from dustpost.priors import fine
from dustpost.priors.dust import load_dust_prior
from dustpost.priors.gaussian import GaussianPrior, matern_power
from dustpost.settings import Settings
from dustpost.simulate.suite import draw_pairs
from tests.synthetic import make_cutout


class Unclipped(GaussianPrior):
    """Gaussian dust whose D is the latent itself."""

    def transmission(self, clean):
        """v."""
        return clean


def test_draws_have_the_law_of_the_map_given_its_latent():
    """Of pairs (v, x) the draw takes v's place: the same spread, and the same tie to x."""
    shape, sigma, count = (8, 8), jnp.asarray(0.2), 4000
    prior = Unclipped(jnp.full(shape, 0.7), matern_power(shape, 0.04, 1.0))
    clean_key, noise_key, draw_key = jax.random.split(jax.random.key(0), 3)
    exact = lambda key: prior.denoise(prior.sample(key, jnp.asarray(1e-4)), jnp.asarray(1e-4))  # noqa: E731
    clean = jax.vmap(exact)(jax.random.split(clean_key, count))
    latent = clean + sigma * jax.random.normal(noise_key, clean.shape)
    keys = jax.random.split(draw_key, count)
    drawn = jax.vmap(lambda key, x: fine.draw(key, prior, x, sigma, None))(keys, latent)
    mean = jax.vmap(lambda x: prior.denoise(x, sigma))(latent)
    spread = [float(jnp.std(image)) for image in (clean, drawn, mean)]
    assert spread[2] < 0.9 * spread[0]  # the mean is too smooth
    # so many steps are a little narrow, see `ancestral`
    assert spread[1] == pytest.approx(spread[0], rel=0.05)
    away = (drawn - mean) * (mean - jnp.mean(mean))
    assert abs(float(jnp.mean(away))) < 0.05 * float(jnp.var(mean))


def test_it_brings_back_the_attenuation_that_the_mean_map_lacks():
    """Simulated galaxies never trained on: mean A of D0, and of the draws, against the truth."""
    host, transmission = draw_pairs(jax.random.key(2024), 24)
    target = build_target(make_cutout(size=64), Settings())

    @jax.jit
    def one(key, host, transmission):
        noise_key, draw_key = jax.random.split(key)
        latent = target.dust_prior.latent(jnp.clip(transmission, 1e-3, 1.0))
        latent = latent + target.sigma_dust * jax.random.normal(noise_key, latent.shape)
        mean = target.dust_prior.denoise(latent, target.sigma_dust, host)
        mean = target.dust_prior.transmission(mean)
        maps = transmission, mean, target.fine(draw_key, latent, host, mean)
        return [coordinates.mean_attenuation(host, jnp.clip(d, 1e-3, 1.0), 1.0) for d in maps]

    keys = jax.random.split(jax.random.key(5), len(host))
    found = np.array([one(*given) for given in zip(keys, host, transmission, strict=True)])
    truth, mean, drawn = found[found[:, 0] > 0.05].sum(axis=0)
    assert mean < 0.9 * truth
    assert abs(drawn / truth - 1) < 0.1
    assert abs(drawn - truth) < 0.4 * (truth - mean)


def test_it_is_drawn_where_the_energy_that_ships_is_sampled():
    assert choose_fine_prior(Settings()).sha256 == load_dust_prior().sha256
    for other in (
        Settings(fine_structure=False),
        Settings(cross_term="cut"),
        Settings(target="smoothed"),
        Settings(sampler="split-gibbs"),
    ):
        assert choose_fine_prior(other) is None
