"""The table and the page over a store of two finished galaxies, one failed, one damaged."""

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS
from pyarrow import parquet

from dustpost.catalog.collect import SCALARS, collect, flags
from dustpost.catalog.plan import Plan
from dustpost.catalog.qa import Page
from dustpost.catalog.status import sentences
from dustpost.catalog.store import Store
from dustpost.diagnostics.summary import Row, summarise
from dustpost.errors import DustpostError
from dustpost.io.objects import Object
from dustpost.io.summary import read_summary
from dustpost.outputs import write_outputs
from dustpost.results import to_tree
from dustpost.settings import Settings
from tests import synthetic


@pytest.fixture(scope="module")
def cutout():
    return synthetic.make_cutout(32)


@pytest.fixture(scope="module")
def tree(cutout):
    return to_tree(synthetic.make_draws(32), cutout)


@pytest.fixture(scope="module")
def store(tmp_path_factory, cutout, tree) -> Store:
    made = Store(tmp_path_factory.mktemp("collect") / "store")
    made.create()
    made.begin(Plan(Settings(), 1, "", 1, True, "cpu x86_64", ("dustpost 0",), ("a", "b")))
    made.ask(
        [
            Object("given", ("a.fits",), ra=10.0, dec=-5.0),
            Object("by wcs", ("b.fits",)),
            Object("bad", ("c.fits",), ra=11.0, dec=-6.0),
            Object("hurt", ("d.fits",)),
            Object("to do", ("e.fits",)),
        ]
    )
    for name in ("given", "by wcs", "hurt"):
        made.land(name, lambda folder: write_outputs(folder, tree, cutout, []))
    made.fail("bad", "c.fits is <empty>")
    summary = made.folder("hurt") / "summary.ecsv"
    summary.write_text(summary.read_text()[:200])
    return made


@pytest.fixture(scope="module")
def written(store) -> tuple[dict, str]:
    table, page = collect(store)
    return parquet.read_table(table).to_pydict(), page.read_text()


def test_one_row_a_galaxy(written):
    rows, _ = written
    assert rows["object_id"] == ["given", "by wcs", "bad", "hurt", "to do"]
    assert rows["state"] == ["done", "done", "failed", "failed", "pending"]
    assert rows["reason"][2] == "c.fits is <empty>"
    assert "cannot be read as a summary" in rows["reason"][3]
    for name in SCALARS:
        assert [value is None for value in rows[f"{name}_mean"]] == [False] * 2 + [True] * 3


def test_numbers_are_those_of_the_posterior(written, tree):
    rows, _ = written
    for row in summarise(tree):
        if row.name in SCALARS:
            assert rows[f"{row.name}_mean"][0] == pytest.approx(row.mean, rel=1e-6)
            assert rows[f"{row.name}_ess"][0] == pytest.approx(row.ess_bulk, rel=1e-6)
    fluxes = [row.mean for row in summarise(tree) if row.name == "F"]
    assert rows["F_mean"][0] == pytest.approx(fluxes, rel=1e-6)
    assert rows["bands"][0] == list(synthetic.BANDS)
    assert rows["F_unit"][0] == "nJy"


def test_places_are_the_inputs_or_those_of_the_wcs(written, cutout):
    rows, _ = written
    assert (rows["ra"][0], rows["dec"][0]) == (10.0, -5.0)
    ra, dec = WCS(cutout.wcs.to_header()).wcs_pix2world(15.5, 15.5, 0)
    assert rows["ra"][1] == pytest.approx(float(ra), abs=1e-7)
    assert rows["dec"][1] == pytest.approx(float(dec), abs=1e-7)
    assert rows["ra"][4] is None


def test_the_page_shows_all_of_it_and_fetches_nothing(written):
    _, page = written
    assert "Catalogue of 5 galaxies" in page and "2 done, 2 failed, 1 pending" in page
    assert page.count("<div class='thumb'>") >= 2
    assert "c.fits is &lt;empty&gt;" in page
    assert "http" not in page


def row(**changes) -> Row:
    good = dict(name="delta", band="", mean=0.1, sd=0.1, q16=0.0, q50=0.1, q84=0.2)
    good |= dict(rhat=1.0, ess_bulk=500.0, ess_tail=500.0, mcse=0.01, unit="")
    return Row(**(good | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"rhat": 1.2}, ["rhat"]),
        ({"rhat": math.nan}, ["rhat"]),
        ({"ess_tail": 20.0}, ["ess"]),
        ({"mean": math.nan, "sd": math.nan}, ["nan"]),
        ({"sd": 0.0, "rhat": math.nan, "ess_bulk": math.nan}, []),
    ],
)
def test_flags(changes, expected):
    assert flags([row(), row(**changes)]) == expected


def test_a_page_of_many_stays_small():
    page = Page(5000)
    image = {name: np.zeros((8, 8), np.float32) for name in ("A_MEAN", "HOST_MEAN")}
    for number in range(5000):
        found = {"object_id": str(number), "state": "done", "reason": "", "flags": "rhat"}
        page.add(found | {"mean_attenuation_rhat": 1.0 + number / 1000}, image)
    html = page.html()
    assert html.count("<div class='thumb'>") <= 240
    assert "<b>4999</b>" in html  # the worst is there


def test_damaged_summaries_are_a_sentence(tmp_path):
    path = tmp_path / "summary.ecsv"
    path.write_text("# nonsense")
    with pytest.raises(DustpostError, match="cannot be read as a summary"):
        read_summary(path)


def test_status_in_words(store):
    said = sentences(store.states())
    assert said[0] == "5 galaxies: 3 done, 1 failed, 1 pending"
    assert said[1] == "failed: bad: c.fits is <empty>"


def test_status_and_collect_on_the_command_line(dustpost, store, tmp_path):
    code, out, _ = dustpost("catalog", "status", store.root)
    assert code == 0 and "3 done, 1 failed, 1 pending" in out
    code, out, _ = dustpost("catalog", "collect", store.root, "--out", tmp_path / "x.parquet")
    assert code == 0 and (tmp_path / "x.html").is_file()
    code, _, err = dustpost("catalog", "status", Path(tmp_path))
    assert code == 2 and "there is no catalogue" in err


def test_without_dask_it_says_what_to_install(dustpost, monkeypatch, store):
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, err = dustpost("catalog", "status", store.root)
    assert code == 2
    assert 'run pip install "dustpost[catalog]"' in err and err.count("\n") == 1
