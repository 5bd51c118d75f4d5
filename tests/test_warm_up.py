"""The warm-up in stages: energies begin with more noise and end at that of the draws."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.samplers.choice import FIRST_STEP, SAMPLERS
from dustpost.samplers.run import start
from dustpost.settings import SIGMA_ENERGY, Settings
from dustpost.warm_up import heated, leaders, warm_up
from tests import gaussian_world as world

SETTINGS = Settings(cross_term="anchored", chains=8, warmup=45, directions=8)


@pytest.mark.parametrize(
    "settings, hot",
    [
        (SETTINGS, True),
        (Settings(directions=0), False),  # one stage
        (Settings(sampler="langevin"), False),  # a ladder of its own
    ],
)
def test_energies_are_heated(settings, hot):
    target = world.target()
    expected = SIGMA_ENERGY if hot else float(target.sigma_dust)
    assert float(heated(target, settings).sigma_dust) == pytest.approx(expected)
    noisy = target.replace(sigma_dust=jnp.asarray(0.3))
    assert float(heated(noisy, settings).sigma_dust) == pytest.approx(0.3)
    scores = world.score_only(target)
    assert float(heated(scores, settings).sigma_dust) == float(scores.sigma_dust)


def test_the_last_stage_has_the_noise_of_the_draws():
    """x - E[v | x] of the chains is as large as that of the prior's draws, not as at the start."""
    free, position = world.observed(jax.random.key(3), world.target())
    target = world.anchored(free)
    sigma, hot = target.sigma_dust, heated(target, SETTINGS)
    chains = SETTINGS.chains
    places = jax.tree.map(lambda x: jnp.stack([x] * chains), position)
    sampler = SAMPLERS["gibbs"]
    tuning = sampler.tune(hot, position, FIRST_STEP)
    tuning = jax.tree.map(lambda x: jnp.stack([x] * chains), tuning)
    states = start(jax.random.split(jax.random.key(0), 1), places, hot, sampler)
    plan = dict(steps=4, chunk=5)
    key = jax.random.split(jax.random.key(1), 1)
    states, (found,), _, origin = warm_up(key, states, [hot], tuning, SETTINGS, plan, sigma)
    assert float(found.sigma_dust) == float(sigma)
    assert found.anchor is not None
    np.testing.assert_array_equal(origin, np.arange(chains))

    def noise(dust, transmission):
        return float(np.std(dust - target.dust_prior.latent(transmission)))

    here = noise(states.position.dust, states.galaxy.transmission)
    draws = jax.vmap(lambda key: target.dust_prior.sample(key, sigma, None))(
        jax.random.split(jax.random.key(2), 64)
    )
    clean = jax.vmap(lambda x: target.dust_prior.denoise(x, sigma, None))(draws)
    assert here == pytest.approx(noise(draws, target.dust_prior.transmission(clean)), rel=0.15)


def test_who_is_left_behind():
    energy = np.array([0.0, 99.0, 101.0, np.nan, 500.0, 700.0, 450.0, 420.0])
    np.testing.assert_array_equal(leaders(energy, 4, 100), [0, 1, 0, 3, 4, 7, 6, 7])
    np.testing.assert_array_equal(leaders(np.full(4, np.nan), 2, 100), np.arange(4))


def test_a_chain_left_behind_goes_on_as_the_one_ahead():
    """One that begins far out, with steps too short to arrive."""
    free, position = world.observed(jax.random.key(3), world.target())
    target, chains = world.anchored(free), 4
    places = jax.tree.map(lambda x: jnp.stack([x] * chains), position)
    places = places._replace(host=places.host.at[2].add(100.0))
    sampler, settings = SAMPLERS["gibbs"], Settings(cross_term="anchored", chains=4, directions=8)
    settings = replace(settings, warmup=15)
    tuning = sampler.tune(target, position, FIRST_STEP)
    tuning = jax.tree.map(lambda x: jnp.stack([x] * chains), tuning)
    step = {name: one.at[2].set(1e-6) for name, one in tuning.step.items()}
    states = start(jax.random.split(jax.random.key(0), 1), places, target, sampler)
    key, plan = jax.random.split(jax.random.key(1), 1), dict(steps=4, chunk=5)
    held = [target], tuning._replace(step=step), settings, plan, target.sigma_dust
    states, (found,), tuning, origin = warm_up(key, states, *held)
    assert origin[2] != 2 and (np.delete(origin, 2) == [0, 1, 3]).all()
    energy = np.asarray(jax.vmap(found.energy)(states.position))
    assert np.ptp(energy) < 5 * np.sqrt(2 * position.host.size)
