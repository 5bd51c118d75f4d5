"""Weights of modes by likelihood-tempered SMC, on posteriors whose weights are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost import multimodal
from dustpost.diagnostics.modes import modes
from dustpost.galaxy import Galaxy, Position
from dustpost.ladder import world
from dustpost.samplers import gibbs, tempered
from dustpost.samplers.choice import Sampler
from dustpost.samplers.flux import Flux
from tests import exact_worlds

SIDE, PARTICLES, SEEDS = 8, 4096, 3
SCAN = ("orbit", "dust")
OF_DUST = Sampler(partial(gibbs.tune, scan=SCAN), gibbs.init, partial(gibbs.kernel, scan=SCAN))


def from_the_prior(target, seed):
    """Positions of the mixture's prior: its kinds by their weights, (particle, ...)."""
    rng, prior = np.random.default_rng(seed), target.dust_prior
    weight, mean, sd = (np.asarray(x, float) for x in (prior.weight, prior.mean, prior.sd))
    kind = rng.choice(2, PARTICLES, p=weight / weight.sum())
    dust = mean[kind] + sd[kind] * rng.standard_normal((PARTICLES, SIDE, SIDE))
    slope = 0.1 + 0.35 * rng.standard_normal(PARTICLES)
    arrays = np.zeros_like(dust), dust, slope
    return Position(*(jnp.asarray(x, float) for x in arrays))


@pytest.fixture(scope="module")
def found():
    """Two kinds of dust 7 sd apart, known by a score alone; the dustier .6 of the posterior."""
    exact = exact_worlds.mixture(side=SIDE, apart=7.0)
    axis = (exact.mean[1, 0] - exact.mean[0, 0]) / exact.sd[0, 0] ** 2
    clouds = []
    for seed in range(SEEDS):
        start = from_the_prior(exact.target, seed)
        clouds.append(tempered.run(jax.random.key(seed), start, exact.target, OF_DUST, 4, 4))
    dust = np.array([cloud.states.position.dust for cloud in clouds], float)
    return exact, clouds, np.sum(dust * axis, axis=(2, 3))


def test_weights_are_the_known_ones_over_seeds(found):
    exact, _, along = found
    share = np.asarray(exact.target.dust_prior.weight, float)
    assert abs(share[1] / share.sum() - exact.weight[1]) > 0.2  # the prior's are others
    counted = [modes(one) for one in along]
    assert [one.weight.size for one in counted] == [2] * SEEDS
    dusty = np.array([one.weight[1] for one in counted])
    assert np.ptp(dusty) < 0.05
    assert dusty.mean() == pytest.approx(exact.weight[1], abs=0.03)


def test_particles_have_the_posteriors_moments(found):
    exact, clouds, _ = found
    dust = np.concatenate([cloud.states.position.dust for cloud in clouds]).astype(float)
    mean = np.einsum("k,kyx->yx", exact.weight, exact.mean[:, 0])
    square = np.einsum("k,kyx->yx", exact.weight, exact.sd[:, 0] ** 2 + exact.mean[:, 0] ** 2)
    sd = np.sqrt(square - mean**2)
    assert np.abs((dust.mean(axis=0) - mean) / sd).max() < 0.12
    np.testing.assert_allclose(dust.std(axis=0), sd, rtol=0.1)
    flux = np.log(np.concatenate([np.exp(cloud.states.flux.value) for cloud in clouds]))
    low = exact.weight @ exact.low_mean[:, 1:]
    assert np.abs((flux.mean(axis=0) - low) / flux.std(axis=0)).max() < 0.12


def test_powers_rise_to_one(found):
    _, clouds, _ = found
    for cloud in clouds:
        assert np.all(np.diff(cloud.powers) > 0) and cloud.powers[-1] == 1.0
        assert 0.6 < min(float(rate) for rate in cloud.acceptance.values())
        assert 100 < cloud.ancestors < PARTICLES


@pytest.mark.slow
def test_one_solution_is_counted_as_one(tmp_path):
    """The package's target, a disc half covered, by the code of the command."""
    target = world.rung(0.5, 0.2, 30.0, "colours")
    _, target = world.draw(jax.random.key(1), target, "colours")
    table = multimodal.count(jax.random.key(2), target, particles=256, runs=1, leapfrog=8)
    assert list(table["weight"]) == pytest.approx([1.0])
    assert multimodal.sentence(table).startswith("There is one mode")
    assert multimodal.write(tmp_path, table).exists()


def test_each_mode_has_its_own_dust_and_colour():
    """A third of the particles behind 0.8 mag and bluer by 0.3 than the others at 0.2 mag."""
    target = world.rung(1.0, 0.2, 30.0, "colours")
    rng = np.random.default_rng(0)
    dusty = np.arange(900) < 300
    dust = np.where(dusty, 0.8, 0.2) + 0.02 * rng.standard_normal(900)
    host = np.full((900, 16, 16), 1 / 256)
    flux = np.exp(np.where(dusty[:, None], [0.3, 0.1, 0.0], 0.0))
    place = Position(None, None, jnp.asarray(np.where(dusty, 0.3, 0.1)))
    light, through = jnp.asarray(host), jnp.asarray(10 ** (-0.4 * dust[:, None, None]) + 0 * host)
    galaxy = Galaxy(light, through, None, None, None, None)
    cloud = tempered.Cloud(
        gibbs.State(place, galaxy, Flux(jnp.asarray(flux), None)), (1.0,), {}, 900
    )
    first, second = multimodal._of_cloud(0, target, cloud)
    assert first["weight"] == pytest.approx(1 / 3, abs=1e-6)
    assert first["mean_attenuation"] == pytest.approx(0.8, abs=0.01)
    assert second["mean_attenuation"] == pytest.approx(0.2, abs=0.01)
    assert first["colour"] - second["colour"] == pytest.approx(0.3, abs=1e-5)
    assert first["delta"] == pytest.approx(0.3, abs=1e-5)


def test_runs_that_differ_say_so():
    rows = [dict(run=r, mode=m, weight=w) for r, m, w in
            [(0, 0, 0.3), (0, 1, 0.7), (1, 0, 0.4), (1, 1, 0.6)]]  # fmt: skip
    rest = dict.fromkeys(list(multimodal.COLUMNS)[3:], 0.1) | dict(ancestors=100)
    table = multimodal.Table([row | rest for row in rows])
    table.meta["agree"] = multimodal.agree(table)
    assert "more than 0.05" in multimodal.sentence(table)
    table["weight"][2:] = 0.32, 0.68
    assert multimodal.agree(table)
    table["ancestors"][0] = 3
    assert "descendants of 3 draws" in multimodal.sentence(table)
