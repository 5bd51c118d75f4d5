"""The climb to the maximum, where the density that it climbs is known."""

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.galaxy import Position
from dustpost.samplers import map as climb
from tests import gaussian_world as world


def observed(seed):
    keys = jax.random.split(jax.random.key(seed), 2)
    position, flux = world.draw_prior(keys[0], world.target())
    return world.draw_data(keys[1], world.target(), position, flux), position


def test_the_drift_is_the_gradient_of_the_joint_density(float64):
    """Here the dust does not depend on the host, so that no cross term is missing."""
    target, position = observed(0)
    drift, _ = target.drift(position)
    gradient = jax.grad(lambda p: world.log_joint(target, p))(position)
    for ours, exact in zip(drift, gradient, strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-6, atol=1e-6)


def test_the_climb_ends_higher_than_the_truth():
    target, truth = observed(1)
    prior = Position(target.host_prior.mean, target.dust_prior.mean, jnp.asarray(0.1))
    result = climb.climb(target, prior, most=2000)
    assert result.converged
    assert world.log_joint(target, result.position) > world.log_joint(target, truth)
    drift, _ = target.drift(result.position)
    start, _ = target.drift(prior)
    assert jnp.linalg.norm(drift.host) < 0.3 * jnp.linalg.norm(start.host)


def test_a_climb_cut_short_says_so():
    target, truth = observed(2)
    result = climb.climb(target, truth, most=climb.CHUNK)
    assert result.iterations == climb.CHUNK
    assert not result.converged


def test_the_start_fills_masked_pixels():
    """A hole in the host would look like dust: masked pixels take their neighbours' light."""
    target, _ = observed(3)
    seen = target.observation
    hole = jnp.zeros(world.SHAPE, bool).at[3:5, 3:5].set(True)
    masked = seen._replace(ivar=jnp.where(hole[None], 0.0, seen.ivar))
    with_hole = climb.start(target.replace(observation=masked))
    whole = climb.start(target)
    assert jnp.all(with_hole.host[3:5, 3:5] > 0.3 * whole.host[3:5, 3:5])
