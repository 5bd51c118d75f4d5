"""Fits against truths: scores with known answers, results that come back, the peer by pixels."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import kept_scores
from dustpost.errors import DustpostError
from dustpost.reproduce import exposure, fit, pixels, score, trial
from dustpost.results import to_tree
from dustpost.simulate.survey import get_survey
from tests.synthetic import FLUX, make_cutout, make_draws


@pytest.fixture(scope="module")
def posterior():
    """A posterior of the toy galaxy, as the sampler would hand it over."""
    cutout = make_cutout(64, wcs=False)
    return cutout, to_tree(make_draws(64, length=200), cutout)


def test_crps_of_a_normal_is_the_formula_and_of_a_point_the_error():
    draws = np.random.default_rng(0).normal(size=(20_000, 3))
    # Gneiting & Raftery 2007, Eq. 21, at truths 0, 1 and -2
    wanted = [0.2337, 0.6024, 1.4528]
    np.testing.assert_allclose(fit.crps(draws, np.array([0.0, 1.0, -2.0])), wanted, atol=0.02)
    np.testing.assert_allclose(fit.crps(np.array([3.0]), np.array(5.0)), 2.0)


def test_intervals_hold_what_they_say():
    rng = np.random.default_rng(1)
    draws, truth = rng.normal(size=(99, 4000)), rng.normal(size=4000)
    np.testing.assert_allclose(fit.inside(draws, truth).mean(axis=1), fit.MASSES, atol=0.025)
    assert np.isnan(fit.inside(draws[:5], truth)).all()


def test_correlation_looks_at_the_light_alone():
    truth = make_cutout(64).truth
    host, dust = truth.host, truth.attenuation[0]
    dark = host < np.quantile(host, 0.3)
    assert fit.correlation(np.where(dark, 9.0, dust), dust, host) == pytest.approx(1.0)
    assert np.isnan(fit.correlation(0 * dust, dust, host))


def test_scores_of_a_posterior(posterior):
    cutout, tree = posterior
    truth = fit.known(cutout)
    found = trial.condense(tree, cutout, 1.0)
    scored = score.score("toy", truth, found)
    assert set(scored) == set(score.QUANTITIES)
    draws = tree["posterior"]["mean_attenuation"].values
    error = draws.mean() - cutout.truth.mean_attenuation
    assert scored["mean_attenuation"].error == pytest.approx(error)
    colour = -2.5 * np.log10(found.flux[:, 0] / found.flux[:, 1]).mean()
    true = -2.5 * np.log10(FLUX[0] / FLUX[1])
    assert scored["g-r"].error == pytest.approx(colour - true)
    assert 0.5 < scored["map"].correlation <= 1
    assert (
        scored["map"].crps < np.abs(found.attenuation - fit.attenuation(truth.transmission)).max()
    )
    rows = score.rows(
        [scored, scored], variant="fiducial", signal_to_noise=30.0, method="posterior"
    )
    table = score.as_table(rows)
    some = table[(table["quantity"] == "delta") & (table["bin"] == "all")]
    assert (some["views"][0], some["galaxies"][0]) == (2, 1)
    covering = cutout.truth.covering_fraction
    assert 0.5 < covering < 0.9 and not (table["bin"] == "covering > .9").any()


def test_scores_gather_line_by_line_and_those_of_other_settings_go(posterior, tmp_path):
    cutout, tree = posterior
    found = trial.condense(tree, cutout, 1.0)
    scored = score.score("toy", fit.known(cutout), found)
    at, label = tmp_path / "all.ecsv", dict(variant="fiducial", signal_to_noise=30.0, method="full")

    def add(view, mark):
        new = kept_scores.lines(scored, found, **label, view=view, mark=mark) if view else []
        return kept_scores.merge(at, new, {(30.0, "full"): mark})

    add("toy_0", "a")
    table = add("toy_1", "a")
    assert len(add(None, "a")) == len(table) == 2 * len(scored)
    again = score.rows(kept_scores.scores(table), **label)
    for row, first in zip(again, score.rows([scored, scored], **label), strict=True):
        for name, value in first.items():
            if isinstance(value, float):
                value = pytest.approx(value, rel=1e-4, nan_ok=True)
            assert row[name] == value
    assert set(add("toy_1", "b")["view"]) == {"toy_1"}


def test_slope_is_not_scored_where_it_means_nothing(posterior):
    cutout, tree = posterior
    found = trial.condense(tree, cutout, 1.0)
    clear = fit.known(cutout)._replace(mean_attenuation=np.asarray(0.01))
    assert "delta" not in score.score("toy", clear, found)


def test_results_come_back_and_damaged_ones_are_named(posterior, tmp_path):
    cutout, tree = posterior
    found = trial.condense(tree, cutout, 1.0)
    fit.write(tmp_path / "one.npz", found)
    for name, value in fit.load(tmp_path / "one.npz", fit.Fit)._asdict().items():
        np.testing.assert_allclose(value, getattr(found, name), rtol=1e-6, atol=1e-9)
    (tmp_path / "two.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:500])
    with pytest.raises(DustpostError, match="two.npz"):
        fit.load(tmp_path / "two.npz", fit.Fit)


def test_pixels_by_themselves_are_calibrated_in_their_own_world():
    """Pixels drawn from the peer's own priors: its intervals hold what they promise."""
    cutout = make_cutout(64, wcs=False)
    rng = np.random.default_rng(5)
    prior = pixels.stellar_flux(cutout.wavelength, np.ones(5))
    shape = (64 * 64, 1)
    depth = rng.exponential(pixels.SCALE, shape)
    slope = 0.1 + 0.35 * rng.standard_normal(shape)
    colours = np.linalg.cholesky(np.linalg.inv(np.asarray(prior.precision, float)) - 9.0)
    log_flux = rng.standard_normal((64 * 64, 5)) @ colours.T
    seen = pixels.to_observation(cutout, average=False)
    law = np.asarray(pixels.band_attenuation(seen.wavelength, seen.weight, 0.0), float)
    k = law * (cutout.wavelength / 0.4754) ** slope
    mean = np.asarray(prior.mean, float) - float(prior.mean[1])
    clean = np.exp(log_flux + mean) * 10 ** (-0.4 * k * depth)
    noise = 0.02
    data = clean + noise * rng.standard_normal(clean.shape)
    cube = lambda x: x.T.reshape(5, 64, 64).astype(np.float32)  # noqa: E731
    truth = cutout.truth._replace(
        transmission=10 ** (-0.4 * depth.reshape(64, 64)), host=np.full((64, 64), 64.0**-2)
    )
    one = replace(
        cutout,
        data=cube(data),
        ivar=np.full((5, 64, 64), noise**-2, np.float32),
        psf=np.ones((5, 1, 1), np.float32),
        truth=truth,
    )
    found = pixels.fit_pixels(one)
    np.testing.assert_allclose(found.map_inside, fit.MASSES, atol=0.04)
    assert np.isfinite(found.mean_attenuation).all()


def test_matched_psfs_are_one():
    cutout = replace(
        make_cutout(64, wcs=False),
        psf=np.asarray(exposure.point_spread(get_survey("hsc-cosmos")), np.float32),
    )
    star = np.zeros((5, 64, 64), np.float32)
    star[:, 32, 32] = 1.0
    seen = replace(cutout, data=exposure.blur(star, cutout.psf))
    matched = pixels.match_psf(seen).data
    np.testing.assert_allclose(matched, np.broadcast_to(matched[:1], matched.shape), atol=3e-4)
    assert np.abs(seen.data - seen.data[:1]).max() > 0.01
