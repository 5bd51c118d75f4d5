"""The slope's own move where the data say nothing of it."""

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.samplers import slope
from tests import gaussian_world as world


def test_without_dust_the_slope_is_the_priors_and_the_slice_is_found():
    """A flat likelihood of great size: ln u must not be rounded away, or the search never ends."""
    target = world.target()
    seen = target.observation
    target = target.replace(observation=seen._replace(ivar=jnp.full_like(seen.ivar, 1e-30)))
    host = jnp.full(world.SHAPE, 1.0 / 64)
    log_likelihood, galaxy = target.explicit(host, jnp.ones(world.SHAPE), jnp.asarray(0.1))
    assert log_likelihood < -5e3

    def move(key):
        end, info = slope.kernel(key, slope.init(jnp.asarray(0.4), galaxy), target)
        return end.slope, info.tries

    keys = jax.random.split(jax.random.key(0), 20_000)
    slopes, tries = jax.jit(jax.vmap(move))(keys)
    assert tries.max() == 1
    # over the keys the ellipse is uniform: centre 0.1, mean square that of both ends
    assert abs(float(slopes.mean()) - 0.1) < 0.02
    square = np.mean((np.asarray(slopes) - 0.1) ** 2)
    assert abs(square - 0.5 * (0.3**2 + 0.35**2)) < 0.005
