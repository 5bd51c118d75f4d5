"""Chains that take turns in shares of the amount of dust: where they are, and that all is right."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from dustpost import amount, sample
from dustpost.diagnostics.ranks import bulk_ess, rhat
from dustpost.diagnostics.shares import levelled
from dustpost.networks.amount import BINS, DEEPEST, amount_at, coordinate
from dustpost.priors.strata import Aim, log_factor, settled, share_out, steered
from dustpost.reproduce.exposure import observe
from dustpost.reproduce.sources import find_views
from dustpost.samplers import gibbs, run
from dustpost.samplers.choice import FIRST_STEP, SAMPLERS
from dustpost.settings import Settings
from dustpost.warm_up import warm_up
from tests import gaussian_world as world

AMOUNT = 3  # of `world.functionals`


@pytest.fixture(scope="module")
def galaxy():
    """One that is known well enough for short runs, and where it truly is."""
    free, position = world.observed(jax.random.key(3), world.brisk_target(0.02))
    return world.anchored(free), position


def test_all_chains_together_have_the_density():
    edges = np.linspace(0.0, DEEPEST, BINS + 1)
    shares = np.diff(scipy.stats.norm.cdf(edges, 2.0, 0.5))
    for chains in (4, 16):
        aim = share_out(shares, chains)
        np.testing.assert_array_equal(aim.centre, aim.goal)
        assert np.mean(aim.goal) == pytest.approx(2.0, abs=0.01)
        mixture = np.sqrt(np.var(aim.goal) + np.mean(1 / aim.precision))
        assert mixture == pytest.approx(0.5, rel=0.03)
        ends = scipy.stats.norm.ppf([1 / chains, 1 - 1 / chains], 2.0, 0.5)
        assert aim.goal[0] < ends[0] < aim.goal[1] and aim.goal[-2] < ends[1] < aim.goal[-1]


def test_the_centre_makes_up_for_what_pulls():
    """Of chains whose mean is drawn away from the centre by as much as a model likes."""
    aim, pull = Aim(*jnp.asarray([[1.0, 2.0], [9.0, 9.0], [1.0, 2.0]])), np.array([0.7, -1.2])
    course = []
    for _ in range(30):
        at = np.asarray(aim.centre) + pull
        aim = steered(aim, np.repeat(amount_at(at)[:, None], 5, axis=1))
        course.append(aim)
    np.testing.assert_allclose(settled(course).centre + pull, aim.goal, atol=0.01)
    np.testing.assert_array_equal(settled(course).goal, aim.goal)


def test_a_held_chain_has_the_model_s_law_times_the_factor(galaxy):
    """Against draws without the aim, weighed by the factor."""
    target, position = galaxy
    tuning = gibbs.tune(target, position, 0.3)
    at_rest = Aim(*jnp.zeros(3))  # the same program, and the model's law

    def sweeps(key, aim):
        held = tuning._replace(aim=aim)
        drawn = world.by_sweeps(jax.random.key(key), target, position, held, 1200, 8)
        return np.asarray(drawn)[:, 200:]

    free = sweeps(0, at_rest)
    g = np.asarray(coordinate(free[..., AMOUNT]))
    aim = Aim(*(jnp.asarray(x) for x in (0.0, g.std() ** -2.0, g.mean() + 1.5 * g.std())))
    found = sweeps(1, aim)
    assert abs(found[..., AMOUNT].mean() - free[..., AMOUNT].mean()) > 0.5 * free[..., AMOUNT].std()
    weight = np.exp(np.asarray(log_factor(aim, jnp.asarray(free[..., AMOUNT]))))
    weight = weight / weight.sum()
    expected = np.einsum("cn,cnk->k", weight, free)
    off = weight.size * weight[..., None] * (free - expected)
    error_free = off.std(axis=(0, 1)) / np.sqrt(bulk_ess(off))
    error = found.std(axis=(0, 1)) / np.sqrt(bulk_ess(found))
    assert (bulk_ess(found) > 200).all()
    distance = (found.mean(axis=(0, 1)) - expected) / np.hypot(error, error_free)
    assert np.abs(distance).max() < 3.5, distance


def test_chains_come_to_their_shares(galaxy):
    """Shares of a density that the model does not believe in."""
    target, position = galaxy
    sampler, chains = SAMPLERS["gibbs"], 4
    places = jax.tree.map(lambda x: jnp.stack([x] * chains), position)
    edges = np.linspace(0.0, DEEPEST, BINS + 1)
    shares = np.diff(scipy.stats.norm.cdf(edges, 2.4, 0.4))
    tuning = sampler.tune(target, position, FIRST_STEP)
    tuning = jax.tree.map(lambda x: jnp.stack([x] * chains), tuning)
    tuning = tuning._replace(aim=jax.tree.map(jnp.asarray, share_out(shares, chains)))
    settings = Settings(chains=chains, warmup=120, directions=8, amount="image")
    plan = dict(steps=4, chunk=5)
    keys = jax.random.split(jax.random.key(1), 1)
    states = run.start(jax.random.split(jax.random.key(0), 1), places, target, sampler)
    held = [target], tuning, settings, plan, target.sigma_dust
    states, (target,), tuning, _ = warm_up(keys, states, *held)
    _, trace = run.run(keys, states, target, sampler, tuning, 800, **plan)
    g, share = np.asarray(coordinate(trace.scalars.mean_attenuation)), trace.share
    for number in range(chains):
        here, width = g[share == number], tuning.aim.precision[number] ** -0.5
        assert here.size == 800  # of every chain as many
        assert abs(here.mean() - tuning.aim.goal[number]) < width
        visits = np.array([g[c][share[c] == number].mean() for c in range(chains)])
        assert (np.abs(visits - here.mean()) < width).all(), visits
    assert g.std() == pytest.approx(0.4, rel=0.2)
    # each chain has all of the density, and so has each half
    assert rhat(g) < 1.05 and rhat(levelled(g, share)) < 1.05


def test_what_is_drawn_in_a_share_must_agree():
    noise = np.random.default_rng(0).standard_normal((4, 400))
    share = np.repeat(np.arange(8), 50)[None] + np.arange(4)[:, None]
    share = share % 4
    apart = noise + 5.0 * share
    assert rhat(levelled(apart, share)) < 1.01
    assert bulk_ess(levelled(apart, share)) > 1000 > 100 > bulk_ess(apart)
    wider = apart * np.array([1.0, 1.0, 9.0, 1.0])[share]
    assert rhat(levelled(wider, share)) < 1.01
    drifting = apart + np.linspace(0, 2, 400)
    assert rhat(levelled(drifting, share)) > 1.05
    # a chain that is elsewhere than the others in every share
    alone = apart + np.array([0.0, 0.0, 1.0, 0.0])[:, None]
    assert rhat(levelled(alone, share)) > 1.05
    np.testing.assert_array_equal(levelled(apart, None), apart)


def test_who_is_held():
    cutout = observe(find_views(None, 1, 1, 77)[0].read(False), 30.0, 0)
    far = replace(cutout, redshift=0.9)
    asked = Settings(amount="image", chains=3)
    assert amount.used(cutout, asked) == "image"
    assert amount.used(cutout, Settings(amount="model")) == "model"
    assert amount.used(far, asked) == amount.used(cutout, replace(asked, sampler="langevin"))
    both = amount.aims([cutout, cutout], 3)
    np.testing.assert_array_equal(both.goal[:3], both.goal[3:])
    assert (both.precision > 0).all() and (np.diff(both.goal[:3]) > 0).all()


def test_galaxies_of_which_nothing_is_told_are_drawn_apart(monkeypatch):
    """Chains of the others take turns; in one program all would."""
    near = observe(find_views(None, 1, 1, 77)[0].read(False), 30.0, 0)
    far, keys = replace(near, redshift=0.9), jax.random.split(jax.random.key(0), 3)
    calls, whole = [], sample.sample_many

    def draw(keys, cutouts, settings, progress, targets, start):
        calls.append([cutout.redshift for cutout in cutouts])
        return list(zip(keys, cutouts, targets, strict=True))

    monkeypatch.setattr(sample, "sample_many", draw)
    targets = ["a", "b", "c"]
    found = whole(keys, [far, near, far], Settings(), targets=targets)
    assert sorted(calls) == [[near.redshift], [0.9, 0.9]]
    assert [target for _, _, target in found] == targets
    assert [cutout for _, cutout, _ in found] == [far, near, far]
    assert all(jnp.array_equal(key, own) for (key, _, _), own in zip(found, keys, strict=True))
