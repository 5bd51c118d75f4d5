"""Runs of many chains: every sampler, galaxies side by side, ends, and what goes wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from dustpost.diagnostics.ranks import bulk_ess
from dustpost.errors import DustpostError
from dustpost.samplers import annealed, burn_in, choice, run, side_by_side
from dustpost.samplers.choice import FIRST_STEP, SAMPLERS
from tests import gaussian_world as world

CHAINS = 4
PLAN = dict(steps=4, chunk=5)


@pytest.fixture(scope="module")
def galaxies():
    """Two observed galaxies with starts of their chains."""
    found = []
    for seed in (3, 4):
        target, position = world.observed(jax.random.key(seed), world.brisk_target())
        starts = jax.tree.map(lambda x: jnp.stack([x] * CHAINS), position)
        found.append((target, starts))
    return found


def begin(key, target, starts, sampler):
    one = jax.tree.map(lambda x: x[0], starts)
    tuning = sampler.tune(target, one, FIRST_STEP)
    tuning = jax.tree.map(lambda x: jnp.stack([x] * CHAINS), tuning)
    return run.start(key, starts, target, sampler), tuning


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_runs_and_agrees(galaxies, name):
    """The slope's mean within 0.3 of its posterior sd of long Gibbs sweeps; two gates.

    Split Gibbs has the law of the smoothed target. The laws of the maps have tests of their
    own: Langevin's bias, split Gibbs' widths.
    """
    target, starts = galaxies[0]
    if name == "split-gibbs":
        target = target.replace(kind="smoothed")
    found = []
    for sampler in (SAMPLERS["gibbs"], SAMPLERS[name]):
        states, tuning = begin(jax.random.key(0), target, starts, sampler)
        held = target, sampler
        key = jax.random.key(1)
        states, tuning, _ = run.warm_up(key, states, *held, tuning, 50, **PLAN)
        _, trace = run.run(jax.random.key(2), states, *held, tuning, 200, **PLAN)
        found.append(trace.scalars.slope)
        assert trace.host.shape == (CHAINS, 40, *world.SHAPE)
        assert trace.model.shape == (CHAINS, 3, *world.SHAPE)
        for rate in trace.info.acceptance.values():
            assert 0.3 < rate.mean() <= 1
    assert bulk_ess(found[1]) > 30
    assert abs(found[1].mean() - found[0].mean()) < 0.3 * found[0].std()


@pytest.mark.parametrize("start", [0.1, 0.3, 0.8])
def test_forty_sweeps_find_the_step_of_the_acceptance_asked_for(start):
    """Of a trajectory whose error is normal and grows as the step to the 4th (HMC in pairs)."""
    best = 0.26
    # the acceptance 2 Phi(-width / 2) is 0.8 at the best step
    width = lambda step: 0.507 * (step / best) ** 4  # noqa: E731
    rng, rates = np.random.default_rng(1), []
    for _ in range(8):
        one = run._begin_adaptation(choice.Tuning({"joint": jnp.asarray([start])}))["joint"]
        for _ in range(40):
            spread = width(np.exp(one.log_step_size[0]))
            error = spread * (rng.standard_normal() - spread / 2)
            one = run._ADAPT.update(one, jnp.asarray([min(1.0, np.exp(error))]))
        rates.append(2 * norm.cdf(-width(float(run._ADAPT.final(one)[0])) / 2))
    assert abs(np.mean(rates) - run.ACCEPTANCE) < 0.08


def test_a_galaxy_draws_the_same_beside_others(galaxies):
    sampler = SAMPLERS["gibbs"]
    keys = jax.random.split(jax.random.key(5), 2)
    alone = []
    for key, (target, starts) in zip(keys, galaxies, strict=True):
        states, tuning = begin(key, target, starts, sampler)
        alone.append(run.run(key, states, target, sampler, tuning, 10, **PLAN)[1])
    together = side_by_side.stack([target for target, _ in galaxies], CHAINS)
    starts = jax.tree.map(lambda *x: jnp.concatenate(x), *[one for _, one in galaxies])
    tunings = [begin(keys[0], target, one, sampler)[1] for target, one in galaxies]
    tuning = jax.tree.map(lambda *x: jnp.concatenate(x), *tunings)
    states = run.start(keys, starts, together, sampler)
    _, trace = run.run(keys, states, together, sampler, tuning, 10, **PLAN)
    for number, one in enumerate(alone):
        part = slice(number * CHAINS, (number + 1) * CHAINS)
        for name in ("slope", "mean_attenuation", "flux"):
            here, there = getattr(trace.scalars, name)[part], getattr(one.scalars, name)
            np.testing.assert_allclose(here[:, 0], there[:, 0], rtol=1e-3)


@pytest.mark.parametrize("known", [True, False])
def test_energy_is_that_of_the_density(galaxies, known):
    free, starts = galaxies[0]
    target = world.anchored(free if known else world.score_only(free))
    sampler = SAMPLERS["gibbs"]
    states, tuning = begin(jax.random.key(0), target, starts, sampler)
    states, trace = run.run(jax.random.key(1), states, target, sampler, tuning, 5, **PLAN)
    if not known:
        assert np.isnan(trace.scalars.energy).all()
        return
    one = lambda place: -world.log_joint(target, place)  # noqa: E731
    differ = trace.scalars.energy[:, -1] - jax.lax.map(one, states.position)
    assert np.ptp(differ) < 0.01
    assert np.ptp(trace.scalars.energy) > 1


def test_nan_in_one_galaxy_leaves_the_other_alone(galaxies):
    sampler = SAMPLERS["gibbs"]
    (good, starts), (bad, others) = galaxies
    seen = bad.observation
    bad = bad.replace(observation=seen._replace(data=seen.data.at[0, 3, 3].set(jnp.nan)))
    together = side_by_side.stack([good, bad], CHAINS)
    positions = jax.tree.map(lambda *x: jnp.concatenate(x), starts, others)
    keys = jax.random.split(jax.random.key(5), 2)
    one = begin(keys[0], good, starts, sampler)[1]
    tuning = jax.tree.map(lambda x: jnp.concatenate([x, x]), one)
    states = run.start(keys, positions, together, sampler)
    _, trace = run.run(keys, states, together, sampler, tuning, 10, **PLAN)
    finite = np.isfinite(trace.scalars.log_likelihood).all(axis=1)
    np.testing.assert_array_equal(finite, [True] * CHAINS + [False] * CHAINS)
    assert np.ptp(trace.scalars.slope[:CHAINS], axis=1).min() > 0


def test_a_run_ends_early_and_keeps_few_maps(galaxies, monkeypatch):
    monkeypatch.setattr(run, "MOST_MAPS", 4)
    target, starts = galaxies[0]
    sampler = SAMPLERS["gibbs"]
    states, tuning = begin(jax.random.key(0), target, starts, sampler)
    watch = lambda done, scalars, share: scalars.slope.shape[1] >= 35  # noqa: E731
    _, trace = run.run(
        jax.random.key(1), states, target, sampler, tuning, 1000, **PLAN, watch=watch
    )
    assert trace.scalars.slope.shape == (CHAINS, 35)
    np.testing.assert_array_equal(trace.kept, [4, 14, 24, 34])
    assert trace.host.shape[1] == 4


def test_warm_up_ends_by_itself(galaxies):
    target, starts = galaxies[0]
    sampler = SAMPLERS["gibbs"]
    states, tuning = begin(jax.random.key(0), target, starts, sampler)
    done = []
    run.warm_up(
        jax.random.key(1), states, target, sampler, tuning, 2000, **PLAN, advance=done.append
    )
    assert 30 <= sum(done) < 1000


@pytest.mark.parametrize("name", ["langevin", "split-gibbs"])
def test_down_the_ladder(galaxies, name):
    """From a flat host without dust to where the last level's own sweeps are."""
    target, starts = galaxies[0]
    sampler = SAMPLERS[name]
    flat = starts._replace(host=jnp.zeros_like(starts.host), dust=jnp.ones_like(starts.dust))
    ladder = annealed.geometric((1.0, 0.4), target, 8)
    done = []
    found = burn_in.descend(
        jax.random.key(0), flat, target, sampler, ladder, 20, 4, advance=done.append
    )
    assert sum(done) == 160
    state = jax.vmap(target.galaxy)(found)
    truth = target.galaxy(jax.tree.map(lambda x: x[0], starts))
    misfit = np.asarray(truth.log_evidence) - np.asarray(state.log_evidence)
    assert np.isfinite(misfit).all()
    error = np.abs(np.asarray(state.host - truth.host[None])).sum(axis=(1, 2))
    assert error.max() < 0.5


def test_ladders_must_fall():
    for host, dust in (([0.2, 0.4], [0.2, 0.1]), ([0.4, 0.2], [0.1, 0.1]), ([0.4], [0.2, 0.1])):
        with pytest.raises(DustpostError):
            annealed.ladder(host, dust)
