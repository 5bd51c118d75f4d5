"""Figures of the paper: sources with truth, scores with known answers, pictures, the command."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits as astropy_fits
from astropy.table import Table

from dustpost.errors import DustpostError
from dustpost.io import fits
from dustpost.reproduce import campaign, exposure, fig2, fig3, fit, pixels, score, trial
from dustpost.reproduce.sources import View, find_views, monochromatic
from dustpost.results import to_tree
from dustpost.settings import Settings
from dustpost.simulate.survey import get_survey, noise_sd
from tests.synthetic import FLUX, make_cutout, make_draws


@pytest.fixture(scope="module")
def ideal():
    """A toy galaxy that no survey has looked at."""
    cutout = make_cutout(64, wcs=False)
    truth = cutout.truth
    clean = truth.flux[:, None, None] * truth.host * 10 ** (-0.4 * truth.attenuation)
    return replace(
        cutout,
        data=clean.astype(np.float32),
        ivar=np.zeros_like(cutout.ivar),
        psf=np.ones((5, 1, 1), np.float32),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, ideal):
    """Two galaxies from two sides, and one that is of one colour already."""
    place = tmp_path_factory.mktemp("views")
    for name in ("toy_000_0", "toy_000_1", "toy_001_0", "toy_001_1", "toy_001_0_mono"):
        fits.save(place / f"{name}.fits", ideal)
    return place


@pytest.fixture(scope="module")
def posterior():
    """A posterior of the toy galaxy, as the sampler would hand it over."""
    cutout = make_cutout(64, wcs=False)
    return cutout, to_tree(make_draws(64, length=200), cutout)


def test_views_of_a_folder(folder, ideal):
    views = find_views(folder, 1, 1, 0)
    assert [view.name for view in views] == ["toy_000_0"]
    views = find_views(folder, 9, 9, 0)
    assert [view.galaxy for view in views] == 2 * ["toy_000"] + 2 * ["toy_001"]
    found = views[0].read(False)
    np.testing.assert_array_equal(found.data, ideal.data)
    assert not found.ivar.any()


def test_suite_is_that_of_simulate():
    names = [view.name for view in find_views(None, 2, 2, 3)]
    assert names == ["sim_00000_0", "sim_00000_1", "sim_00001_0", "sim_00001_1"]


@pytest.mark.parametrize("spoil", ["missing", "empty", "blind"])
def test_bad_folders_are_named(tmp_path, folder, spoil):
    place = tmp_path / "nowhere"
    if spoil != "missing":
        place.mkdir()
    if spoil == "blind":
        with astropy_fits.open(folder / "toy_000_0.fits") as hdus:
            hdus[:2].writeto(place / "blind.fits")
    with pytest.raises(DustpostError, match=str(place)):
        find_views(place, 9, 9, 0)[0].read(False)


def test_monochromatic_is_that_of_radiative_transfer(shared_data):
    path = shared_data / "rt" / "rt_009_1.fits"
    found = monochromatic(fits.load_ideal(path)).data
    np.testing.assert_allclose(found, astropy_fits.getdata(path, "MONO"), atol=1e-6 * found.max())


def test_the_survey_leaves_out_what_it_has_not_and_keeps_its_ratios(shared_data):
    cutout = fits.load_ideal(shared_data / "rt" / "rt_009_1.fits")
    assert cutout.bands[0] == "rt-u"
    seen = exposure.observe(cutout, 30.0, 0)
    assert seen.bands == ("rt-g", "rt-r", "rt-i", "rt-z", "rt-y")
    assert len(seen.truth.flux) == len(seen.truth.attenuation) == 5
    sd = seen.ivar[:, 0, 0] ** -0.5
    wanted = noise_sd(get_survey(exposure.SURVEY))
    np.testing.assert_allclose(sd / sd[1], wanted / wanted[1], rtol=1e-5)
    clean = exposure.blur(cutout.data[1:], seen.psf)
    np.testing.assert_allclose(clean[1].max() / sd[1], 30.0, rtol=1e-5)
    pull = (seen.data - clean) * np.sqrt(seen.ivar)
    np.testing.assert_allclose(pull.std(axis=(1, 2)), 1.0, atol=0.05)
    again = exposure.observe(cutout, 30.0, 0)
    np.testing.assert_array_equal(seen.data, again.data)
    assert exposure.observe(seen, 100.0, 0) is seen


def test_a_cutout_of_other_bands_is_refused(ideal):
    far = replace(ideal, wavelength=ideal.wavelength * 0.2)
    with pytest.raises(DustpostError, match="hsc2017-g"):
        exposure.observe(far, 30.0, 0)


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


def test_correlation_looks_at_the_light_alone(ideal):
    host, dust = ideal.truth.host, ideal.truth.attenuation[0]
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


def test_a_name_holds_all_that_a_result_depends_on(tmp_path):
    view = View("toy_0", "toy", lambda grey: None)
    plan = trial.Plan(tmp_path, Settings(), 30.0)
    at = partial(trial.place, view, "fiducial")
    longer = replace(plan, settings=Settings(draws=10))
    assert at(plan, "map") == at(longer, "map")
    assert at(plan, "posterior") != at(longer, "posterior")
    for change in (dict(signal_to_noise=100.0), dict(model_error=0.1), dict(source="b")):
        assert at(replace(plan, **change), "map") != at(plan, "map")


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
    seen = pixels.to_observation(replace(cutout, psf=np.ones((5, 1, 1))))
    k = np.stack(
        [
            np.asarray(pixels.band_attenuation(seen.wavelength, seen.weight, s))
            for s in slope.ravel()[:1]
        ]
    )
    k = np.exp(np.log(k) + (slope - slope[0]) * np.log(cutout.wavelength / 0.4754))
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


@pytest.fixture
def fitted(monkeypatch, posterior):
    """Fits without network or chains; the list of what was fitted."""
    cutout, tree = posterior
    found, done = trial.condense(tree, cutout, 1.0), []

    def of_map(seen, plan):
        done.append(("map", seen.stem))
        return found._replace(
            **{n: getattr(found, n)[:1] for n in ("flux", "slope", "mean_attenuation")},
            covering_fraction=found.covering_fraction[:1],
            correlation=found.correlation[:1],
            map_inside=np.full(3, np.nan),
        )

    def of_draws(cutouts, plan):
        done.extend(("posterior", seen.stem) for seen in cutouts)
        return [found] * len(cutouts)

    monkeypatch.setitem(trial.ALONE, "map", of_map)
    monkeypatch.setattr(trial, "fit_map", of_map)
    monkeypatch.setattr(trial, "fit_posteriors", of_draws)
    return done


def test_fig3_resumes_and_writes_both_versions(dustpost, fitted, folder, tmp_path):
    options = ("--out", tmp_path, "--data", folder, "--small", "--views", 2)
    code, out, _ = dustpost("reproduce", "fig3", *options)
    assert code == 0 and "fig3_posterior.png" in out
    assert len(fitted) == 4 * 2 * 2
    table = Table.read(tmp_path / "fig3_posterior.ecsv")
    assert len(table) == 8 and (table["low"] < table["high"]).all()
    scores = Table.read(tmp_path / "scores.ecsv")
    assert set(scores["method"]) == {"map", "posterior"}
    assert set(scores["variant"]) == set(trial.VARIANTS)
    dustpost("reproduce", "fig3", *options)
    assert len(fitted) == 4 * 2 * 2
    next((tmp_path / "fits").glob("toy_001_1_monochromatic_posterior_*")).unlink()
    dustpost("reproduce", "fig3", *options)
    assert fitted[4 * 2 * 2 :] == [("posterior", "toy_001_1")]


def test_fig2_chooses_different_galaxies(dustpost, fitted, folder, tmp_path):
    code, _, _ = dustpost("reproduce", "fig2", "--out", tmp_path, "--data", folder, "--small")
    assert code == 0
    assert (tmp_path / "fig2.png").read_bytes().startswith(b"\x89PNG")
    names = list(Table.read(tmp_path / "fig2.ecsv")["name"])
    assert names == ["toy_000_0", "toy_001_0"]


def test_fig2_without_posteriors(fitted, folder, tmp_path):
    views = fig2.choose(find_views(folder, 2, 1, 0))
    fits_, _ = campaign.run(views, (fig2.VARIANT,), trial.Plan(tmp_path / "fits"), False)
    assert fig2.write(tmp_path, views, fits_)[0].stat().st_size > 10_000
    assert len(fig3.write(tmp_path, views, (fig2.VARIANT,), fits_, 100.0)) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fig4"], "fig4"),
        (["fig3", "--data", "nowhere"], "nowhere"),
        (["fig3", "--signal-to-noise", "-1"], "--signal-to-noise -1"),
    ],
)
def test_bad_options_end_with_2(dustpost, tmp_path, arguments, words):
    code, _, err = dustpost("reproduce", *arguments, "--out", tmp_path / "out")
    assert code == 2 and words in err
    assert not (tmp_path / "out").exists()


def test_a_map_of_a_view(folder, tmp_path, monkeypatch):
    """The real thing, cut short: from a file to a kept result."""
    monkeypatch.setattr("dustpost.sample.MOST_ITERATIONS", 20)
    view = find_views(folder, 1, 1, 0)[0]
    plan = trial.Plan(tmp_path, Settings(), 30.0)
    found = trial.keep(view, "fiducial", plan, "map")
    assert np.isfinite(found.chi2) and found.transmission.shape == (64, 64)
    np.testing.assert_allclose(found.host.sum(), 1.0, rtol=1e-4)
    np.testing.assert_allclose(
        found.mean_attenuation[0], (found.host * found.attenuation).sum(), rtol=1e-3
    )
    at = Path(trial.place(view, "fiducial", plan, "map"))
    assert at.exists() and not list(tmp_path.glob("*.part*"))
