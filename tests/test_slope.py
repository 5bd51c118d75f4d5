"""The prior of the slope, and its own move where the data say nothing of it."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from dustpost.priors.slope import MEAN, SD, distance, precision, slope_prior
from dustpost.samplers import slope
from tests import gaussian_world as world

PRIOR = slope_prior()
GRID = np.linspace(-3.0, 2.0, 100_001)
STEP = GRID[1] - GRID[0]


def cumulative(at):
    """Of the prior, by summing its density."""
    return np.interp(at, GRID, np.cumsum(np.exp(np.asarray(PRIOR.log_prob(GRID), float))) * STEP)


def test_the_prior_has_unit_mass_and_its_moments_and_its_draws(float64):
    density = np.exp(np.asarray(PRIOR.log_prob(GRID), float))
    assert density.sum() * STEP == pytest.approx(1.0, abs=1e-6)
    mean = (density * GRID).sum() * STEP
    assert float(PRIOR.mean) == pytest.approx(mean, abs=1e-6)
    variance = (density * (GRID - mean) ** 2).sum() * STEP
    assert float(PRIOR.variance) == pytest.approx(variance, abs=1e-6)
    drawn = np.asarray(PRIOR.sample(jax.random.key(0), (20_000,)))
    assert stats.kstest(drawn, cumulative).pvalue > 0.01


def test_below_the_wall_the_prior_is_the_normal_and_beyond_it_falls():
    ratio = PRIOR.log_prob(GRID) - dist.Normal(MEAN, SD).log_prob(GRID)
    below = GRID < PRIOR.wall
    assert np.ptp(np.asarray(ratio)[below]) < 1e-5
    assert float(distance(PRIOR, jnp.asarray(-0.95))) == pytest.approx(3.0, rel=1e-4)
    assert float(distance(PRIOR, jnp.asarray(0.7))) == pytest.approx(
        np.hypot(2.0, 0.6 / SD), rel=1e-4
    )
    assert float(precision(PRIOR, 0.3)) == pytest.approx(SD**-2, rel=1e-4)
    assert float(precision(PRIOR, 0.7)) == pytest.approx(SD**-2 + 100, rel=1e-4)


def test_its_leaves_have_the_same_order_in_every_process():
    script = (
        "import jax; from dustpost.priors.slope import slope_prior\n"
        "print(jax.tree.leaves(slope_prior()))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=dict(os.environ, PYTHONHASHSEED=seed),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "012"
    }
    assert len(found) == 1


def without_data():
    """A likelihood that is flat, and of great size."""
    target = world.target()
    seen = target.observation
    target = target.replace(observation=seen._replace(ivar=jnp.full_like(seen.ivar, 1e-30)))
    host = jnp.full(world.SHAPE, 1.0 / 64)
    log_likelihood, galaxy = target.explicit(host, jnp.ones(world.SHAPE), jnp.asarray(0.1))
    assert log_likelihood < -5e3
    return target, galaxy


def moved(target, galaxy, slopes, seed=0):
    """Slopes after one move, and how many points each of them tried."""

    def move(key, begin):
        end, info = slope.kernel(key, slope.init(begin, galaxy), target)
        return end.slope, info.tries

    keys = jax.random.split(jax.random.key(seed), len(slopes))
    return jax.jit(jax.vmap(move))(keys, slopes)


def test_without_dust_the_slope_is_the_priors_and_the_slice_is_found():
    """ln u must not be rounded away, or the search never ends."""
    target, galaxy = without_data()
    target = target.replace(slope_prior=dist.Normal(MEAN, SD))
    slopes, tries = moved(target, galaxy, jnp.full(20_000, 0.4))
    assert tries.max() == 1
    # over the keys the ellipse is uniform: centre 0.1, mean square that of both ends
    assert abs(float(slopes.mean()) - 0.1) < 0.02
    square = np.mean((np.asarray(slopes) - 0.1) ** 2)
    assert abs(square - 0.5 * (0.3**2 + 0.35**2)) < 0.005


def test_the_move_leaves_the_walled_prior_as_it_is():
    target, galaxy = without_data()
    begin = PRIOR.sample(jax.random.key(1), (20_000,))
    slopes, _ = moved(target, galaxy, begin)
    assert np.mean(np.asarray(slopes) != np.asarray(begin)) > 0.99
    assert stats.kstest(np.asarray(slopes), cumulative).pvalue > 0.01


def test_the_move_comes_back_from_far_beyond_the_wall():
    place, slopes = without_data(), jnp.full(1000, 2.0)
    for seed in range(6):
        slopes, _ = moved(*place, slopes, seed)
    assert np.mean(np.asarray(slopes) < 0.8) > 0.98
