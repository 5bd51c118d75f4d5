"""report.html and summary.ecsv: honest, self-contained, complete."""

import dataclasses
import re

import numpy as np
import pytest
from astropy.table import Table

from dustpost.assumptions import assumptions
from dustpost.diagnostics import convergence
from dustpost.diagnostics import fit as fitting
from dustpost.diagnostics.summary import summarise
from dustpost.findings import Finding
from dustpost.io.summary import write_summary
from dustpost.report import write_report
from dustpost.results import settings_of, to_tree
from dustpost.verdict import number, verdict
from tests.synthetic import make_cutout, make_draws, prior_draws


def report(path, draws, cutout, findings=()):
    write_report(path, to_tree(draws, cutout), cutout, findings)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    findings = [Finding("warning", "sky", "The sky <level> is off.")]
    return report(path, make_draws(16), make_cutout(16), findings)


def test_report_is_self_contained(good):
    assert good.startswith("<!doctype html>")
    assert "<script" not in good
    assert not re.search(r"https?://", good)
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', good)
    assert len(sources) == 7
    assert all(s.startswith("data:image/png;base64,") for s in sources)


def test_report_escapes_what_it_is_told(good):
    assert "The sky &lt;level&gt; is off." in good
    assert "The PSF &lt;of the toy&gt;" in good
    assert "<level>" not in good


def test_report_says_what_was_assumed(good):
    for words in (
        "calzetti-noll: Calzetti et al. (2000)",
        "k = 1 at 0.4754 micron",
        "sigma = 0.05 in transmission, 0.054 mag",
        "z = 0, the default",
        "hsc64: Score network HSC-64",
        "4 chains, 200 warm-up sweeps, 400 draws, seed 1",
        "0" * 64,
    ):
        assert words in good


def test_report_lists_numbers_with_units(good):
    for name in ("F[hsc2017-g]", "mean_attenuation", "covering_fraction", "log_screen", "delta"):
        assert f"<td>{name}</td>" in good
    assert "<td>nJy</td>" in good
    assert "<td>mag</td>" in good


def test_verdict_of_good_chains(good):
    assert "The chains have converged." in good
    assert 'class="verdict fair"' in good  # because of the sky


def judge(draws):
    tree = to_tree(draws, make_cutout(16))
    rows = summarise(tree)
    return verdict(tree, rows, convergence.check(tree, rows), fitting.check(fitting.fit(tree)), ())


def test_verdict_of_bad_chains():
    kind, headline, sentences = judge(make_draws(16, offset=2.0))
    assert kind == "bad"
    assert headline == "The chains have not converged: do not use these numbers."
    assert not any("the data speak" in s for s in sentences)


def test_misfit_is_said_at_the_top():
    draws = make_draws(16)
    kind, headline, sentences = judge(draws._replace(model=0.7 * draws.model))
    assert kind == "fair"
    assert "The model does not fit everywhere." in headline
    assert any("chi2 per pixel is" in s for s in sentences)


def test_a_map_of_the_prior_is_called_so():
    draws = make_draws(16)
    narrow = draws._replace(**prior_draws(16, 0.1))
    assert judge(narrow)[2][-2].endswith("it shows mostly the prior.")


def test_report_of_draws_with_nan_is_written_and_red(tmp_path):
    draws = make_draws(16)
    screen = draws.log_screen.copy()
    screen[0, 0] = np.nan
    page = report(tmp_path / "report.html", draws._replace(log_screen=screen), make_cutout(16))
    assert 'class="verdict bad"' in page
    assert "log_screen is not finite in 1 of 1600 draws" in page
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_assumptions_tell_redshift_extinction_and_unknown_words():
    cutout = dataclasses.replace(make_cutout(8), redshift=0.1, ebv=0.02)
    said = dict(assumptions({"curve": "mine", "noise_inflation": 1.3}, cutout))
    assert said["Redshift"].startswith("z = 0.1: filters are shifted")
    assert "E(B-V) = 0.02 mag" in said["Milky Way"]
    assert said["Attenuation curve"] == "mine"
    assert "its sd times 1.3" in said["Noise"]
    assert "Colour of the host" not in said  # of a file that does not tell
    wide = dict(assumptions({"model_error": 0.028, "colour_field": 0.3}, cutout))
    assert "2.8% of the local flux" in wide["Noise"]
    assert "tilt of 0.3" in wide["Colour of the host"]
    for digest, word in (("", "None"), ("abc123", "abc123")):
        fine = dict(assumptions({"fine_structure": digest}, cutout))["Fine structure of the dust"]
        assert word in fine
    plain = dict(assumptions({"model_error": 0.0, "colour_field": 0.0}, cutout))
    assert plain["Noise"].endswith("from the cutout.")
    assert "taken for dust" in plain["Colour of the host"]


def test_summary_table(tmp_path):
    tree = to_tree(make_draws(8), make_cutout(8))
    rows = summarise(tree)
    write_summary(tmp_path / "summary.ecsv", rows, tree)
    write_summary(tmp_path / "summary.ecsv", rows, tree)  # over itself
    table = Table.read(tmp_path / "summary.ecsv")
    assert len(table) == 9
    assert table["name"][5] == "delta"
    assert table["unit"][6] == "mag"
    assert table["mean"][0] == pytest.approx(rows[0].mean)
    assert table.meta["seed"] == settings_of(tree)["seed"]
    assert table.meta["source"] == "toy_galaxy.fits"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(0.2583, 0.0655, "0.258"), (301.3, 18.2, "301"), (1e-9, 1e-10, "1e-09"), (np.nan, 1, "none")],
)
def test_number(value, error, text):
    assert number(value, error) == text
