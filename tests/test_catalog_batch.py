"""Batches with the sampler itself, tiny networks: neighbours and order change no bit."""

import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dustpost.catalog import batch
from dustpost.catalog.memory import steady
from dustpost.catalog.plan import plan_of
from dustpost.catalog.store import FILES, Store
from dustpost.io.objects import Object
from dustpost.settings import Settings
from tests.fitsfiles import galaxy, good_hdus, write
from tests.tiny_networks import write_networks

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    networks = write_networks(tmp_path_factory.mktemp("networks"))
    short = dict(
        chains=2, relax=0, warmup=5, draws=5, keep=5, prior_draws=2, leapfrog=2, directions=4
    )
    return plan_of(Settings(**short, **networks), bin=1, ebv="", width=2)


@pytest.fixture(scope="module")
def objects(tmp_path_factory) -> dict[str, Object]:
    """Three galaxies and a file that is none."""
    folder = tmp_path_factory.mktemp("galaxies")
    found = {}
    for seed, name in enumerate("abc"):
        path = write(folder / f"{name}.fits", good_hdus(galaxy(seed=seed)))
        found[name] = Object(name, (str(path),))
    (folder / "bad.fits").write_text("no FITS")
    return found | {"bad": Object("bad", (str(folder / "bad.fits"),))}


@pytest.mark.slow  # compiles the sampler two galaxies wide: 175 CPU seconds
def test_no_bit_depends_on_neighbours_or_order(plan, objects, tmp_path):
    orders = (["a", "bad", "b", "c"], ["c", "a", "bad"], ["b"])
    stores = [Store(tmp_path / str(number)) for number in range(len(orders))]
    plans = [plan, plan, replace(plan, report=False)]
    for store, one, order in zip(stores, plans, orders, strict=True):
        store.create()
        found = batch.work(str(store.root), one, [objects[name] for name in order])
        states = {one.object_id: one.state for one in found}
        expected = {name: "failed" if name == "bad" else "done" for name in order}
        assert states == expected, found
    first = stores[0]
    assert "bad.fits" in first.failures()["bad"]
    for other in stores[1:]:
        for name in other.done():
            with (
                xr.open_datatree(first.folder(name) / "posterior.nc") as here,
                xr.open_datatree(other.folder(name) / "posterior.nc") as there,
            ):
                assert here.identical(there), name
                assert float(here["posterior"]["delta"].std()) > 0
    assert {path.name for path in first.folder("a").iterdir()} == set(FILES)
    assert {path.name for path in stores[2].folder("b").iterdir()} == set(FILES) - {"report.html"}
    again = batch.work(str(first.root), plan, [objects["a"]])
    assert [one.state for one in again] == ["there"]


def test_one_galaxy_that_spoils_a_batch_is_found(plan, objects, monkeypatch):
    ready = [batch.prepare(objects[name], plan) for name in "abc"]

    def sample_many(keys, cutouts, settings):
        if any(cutout.source.name == "b.fits" for cutout in cutouts):
            raise FloatingPointError("b is odd")
        return [cutout.source.name for cutout in cutouts]

    monkeypatch.setattr(batch, "sample_many", sample_many)
    found = batch.draw(ready, replace(plan, width=4))
    assert [found[0], found[2]] == ["a.fits", "c.fits"]
    assert isinstance(found[1], FloatingPointError)


def test_a_framed_psf_is_the_same_psf(plan, objects):
    cutout = batch.prepare(objects["a"], plan).cutout
    assert cutout.psf.shape == (3, 15, 15)  # 11x11 in the file
    np.testing.assert_allclose(cutout.psf.sum(axis=(1, 2)), 1, rtol=1e-6)
    assert (cutout.psf.argmax(axis=2).max(), cutout.psf[:, 7, 7].argmin()) == (7, 0)
    none = replace(cutout, psf=np.ones((3, 1, 1), np.float32))
    assert batch.frame_psf(none) is none


def test_the_slurm_script_is_sound():
    subprocess.run(["bash", "-n", DOCS / "catalog.slurm"], check=True)


def test_the_settings_for_a_gpu_in_the_docs_are_steady():
    text = (DOCS / "catalog.md").read_text()
    toml = text.split("as in this `fixed.toml`:\n\n")[1].split("\n\n")[0]
    assert steady(Settings(**tomllib.loads(toml)))
