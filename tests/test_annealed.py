"""Annealed Langevin: unadjusted, its bias predicted where it can be, bounded elsewhere."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from dustpost.errors import DustpostError
from dustpost.galaxy import Position
from dustpost.networks.diffusion import variance_preserving
from dustpost.priors.slope import MEAN, SD
from dustpost.samplers import annealed, gibbs, langevin
from tests import gaussian_world as world

CHAINS = 400


def without_data(target):
    seen = target.observation
    return target.replace(observation=seen._replace(ivar=jnp.full_like(seen.ivar, 1e-6)))


def start(key, target, ladder, host):
    """No dust, a slope of 1 and the noise of the first level about a host's latent."""
    keys = jax.random.split(key)
    noise = [jax.random.normal(k, world.SHAPE) for k in keys]
    return Position(
        host + ladder.host[0] * noise[0], 1.0 + ladder.dust[0] * noise[1], jnp.asarray(1.0)
    )


def ends(run, target, ladder, steps, host, chains=CHAINS):
    """Final positions of many chains, and what happened on the way."""

    @jax.jit
    @jax.vmap
    def one(key):
        first, second = jax.random.split(key)
        state, info = run(second, start(first, target, ladder, host), target, ladder, steps)
        return state.position, info

    return one(jax.random.split(jax.random.key(0), chains))


def test_prior_is_reached_with_the_bias_that_is_predicted():
    """Every Fourier mode's variance is the prior's over 1 - step P / 4 mass, to its error."""
    target = without_data(world.brisk_target()).replace(slope_prior=dist.Normal(MEAN, SD))
    ladder = annealed.geometric((2.0, 0.5), target, 6)
    step = 0.8  # large, for the bias to be seen
    last, info = ends(
        annealed.langevin(step=step), target, ladder, 150, jnp.full(world.SHAPE, 10.0)
    )
    assert info.drift_to_noise.shape == (CHAINS, 6, 150)
    assert info.drift_to_noise[:, -1].mean() < 0.5
    for field, prior, sigma in (
        (last.host, target.host_prior, target.sigma_host),
        (last.dust, target.dust_prior, target.sigma_dust),
    ):
        modes = np.abs(np.fft.fft2(np.asarray(field - prior.mean[None]), norm="ortho")) ** 2
        variance = np.asarray(prior.power + sigma**2)
        expected = variance / (1 - step * sigma**2 / variance / 4)
        ratio = modes.mean(axis=0) / expected
        assert abs(ratio.mean() - 1) < 0.02, ratio.mean()
        assert np.abs(ratio - 1).max() < 4.5 * (2 / CHAINS) ** 0.5
        assert abs((modes.mean(axis=0) / variance).mean() - 1) > 0.04  # the bias is there
        error = 4 * (variance.mean() / CHAINS) ** 0.5
        assert np.abs(np.mean(field, axis=0) - prior.mean).max() < error
    sd = target.slope_prior.variance**0.5
    assert abs(last.slope.mean() - target.slope_prior.mean) < 4 * sd / CHAINS**0.5
    assert abs(last.slope.std() / sd / (1 - step / 4) ** -0.5 - 1) < 0.15


def underdamped(key, position, target):
    """Another kernel, of another form, for the same ladder."""
    mass = annealed.likelihood_mass(target, position)
    state = langevin.init(key, position, target, mass)
    return state, lambda key, state: (langevin.kernel(key, state, target, mass), None)


def test_posterior_is_reached():
    """From the mean host without dust, against the sweeps of `gibbs` from the truth.

    Means to 0.3 posterior sd, sds to 20 %, of which 0.15 and 10 % are chance; and any kernel
    goes down the ladder. From a flat host a pixel would still be 2 sd off: what the data do
    not see, the brightness of z as a whole, is as slow as the masses of what they see.
    """
    target, position = world.observed(jax.random.key(3), world.brisk_target())
    tuning = gibbs.tune(target, position, 0.5)
    exact = world.by_sweeps(jax.random.key(4), target, position, tuning, 160, 48)[:, 40:]
    exact = np.asarray(exact).reshape(-1, exact.shape[-1])
    ladder = annealed.geometric((0.8, 0.2), target, 6)
    runs = annealed.langevin(annealed.likelihood_mass), annealed.anneal(underdamped)
    for run, steps in zip(runs, (150, 60), strict=True):
        last, _ = ends(run, target, ladder, steps, target.host_prior.mean, 200)
        galaxies = jax.jit(jax.vmap(target.galaxy))(last)
        images = galaxies.host, galaxies.transmission
        found = jax.vmap(world.functionals)(last.slope, galaxies.estimate, *images, last)
        # F^ is not F
        found, known = np.delete(found, (1, 2), axis=1), np.delete(exact, (1, 2), axis=1)
        shift = (found.mean(axis=0) - known.mean(axis=0)) / known.std(axis=0)
        ratio = found.std(axis=0) / known.std(axis=0)
        assert np.abs(shift).max() < 0.3, shift
        assert np.abs(ratio - 1).max() < 0.2, ratio


def test_a_variance_preserving_latent_keeps_its_signal():
    """z = scale z0 + sigma e: from level to level it is rescaled, not relaxed."""
    ladder = annealed.ladder([0.9, 0.5, 0.1], [0.3, 0.2, 0.1])

    class Stub:
        host_prior = SimpleNamespace(level=variance_preserving)

        def replace(self, **levels):
            return self

    def begin(key, position, target):
        state = annealed.State(position, position)
        return state, lambda key, state: (state, state.position.host)

    start = Position(*(jnp.full(world.SHAPE, 3.0),) * 2, jnp.asarray(0.0))
    state, seen = annealed.anneal(begin)(jax.random.key(0), start, Stub(), ladder, 2)
    scales = variance_preserving(ladder.host).scale
    np.testing.assert_allclose(seen[:, 0, 0, 0], 3.0 * scales / scales[0], rtol=1e-5)
    np.testing.assert_allclose(state.position.host, seen[-1, -1])


@pytest.mark.parametrize(
    ("host", "dust", "message"),
    [
        ([1.0, 0.5, 0.5], [0.3, 0.2, 0.1], r"host \[1. , 0.5, 0.5\].*smaller than the one before"),
        ([1.0, 0.5], [0.1, 0.2], r"dust \[0.1, 0.2\]"),
        ([1.0, 0.0], [0.2, 0.1], r"host .*positive"),
        ([np.nan, 0.1], [0.2, 0.1], "host .*nan"),
        ([], [], "host"),
        ([1.0, 0.5], [0.3, 0.2, 0.1], "2 of the host and 3 of the dust"),
    ],
)
def test_ladders_that_do_not_fall(host, dust, message):
    with pytest.raises(DustpostError, match=message):
        annealed.ladder(host, dust)
