"""Annealed Langevin: unadjusted, its bias predicted where it can be, bounded elsewhere."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.networks.diffusion import variance_preserving
from dustpost.posterior import Position
from dustpost.samplers import annealed, gibbs
from tests import gaussian_world as world

CHAINS = 400


def without_data(target):
    seen = target.observation
    return target.replace(observation=seen._replace(ivar=jnp.full_like(seen.ivar, 1e-6)))


def far_start(key, target, ladder):
    """Flat maps and the noise of the first level, far from every prior mean."""
    keys = jax.random.split(key)
    noise = [jax.random.normal(k, world.SHAPE) for k in keys]
    return Position(
        target.host_prior.level(ladder.host[0]).scale * 10.0 + ladder.host[0] * noise[0],
        1.0 + ladder.dust[0] * noise[1],
        jnp.asarray(1.0),
    )


def ends(run, target, ladder, steps):
    """Final positions of many chains, and what happened on the way."""

    @jax.jit
    @jax.vmap
    def one(key):
        first, second = jax.random.split(key)
        start = far_start(first, target, ladder)
        state, info = run(second, start, target, ladder, steps)
        return state.position, info

    return one(jax.random.split(jax.random.key(0), CHAINS))


def test_prior_is_reached_with_the_bias_that_is_predicted():
    """Every Fourier mode's variance is the prior's over 1 - step P / 4 mass, to its error."""
    target = without_data(world.brisk_target())
    ladder = annealed.geometric((2.0, 0.5), target, 6)
    step = 0.8  # large, for the bias to be seen
    last, info = ends(annealed.langevin(step=step), target, ladder, 150)
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


def gibbs_runs(target, step_size=0.5):
    def begin(key, position, target):
        tuning = gibbs.tune(target, position, step_size)
        state = gibbs.init(key, position, target)
        return state, lambda key, state: gibbs.kernel(key, state, target, tuning, 4)

    return annealed.anneal(begin)


def test_posterior_is_reached():
    """From far away, against Gibbs sweeps run down the same ladder.

    Means to 0.3 posterior sd, sds to 15 %, of slope, mean dust, mean host and single pixels.
    """
    target, _ = world.observed(jax.random.key(3), world.brisk_target())
    ladder = annealed.geometric((2.0, 0.5), target, 6)
    runs = annealed.langevin(annealed.likelihood_mass), gibbs_runs(target)
    found = []
    for run, steps in zip(runs, (150, 8), strict=True):
        last, _ = ends(run, target, ladder, steps)
        values = [last.slope, last.dust.mean(axis=(1, 2)), last.host.mean(axis=(1, 2))]
        values += [last.dust[:, 3, 4], last.dust[:, 0, 0], last.host[:, 3, 3]]
        found.append(np.stack(values))
    langevin, sweeps = found
    shift = (langevin.mean(axis=1) - sweeps.mean(axis=1)) / sweeps.std(axis=1)
    ratio = langevin.std(axis=1) / sweeps.std(axis=1)
    assert np.abs(shift).max() < 0.3, shift
    assert np.abs(ratio - 1).max() < 0.15, ratio


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
