"""Other priors of F and delta, by weights: against normals whose every answer is known."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
from astropy.table import Table

from dustpost.diagnostics.degeneracy import deviation
from dustpost.diagnostics.divergence import kl
from dustpost.errors import DustpostError
from dustpost.ladder import world
from dustpost.priors.slope import MEAN, SD, WalledNormal
from dustpost.results import to_tree
from dustpost.sensitivity import study
from dustpost.sensitivity.choices import Choice, choices, under
from dustpost.sensitivity.numbers import COLUMNS, quantiles
from dustpost.sensitivity.reweigh import weights
from dustpost.settings import Settings
from tests.synthetic import make_cutout, make_draws

NOISE = np.array([0.04, 0.05, 0.06, 0.3])  # of the data on ln F and delta
CHAINS, DRAWS = 4, 2000


@pytest.fixture(scope="module")
def normal():
    """ln F and delta of a normal likelihood under the priors of colours and of delta."""
    target = world.rung(0.5, 0.2, 30.0, "colours").replace(slope_prior=dist.Normal(MEAN, SD))
    mean = np.append(np.asarray(target.flux_prior.mean, float), 0.1)
    precision = np.zeros((4, 4))
    precision[:3, :3], precision[3, 3] = target.flux_prior.precision, 0.35**-2
    seen = mean + np.array([0.1, 0.05, -0.1, 0.3])
    centre, cov = posterior(mean, precision, seen)
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal(centre, cov, (CHAINS, DRAWS))
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {
                    "F": (("chain", "draw", "band"), np.exp(draws[..., :3])),
                    "delta": (("chain", "draw"), draws[..., 3]),
                    "mean_attenuation": (("chain", "draw"), draws[..., 0]),
                }
            ),
            "sample_stats": xr.Dataset(),
            "constant_data": xr.Dataset(),
        }
    )
    return target, tree, draws, (mean, precision, seen)


def posterior(mean, precision, seen, tilt=0.0):
    """Mean and covariance, with `tilt` added to the slope of ln p(ln F)."""
    data = np.diag(NOISE**-2)
    cov = np.linalg.inv(precision + data)
    return cov @ (precision @ mean + data @ seen + tilt), cov


def exact(choice, mean, precision, seen):
    precision, tilt = precision.copy(), np.zeros(4)
    if choice.flux == "tight":
        precision[:3, :3] *= 4
    if choice.flux == "flat":  # flat in F is e^ln F in ln F; and as the lognormal has it
        precision[:3, :3], tilt[:3] = 0.0, 1.0
    precision[3, 3] /= choice.slope**2
    return posterior(mean, precision, seen, tilt)


@pytest.mark.parametrize("choice", choices("colours"), ids=lambda choice: choice.name)
def test_weighed_draws_are_those_of_the_other_prior(normal, choice):
    target, tree, draws, known = normal
    found = weights(tree, target, under(choice, target, target.flux_prior))
    assert found.trusted
    centre, cov = exact(choice, *known)
    for i in range(4):
        x, sd = draws[..., i], cov[i, i] ** 0.5
        error = sd / found.effective**0.5
        assert abs(np.sum(found.value * x) - centre[i]) < 4 * error
        assert deviation(x, found.value) == pytest.approx(sd, abs=4 * error)
    if choice.name != "fitted":
        shift = np.abs(exact(choice, *known)[0] - exact(choices("colours")[0], *known)[0])
        assert np.max(shift / np.diag(cov) ** 0.5) > 0.1  # there was something to find


def test_no_prior_moves_the_shares_of_the_amount_of_dust(normal):
    target, tree, _, _ = normal
    shared = tree.copy()
    share = (np.arange(CHAINS)[:, None] + np.arange(DRAWS) * CHAINS // DRAWS) % CHAINS
    shared["sample_stats"] = xr.DataTree(xr.Dataset({"share": (("chain", "draw"), share)}))
    tight = under(Choice("slope_tight", "colours", 0.5), target, target.flux_prior)
    free, held = (weights(one, target, tight).value for one in (tree, shared))
    of_shares = lambda value: np.bincount(share.ravel(), value.ravel())  # noqa: E731
    np.testing.assert_allclose(of_shares(held), 1 / CHAINS)
    assert np.ptp(of_shares(free)) > 1e-3


def test_where_the_data_say_nothing_a_wider_prior_is_out_of_reach(normal):
    """The posterior of delta is its prior: k = 1 - (1/2)^2 whatever few draws show."""
    target, tree, _, _ = normal
    rng = np.random.default_rng(1)
    one = tree.copy()
    slope = (("chain", "draw"), 0.1 + 0.35 * rng.standard_normal((CHAINS, DRAWS)))
    one["posterior"] = xr.DataTree(one["posterior"].to_dataset().assign(delta=slope))
    wide = weights(one, target, under(choices("colours")[-1], target, target.flux_prior))
    assert wide.pareto_k >= 0.72 and not wide.trusted
    tight = weights(one, target, under(choices("colours")[-2], target, target.flux_prior))
    assert tight.trusted


def test_a_flux_that_another_prior_forbids_is_no_number(normal):
    target, tree, _, _ = normal
    one = tree.copy()
    flux = one["posterior"]["F"].copy()
    flux[0, 0, 0] = -1.0
    one["posterior"] = xr.DataTree(one["posterior"].to_dataset().assign(F=flux))
    found = weights(one, target, under(choices("colours")[1], target, target.flux_prior))
    assert np.isnan(found.value).all() and not found.trusted


@pytest.mark.parametrize(("mean", "sd"), [(0.5, 0.5), (0.0, 0.7)])
def test_divergence_of_weighted_draws(mean, sd):
    """Draws of N(0, 1) weighed to N(mean, sd), against a prior N(0, 1.5)."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4, 500))
    weight = np.exp(0.5 * x**2 - 0.5 * ((x - mean) / sd) ** 2)
    value, error = kl(x, rng.normal(0, 1.5, 2000), weight)
    known = -np.log(sd / 1.5) + ((sd**2 + mean**2) / 1.5**2 - 1) / 2
    assert abs(value - known) < max(3 * error, 0.05)
    assert error < 0.1
    plain, _ = kl(x, rng.normal(0, 1.5, 2000))
    assert abs(plain - known) > 0.1


def test_quantiles_of_weighted_draws():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 5000))
    found = quantiles(x, np.exp(x), (0.16, 0.5, 0.84))  # e^x turns N(0, 1) into N(1, 1)
    np.testing.assert_allclose(found, [1 - 0.9945, 1, 1 + 0.9945], atol=0.1)


@pytest.fixture(scope="module")
def galaxy():
    """A tree of 16 pixels and a target that has its bands."""
    cutout, draws = make_cutout(16), make_draws(16)
    tree = to_tree(draws, cutout)
    target = world.rung(0.5, 0.2, 30.0, "colours")
    seen = target.observation
    shape = cutout.data.shape
    wavelength = jnp.asarray(cutout.wavelength, float)[:, None]
    arrays = (jnp.asarray(x, float) for x in (cutout.data, cutout.ivar, cutout.psf))
    target = target.replace(
        observation=type(seen)(*arrays, wavelength, jnp.ones_like(wavelength)),
        flux_prior=study_flux(cutout),
    )
    assert target.observation.data.shape == shape
    return cutout, tree, target


def slope_sd(choice):
    return float(WalledNormal(MEAN, choice.slope * SD).variance) ** 0.5


def study_flux(cutout):
    from dustpost.priors.spectrum import stellar_flux

    return stellar_flux(cutout.wavelength, cutout.data.sum(axis=(1, 2)))


def test_the_command_weighs_every_number(galaxy, tmp_path, monkeypatch):
    cutout, tree, target = galaxy
    monkeypatch.setattr(study, "build_target", lambda cutout, settings: target)
    study.write_posterior(tmp_path / "posterior.nc", tree)
    study.study(tmp_path, cutout, [], Settings(), "none")
    assert (tmp_path / study.FIGURE).read_bytes().startswith(b"\x89PNG")
    table = Table.read(tmp_path / study.TABLE)
    assert table.colnames == list(COLUMNS)
    names = set(table["name"])
    assert {"F", "delta", "mean_attenuation", "covering_fraction", "log_screen"} < names
    assert {"screen.contraction", "screen.kl", "screen.corr_delta", "contrast.kl"} < names
    assert {"screen.fisher_sd_pixels", "screen.modes"} < names
    for choice in choices("colours"):
        rows = table[table["choice"] == choice.name]
        assert len(rows) == len(table) / 5
        (delta,) = rows[rows["name"] == "delta"]
        assert delta["contraction"] == pytest.approx(delta["sd"] / slope_sd(choice), rel=1e-4)
    fitted = table[table["choice"] == "fitted"]
    (mean,) = fitted[fitted["name"] == "mean_attenuation"]
    assert mean["mean"] == pytest.approx(float(tree["posterior"]["mean_attenuation"].mean()))
    (tight,) = table[(table["choice"] == "slope_tight") & (table["name"] == "delta")]
    assert tight["sd_ratio"] < 0.95


def test_choices_are_drawn_once_and_kept(galaxy, tmp_path, monkeypatch):
    cutout, tree, target = galaxy
    drawn = []

    def draw(key, cutout, target, settings, words, progress):
        drawn.append((words, float(target.slope_prior.variance) ** 0.5))
        return tree

    monkeypatch.setattr(study, "build_target", lambda cutout, settings: target)
    monkeypatch.setattr(study, "draw", draw)
    study.write_posterior(tmp_path / "posterior.nc", tree)
    for _ in range(2):
        table = study.study(tmp_path, cutout, [], Settings(), "all")
    assert [words for words, _ in drawn] == ["flat", "colours, twice as tight"] + 2 * ["colours"]
    known = [slope_sd(Choice("", "", factor)) for factor in (1, 1, 0.5, 2)]
    np.testing.assert_allclose([sd for _, sd in drawn], known, rtol=1e-5)
    assert set(table["how"]) == {"drawn"}


def test_a_posterior_of_other_data_or_priors_is_refused(galaxy, tmp_path):
    cutout, tree, _ = galaxy
    study.write_posterior(tmp_path / "posterior.nc", tree)
    with pytest.raises(DustpostError, match="other data than toy_galaxy.fits"):
        study.fitted(tmp_path, make_cutout(16, seed=1), [], Settings())
    with pytest.raises(DustpostError, match="flux_prior = 'colours', now 'flat'"):
        study.fitted(tmp_path, cutout, [], Settings(flux_prior="flat"))
    with pytest.raises(DustpostError, match="--redraw some"):
        study.study(tmp_path, cutout, [], Settings(), "some")
