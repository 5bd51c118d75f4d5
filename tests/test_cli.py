"""The command line as a person meets it: files that appear, sentences, exit codes."""

import re
from importlib import resources
from pathlib import Path

import jax
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from dustpost.assemble import build_target
from dustpost.io.netcdf import open_posterior
from dustpost.io.read import read
from dustpost.priors.host import find_hsc64
from dustpost.sensitivity.draw import draw
from dustpost.settings import read_settings

DEMO = Path(str(resources.files("dustpost") / "data" / "demo.fits"))
SHORT = """host_prior = "sim"
chains = 2
relax = 25
warmup = 5
draws = 10
prior_draws = 4
leapfrog = 3
directions = 8
"""
needs_hsc64 = pytest.mark.skipif(
    find_hsc64() is None, reason="galaxygrad 0.2.1 is not installed (pip install dustpost[hsc])"
)


@pytest.fixture(autouse=True)
def short_climb(monkeypatch):
    """The files of a run do not depend on how near its start was to the maximum."""
    monkeypatch.setattr("dustpost.starts.MOST_ITERATIONS", 40)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One short run of the demo, for all that looks at its files."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "short.toml").write_text(SHORT)
    return folder


@needs_hsc64
def test_demo_writes_all_four_files(dustpost, results):
    code, out, _ = dustpost("demo", "--out", results, "--config", results / "short.toml")
    assert code == 0
    assert "mean_attenuation" in out
    found = {path.name for path in (results / "demo").iterdir()}
    assert found == {"posterior.nc", "dustmap.fits", "summary.ecsv", "report.html"}


@needs_hsc64
def test_dustmap_follows_its_contract(results):
    with (
        fits.open(results / "demo" / "dustmap.fits", checksum=True) as hdus,
        fits.open(DEMO) as seen,
    ):
        names = [hdu.name for hdu in hdus]
        for name in ("A_MEAN", "A_SD", "A_Q16", "A_Q50", "A_Q84", "TRANS_MEAN", "TRANS_SD"):
            assert hdus[name].data.shape == (64, 64)
        assert {"HOST_MEAN", "HOST_SD", "INFORM", "RHAT", "RESID", "PARAMS"} <= set(names)
        assert hdus["A_MEAN"].header["BUNIT"] == "mag"
        assert hdus["RESID"].data.shape == seen[0].data.shape
        here, there = (WCS(h.header).celestial for h in (hdus["A_MEAN"], seen[0]))
        a, b = here.pixel_to_world(3, 50), there.pixel_to_world(3, 50)
        assert a.separation(b).arcsec < 1e-4
        for card in ("TARGET", "CROSSTRM", "NORM", "CURVE", "SIGDUST", "THOST", "DUSTSHA"):
            assert card in hdus[0].header


@needs_hsc64
def test_posterior_follows_its_contract(results):
    tree = open_posterior(results / "demo" / "posterior.nc")
    assert {"F", "delta", "mean_attenuation", "covering_fraction", "log_screen"} <= set(
        tree["posterior"].data_vars
    )
    assert tree["posterior"]["F"].dims == ("chain", "draw", "band")
    assert dict(tree["posterior"].sizes) == {"chain": 2, "draw": 10, "band": 5}
    transmission = tree["posterior_maps"]["D"]
    assert transmission.dims == ("chain", "draw", "y", "x")
    assert 0 < transmission.min() <= transmission.max() <= 1
    np.testing.assert_allclose(tree["posterior_maps"]["S"].sum(("y", "x")), 1, rtol=1e-4)
    stats = tree["sample_stats"]
    assert {"acceptance_joint", "acceptance_orbit", "curl_defect"} <= set(stats.data_vars)
    assert stats["acceptance_joint"].mean() > 0.1
    assert np.ptp(stats["energy"].values) > 1
    assert tree["constant_data"].attrs["cross_term"] == "anchored"
    table = Table.read(results / "demo" / "summary.ecsv")
    assert len(table) == 9
    page = (results / "demo" / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # self-contained


@needs_hsc64
def test_a_seed_repeats(dustpost, results, tmp_path):
    dustpost("demo", "--out", tmp_path, "--config", results / "short.toml")
    first, second = (
        open_posterior(folder / "demo" / "posterior.nc") for folder in (results, tmp_path)
    )
    for group in ("posterior", "posterior_maps"):
        for name, values in first[group].data_vars.items():
            np.testing.assert_array_equal(values, second[group][name])


@needs_hsc64
def test_check_of_a_short_run_fails_with_advice(dustpost, results):
    code, out, _ = dustpost("check", results / "demo" / "posterior.nc")
    assert code == 1
    assert "error" in out and "draw" in out


@needs_hsc64
def test_map(dustpost, tmp_path):
    code, _, _ = dustpost("map", DEMO, "--out", tmp_path)
    assert code == 0
    with fits.open(tmp_path / "demo" / "dustmap.fits", checksum=True) as hdus:
        names = {hdu.name for hdu in hdus}
        assert {"A_MAP", "TRANS_MAP", "HOST_MAP", "RESID", "PARAMS"} <= names
        np.testing.assert_allclose(hdus["HOST_MAP"].data.sum(), 1, rtol=1e-4)


def test_doctor(dustpost):
    code, out, _ = dustpost("doctor")
    assert "canary" in out and "jax" in out
    assert code == 0
    assert ("sim, not hsc64" in out) == (find_hsc64() is None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.fits"], "missing.fits"),
        ([DEMO, "--pixel", "1"], "--pixel 1: expected two numbers"),
        ([DEMO, "--curve", "ccm"], "none of calzetti-noll"),
        ([DEMO, "--chains", "0"], "at least 1"),
        ([DEMO, "--redshift", "-1"], "redshift"),
        ([DEMO, "--host-weights", "nowhere.eqx"], "nowhere.eqx"),
        ([DEMO, "--dust-weights", "nowhere.safetensors"], "nowhere.safetensors"),
        ([DEMO, "--config", "nowhere.toml"], "nowhere.toml"),
        ([DEMO, DEMO, "--pixel", "3,3"], "choose one galaxy"),
    ],
)
def test_bad_input_is_one_sentence(dustpost, tmp_path, arguments, words):
    code, _, err = dustpost("sample", *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert err.startswith("dustpost: ") and len(err.strip().splitlines()) == 1
    assert words in err
    assert not list(tmp_path.rglob("*.*"))


def test_an_output_folder_that_is_a_file(dustpost, tmp_path):
    (tmp_path / "out").write_text("in the way")
    code, _, err = dustpost("sample", DEMO, "--out", tmp_path / "out")
    assert code == 2
    assert "cannot be written" in err


def test_unknown_options_end_with_2(dustpost):
    assert dustpost("sample", DEMO, "--bogus")[0] == 2


def test_check_of_another_file(dustpost):
    code, _, err = dustpost("check", DEMO)
    assert code == 2
    assert "posterior.nc" in err


def test_one_bad_galaxy_does_not_stop_the_others(dustpost, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr("dustpost.cli.fit._sample_one", lambda cutout, *_: done.append(cutout.stem))
    bad = tmp_path / "bad.fits"
    with fits.open(DEMO) as hdus:
        hdus["IVAR"].data[:] = -1
        hdus.writeto(bad)
    code, _, err = dustpost("sample", bad, DEMO, "--out", tmp_path / "out")
    assert (code, done) == (2, ["demo"])
    assert "bad.fits" in err and "1 of 2 galaxies failed" in err


@needs_hsc64
def test_sensitivity_takes_the_draws_of_sample(dustpost, results):
    arguments = "--out", results, "--config", results / "short.toml"
    if not (results / "demo" / "posterior.nc").exists():
        assert dustpost("demo", *arguments)[0] == 0
    before = (results / "demo" / "posterior.nc").stat().st_mtime_ns
    code, out, _ = dustpost("sensitivity", DEMO, *arguments)
    assert code == 0
    assert (results / "demo" / "posterior.nc").stat().st_mtime_ns == before
    assert "flux_flat" in out and "slope_wide" in out
    table = Table.read(results / "demo" / "sensitivity.ecsv")
    assert set(table["choice"]) == {
        "fitted", "flux_flat", "flux_tight", "slope_tight", "slope_wide"
    }  # fmt: skip
    assert (results / "demo" / "sensitivity.png").exists()


@needs_hsc64
def test_a_choice_is_drawn_as_the_fit_is(results):
    """`sensitivity.draw` of the fit's own target is `sample` itself, draw by draw."""
    tree = open_posterior(results / "demo" / "posterior.nc")
    settings, cutout = read_settings(results / "short.toml", {}), read([DEMO])
    target = build_target(cutout, settings)
    again = draw(jax.random.key(settings.seed), cutout, target, settings, "colours")
    for name in ("delta", "mean_attenuation", "F"):
        np.testing.assert_allclose(
            again["posterior"][name], tree["posterior"][name], rtol=1e-4, atol=1e-6
        )


# last: each has programs of its own
@needs_hsc64
@pytest.mark.parametrize("name", ["langevin", "split-gibbs"])
def test_the_other_samplers(dustpost, results, tmp_path, name):
    code, out, _ = dustpost(
        "sample", DEMO, "--out", tmp_path, "--config", results / "short.toml", "--sampler", name
    )
    assert code == 0
    tree = open_posterior(tmp_path / "demo" / "posterior.nc")
    assert tree["constant_data"].attrs["sampler"] == name
    assert np.isfinite(tree["posterior"]["F"]).all()
    assert ("has no acceptance" in out) == (name == "langevin")


@needs_hsc64
def test_the_cut_posterior(dustpost, results, tmp_path):
    """Scores, from the MAP: host and dust in turn."""
    arguments = "--out", tmp_path, "--config", results / "short.toml", "--cross-term", "cut"
    code, out, _ = dustpost("demo", *arguments)
    assert code == 0
    tree = open_posterior(tmp_path / "demo" / "posterior.nc")
    assert tree["constant_data"].attrs["cross_term"] == "cut"
    stats = tree["sample_stats"]
    assert {"acceptance_dust", "acceptance_host", "acceptance_orbit"} <= set(stats.data_vars)
    assert "energy" not in stats
    assert stats["acceptance_dust"].mean() > 0.1
