"""Figures of the paper: sources with truth, scores with known answers, pictures, the command."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits as astropy_fits
from astropy.table import Table

from dustpost.attenuation import attenuation_curve
from dustpost.errors import DustpostError
from dustpost.io import fits
from dustpost.reproduce import campaign, exposure, fig2, fig3, trial
from dustpost.reproduce.sources import View, find_views, monochromatic, of_model
from dustpost.results import to_tree
from dustpost.settings import Settings
from dustpost.simulate.survey import get_survey, noise_sd
from tests.synthetic import make_cutout, make_draws


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


@pytest.mark.parametrize("name, slope", [("rt_000_0", None), ("rt_003_0", -1.0), ("rt_012_0", 0.1)])
def test_the_model_variant_is_the_model(shared_data, name, slope):
    """Its own curve through every pixel; slopes that mean nothing are not taken over."""
    cutout = fits.load_ideal(shared_data / "rt" / f"{name}.fits")
    found, truth = of_model(cutout), cutout.truth
    slope = truth.slope if slope is None else slope
    assert found.truth.slope == pytest.approx(slope, abs=1e-6)
    k = np.array([float(attenuation_curve(wave, slope)) for wave in cutout.wavelength])
    expected = truth.flux[:, None, None] * truth.host * truth.transmission ** k[:, None, None]
    np.testing.assert_allclose(found.data, expected, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(
        10 ** (-0.4 * found.truth.attenuation) * truth.flux[:, None, None] * truth.host,
        found.data, rtol=1e-4, atol=1e-9,
    )  # fmt: skip


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


def test_a_name_holds_all_that_a_result_depends_on(tmp_path, monkeypatch):
    view = View("toy_0", "toy", lambda grey: None)
    plan = trial.Plan(tmp_path, Settings(), 30.0)
    at = partial(trial.place, view, "fiducial")
    longer = replace(plan, settings=Settings(draws=10))
    assert at(plan, "map") == at(longer, "map")
    assert at(plan, "posterior") != at(longer, "posterior")
    wider = dict(settings=Settings(noise_inflation=1.1))
    for change in (dict(signal_to_noise=100.0), wider, dict(source="b")):
        assert at(replace(plan, **change), "map") != at(plan, "map")
    before = at(plan, "posterior")
    monkeypatch.setattr(trial, "USUAL", "others")
    assert at(plan, "posterior") != before


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
        (["fig3", "--variant", "blue"], "--variant blue: fig3 has fiducial and monochromatic"),
        (["fig2", "--variant", "monochromatic"], "fig2 has fiducial galaxies"),
    ],
)
def test_bad_options_end_with_2(dustpost, tmp_path, arguments, words):
    code, _, err = dustpost("reproduce", *arguments, "--out", tmp_path / "out")
    assert code == 2 and words in err
    assert not (tmp_path / "out").exists()


def test_a_map_of_a_view(folder, tmp_path, monkeypatch):
    """The real thing, cut short: from a file to a kept result."""
    monkeypatch.setattr("dustpost.starts.MOST_ITERATIONS", 20)
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
