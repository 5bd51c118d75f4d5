"""The degeneracy's numbers against their closed forms, and the invariance end to end."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
from jax.flatten_util import ravel_pytree

from dustpost.attenuation import band_attenuation
from dustpost.diagnostics import degeneracy, fisher, fisher_pixels
from dustpost.diagnostics.divergence import kl
from dustpost.diagnostics.modes import modes
from dustpost.errors import DustpostError
from dustpost.ladder import analytic, galaxy, study, world
from dustpost.priors.screen import covered
from dustpost.results import to_tree
from dustpost.settings import Settings
from tests.synthetic import make_cutout, make_draws, prior_draws

BEFORE, AFTER, SHIFT = 0.2, 0.05, 0.1


@pytest.fixture(scope="module")
def gaussian():
    """A Gaussian posterior of (log_screen, ln F, delta) whose every number is known."""
    cutout, draws = make_cutout(16), make_draws(16, length=1000)
    rng = np.random.default_rng(5)
    series = draws.slope.shape
    screen, other, own = (rng.normal(size=series) for _ in range(3))
    k = np.linspace(1.2, 0.5, draws.flux.shape[-1])
    noise = 0.02 * rng.normal(size=draws.flux.shape)
    draws = draws._replace(
        log_screen=-0.3 + SHIFT + AFTER * screen,
        slope=0.3 * (0.6 * screen + 0.8 * other),
        flux=np.exp(-AFTER * screen[..., None] * k + noise),
    )
    tree = to_tree(draws, cutout)
    before = tree["prior"].to_dataset()
    levels = -0.3 + BEFORE * rng.normal(size=(1, 4000))
    tree["prior"] = xr.DataTree(
        xr.Dataset(
            {n: (("chain", "draw"), np.resize(before[n], levels.shape)) for n in before}
        ).assign(log_screen=(("chain", "draw"), levels))
    )
    return degeneracy.degeneracy(tree, {"fisher_sd": AFTER}).sel(direction="screen"), k


def test_a_gaussian_posterior_has_its_closed_forms(gaussian):
    found, k = gaussian
    assert float(found["prior_sd"]) == pytest.approx(BEFORE, rel=0.05)
    assert float(found["posterior_sd"]) == pytest.approx(AFTER, rel=0.05)
    assert float(found["contraction"]) == pytest.approx(AFTER / BEFORE, rel=0.07)
    ratio = AFTER / BEFORE
    nats = -np.log(ratio) + (ratio**2 + (SHIFT / BEFORE) ** 2 - 1) / 2
    assert abs(float(found["kl"]) - nats) < 3 * float(found["kl_error"]) < 0.3
    expected = -AFTER * k / np.hypot(AFTER * k, 0.02)
    np.testing.assert_allclose(found["corr_log_flux"], expected, atol=0.03)
    assert float(found["corr_delta"]) == pytest.approx(0.6, abs=0.05)
    assert float(found["sd_over_fisher"]) == pytest.approx(1.0, rel=0.05)
    assert found["mode_weight"].values == pytest.approx([1.0])


def test_verdict_says_who_fixes_the_screen():
    cutout, draws = make_cutout(16), make_draws(16)
    said = {
        sd: degeneracy.sentence(
            to_tree(draws._replace(**prior_draws(16, sd)), cutout)["degeneracy"].to_dataset()
        )
        for sd in (0.065, 0.1, 1.0)
    }
    assert said[0.065].startswith("The amount of a uniform screen is prior: 0.06")
    assert said[0.1].startswith("The data narrow")
    assert said[1.0].startswith("The data fix a uniform screen to 0.06")


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.5, 0.3), (1.0, 0.1)])
def test_divergence_of_normals(mean, sd):
    rng = np.random.default_rng(1)
    value, error = kl(rng.normal(mean, sd, (4, 400)), rng.normal(size=1000))
    exact = -np.log(sd) + (sd**2 + mean**2 - 1) / 2
    assert abs(value - exact) < max(3 * error, 0.05)
    assert error < 0.2


def test_divergence_thins_what_is_correlated_and_refuses_what_stands_still():
    rng = np.random.default_rng(2)
    slow = np.repeat(rng.normal(0, 0.3, (4, 100)), 10, axis=1)
    value, error = kl(slow, rng.normal(size=1000))
    assert abs(value - (-np.log(0.3) + (0.09 - 1) / 2)) < max(3 * error, 0.1)
    assert np.isnan(kl(np.zeros((4, 100)), rng.normal(size=100))).all()


def test_modes_repeat_over_seeds():
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        dusty = rng.uniform(size=4000) < 0.3
        found.append(modes(np.where(dusty, rng.normal(-1, 0.2, 4000), rng.normal(0, 0.1, 4000))))
    assert all(one.weight.size == 2 for one in found)
    assert np.ptp([one.weight[0] for one in found]) < 0.05
    assert np.mean([one.weight[0] for one in found]) == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(found[0].centre, [-1, 0], atol=0.05)
    assert modes(np.random.default_rng(9).normal(size=4000)).weight.size == 1


@pytest.fixture(scope="module")
def seen():
    target = world.rung(0.5, 0.2, 30.0, "colours")
    return world.draw(jax.random.key(1), target, "colours")


def test_fisher_bound_is_that_of_the_dense_matrix(seen):
    position, target = seen
    at = position, jnp.log(target.galaxy(position).estimate)
    flat, unravel = ravel_pytree(at)

    def model(x):
        place, level = unravel(x)
        return (jnp.exp(level)[:, None, None] * target.galaxy(place).templates).ravel()

    jacobian = np.asarray(jax.jacfwd(model)(flat), float)
    data = (jacobian.T * np.asarray(target.observation.ivar).ravel()) @ jacobian

    def prior(x):
        place, level = unravel(x)
        log_flux = target.flux_prior.log_density(jnp.exp(level)) + jnp.sum(level)
        of_slope = target.slope_prior.log_prob(place.slope)
        return target.joint_block().log_prior(place) + of_slope + log_flux

    whole = data - np.asarray(jax.hessian(prior)(flat), float)
    gradient = np.asarray(jax.grad(lambda x: fisher._log_screen(target, unravel(x)[0]))(flat))
    exact = np.sqrt(gradient @ np.linalg.solve(whole, gradient))
    found = fisher.bound(target, jax.tree.map(lambda x: x[None], position))
    assert float(found) == pytest.approx(exact, rel=0.01)


def test_free_pixels_leave_the_screen_to_the_prior_of_the_fluxes(seen):
    """With good data ln F + k t is known: what is left is the prior of F along k."""
    position, target = seen
    target = target.replace(
        observation=target.observation._replace(ivar=1e4 * target.observation.ivar),
        slope_prior=dist.Normal(0.1, 1e-3),
    )
    galaxy, spread = target.galaxy(position), target.flux_prior.precision
    place = galaxy.host, galaxy.transmission, jnp.asarray(0.1)
    observation = target.observation
    k = band_attenuation(observation.wavelength, observation.weight, 0.1, target.curve, target.norm)
    # the level of F is also that of a host free in every pixel
    one = spread.sum(axis=0)
    exact = (k @ spread @ k - (k @ one) ** 2 / one.sum()) ** -0.5
    assert fisher_pixels.pixel_bound(target, *place) == pytest.approx(float(exact), rel=0.03)


def test_fisher_bound_from_draws_is_their_sd_where_nothing_is_bare():
    target = world.rung(1.0, 0.2, 30.0, "flat")
    position, target = world.draw(jax.random.key(1), target, "flat")
    draw = jax.vmap(lambda key: world.draw(key, target, "flat")[0])
    positions = draw(jax.random.split(jax.random.key(5), 64))
    dust = jax.vmap(lambda place: target.galaxy(place).transmission)(positions)
    galaxy = target.galaxy(position)
    sd = jnp.sum(galaxy.host[None] * jnp.log(dust), axis=(1, 2)).std(ddof=1)
    place = galaxy.host, galaxy.transmission, position.slope
    assert fisher_pixels.pixel_bound(target, *place, dust) == pytest.approx(float(sd), rel=0.03)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 1.0])
def test_the_mask_holds_its_share_of_the_light(fraction):
    light = np.random.default_rng(0).exponential(size=(16, 16))
    light = jnp.asarray(light / light.sum())
    assert float(jnp.sum(light * covered(light, fraction))) == pytest.approx(fraction, abs=1e-5)


def test_where_all_is_covered_the_posterior_is_the_prior_and_where_not_it_is_fishers():
    """Both ends of the ladder, by the sampler: contraction 1, and the bound within 20 %."""
    covered_all = analytic.measure(1.0, 0.2, 30.0, "flat", galaxies=12, draws=200, seed=3)
    assert covered_all["contraction"] == pytest.approx(1.0, abs=0.05)
    half = analytic.measure(0.5, 0.2, 30.0, "flat", galaxies=12, draws=200, seed=3)
    assert half["contraction"] < 0.7
    assert half["posterior_sd"] == pytest.approx(half["fisher_sd"], rel=0.2)
    assert abs(half["bias"]) < 3 * half["bias_error"]


def inform(fraction, gain):
    """INFORM as dustmap.fits has it, its host, for a galaxy of S/N 100, ivar times `gain`."""
    target = world.rung(fraction, 0.4, 100.0, "colours")
    position, target = world.draw(jax.random.key(4), target, "colours")
    seen = target.observation
    target = target.replace(observation=seen._replace(ivar=gain * seen.ivar))
    starts = jax.tree.map(lambda x: jnp.stack([x] * 8), position)
    draws = galaxy.chains_of(jax.random.key(5), target, starts, position, draws=1000).transmission
    draws = jnp.asarray(draws).reshape(-1, *draws.shape[2:])
    keys = jax.random.split(jax.random.key(6), 1000)
    before = jax.vmap(lambda key: world.draw(key, target, "colours")[0])(keys)
    before = jax.vmap(lambda place: target.galaxy(place).transmission)(before)
    sd, prior_sd = (np.asarray(jnp.log(dust).std(axis=0)) for dust in (draws, before))
    host = np.asarray(target.galaxy(position).host)
    return np.divide(sd, prior_sd, out=np.full_like(sd, np.nan), where=prior_sd > 0), host


def test_inform_is_one_without_light():
    ratio, _ = inform(1.0, 1e-8)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.04)


def test_inform_is_small_where_it_is_bright_beside_uncovered_neighbours():
    ratio, host = inform(0.5, 1.0)
    bright = (host > np.quantile(host, 0.9)) & np.isfinite(ratio)
    assert bright.sum() >= 10
    assert ratio[bright].max() < 0.35


def test_the_ladder_resumes_and_writes_its_table(tmp_path, monkeypatch):
    calls = []

    def measured(**task):
        calls.append(task)
        return {name: 1.0 for name in study.COLUMNS} | {"depth": task["depth"]}

    monkeypatch.setattr(study.analytic, "measure", measured)
    monkeypatch.setattr(study.analytic, "bounds", lambda f, d, s, flux_prior: (f, 1.0))
    plan = study.Plan("analytic", (0.5, 1.0), (0.1, 0.2), 4, 10, 30.0, "flat", 0)
    written = study.study(tmp_path, plan, small=True)
    assert {path.name for path in written} == {study.TABLE, study.CLIFF, study.FIGURE}
    assert len(calls) == 4
    study.study(tmp_path, plan, small=True)
    assert len(calls) == 4


def test_a_rung_of_other_weights_is_measured_anew(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        study.network, "measure", lambda **task: calls.append(task) or {"contraction": 1.0}
    )
    plan = study.plan_of("networks", True, None, None, 30.0, 0, Settings(), depths=(0.3,))
    assert plan.depths == (0.3,)
    for weights, expected in (("a", 3), ("a", 3), ("b", 6)):
        monkeypatch.setattr(study, "weights_of", lambda _, w=weights: (w, w))
        study.climb(tmp_path, plan)
        assert len(calls) == expected


@pytest.mark.parametrize("depth", [0.0, -1.0, np.inf])
def test_a_depth_that_there_is_not(depth):
    with pytest.raises(DustpostError, match="--depth"):
        study.plan_of("analytic", True, None, None, 30.0, 0, Settings(), depths=(0.1, depth))


@pytest.mark.parametrize(
    "prior, fraction", [("analytic", 0.0), ("networks", 1.1), ("networks", np.nan)]
)
def test_a_fraction_that_there_is_not(prior, fraction):
    with pytest.raises(DustpostError, match="--fraction"):
        study.plan_of(prior, True, None, None, 30.0, 0, Settings(), fractions=(0.5, fraction))


def test_the_fractions_asked_for():
    plan = study.plan_of("networks", False, None, None, 30.0, 0, Settings(), fractions=(0.0, 1.0))
    assert plan.fractions == (0.0, 1.0)


def test_crossing_is_the_last_rise_through_the_level():
    fractions = np.array([0.2, 0.4, 0.6, 0.8])
    assert study.crossing(fractions, np.array([0.6, 0.3, 0.4, 0.6]), 0.5) == pytest.approx(0.7)
    assert np.isnan(study.crossing(fractions, np.ones(4), 0.5))
