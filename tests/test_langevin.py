"""Langevin dynamics without acceptance: its bias is stated, not assumed away."""

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.galaxy import Position
from dustpost.samplers import langevin
from tests import gaussian_world as world


def test_moments_of_the_joint_prior_are_kept():
    """With hardly any data the target is its prior; widths to 5 % with the default step."""
    target = world.target()
    empty = target.observation._replace(ivar=jnp.full_like(target.observation.ivar, 1e-6))
    target = target.replace(observation=empty)
    mass = Position(jnp.full(world.SHAPE, 25.0), jnp.full(world.SHAPE, 400.0), jnp.asarray(8.2))
    chains, steps = 500, 200

    @jax.jit
    @jax.vmap
    def run(key):
        start_key, init_key, key = jax.random.split(key, 3)
        position, _ = world.draw_prior(start_key, target)
        state = langevin.init(init_key, position, target, mass)

        def step(state, key):
            return langevin.kernel(key, state, target, mass), None

        return position, jax.lax.scan(step, state, jax.random.split(key, steps))[0].position

    first, last = run(jax.random.split(jax.random.key(0), chains))
    for before, after in zip(first, last, strict=True):
        error = np.asarray(before).std() / chains**0.5
        assert np.abs(np.mean(after) - np.mean(before)) < 4 * error
        np.testing.assert_allclose(np.std(after), np.std(before), rtol=0.05 + 3 * chains**-0.5 / 2)
    # and it moved
    assert np.mean((last.dust - first.dust) ** 2) > np.var(first.dust)
