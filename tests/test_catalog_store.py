"""The store, its lock, and the list of galaxies: nothing lost, nothing doubled, no sampler."""

import errno
import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Table
from pyarrow import parquet

from dustpost.catalog import lock, plan, store
from dustpost.catalog.identity import id_of, key_of, name_of
from dustpost.catalog.memory import check_width, steady, width_for
from dustpost.catalog.run import batches_of, pending
from dustpost.errors import DustpostError
from dustpost.io.objects import Object, read_objects
from dustpost.settings import Settings

SOME = plan.Plan(Settings(), 1, "", 1, True, "cpu x86_64", ("dustpost 0",), ("a", "b"))


@pytest.fixture
def opened(tmp_path) -> store.Store:
    made = store.Store(tmp_path / "store")
    made.create()
    return made


def four_files(folder: Path, text: str = "x") -> None:
    for name in store.FILES:
        (folder / name).write_text(text)


@pytest.mark.parametrize("identity", ["17", "a b", "../x", ".", "..", "a/b", "ü", "%2F", "a.b-c_d"])
def test_names_hold_any_id(identity):
    name = name_of(identity)
    assert id_of(name) == identity
    assert "/" not in name and not name.startswith(".")


def test_keys_are_those_of_the_id_alone():
    import jax

    keys = [key_of(0, "17"), key_of(0, "17"), key_of(0, "18"), key_of(1, "17")]
    data = [tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys]
    assert data[0] == data[1]
    assert len(set(data)) == 3
    # pinned: another value would give every galaxy of every store other draws
    assert data[0] == (3388507523, 3781067764)


def test_a_galaxy_lands_once_and_whole(opened):
    assert opened.land("a/b", four_files)
    assert not opened.land("a/b", lambda folder: four_files(folder, "y"))
    folder = opened.folder("a/b")
    assert {path.name for path in folder.iterdir()} == set(store.FILES)
    assert {path.read_text() for path in folder.iterdir()} == {"x"}
    assert opened.done() == {"a/b"}
    assert not list((opened.root / "partial").iterdir())


def test_a_galaxy_that_cannot_be_written_leaves_nothing(opened):
    def half(folder):
        (folder / "posterior.nc").write_text("half")
        raise RuntimeError("a bug in a picture")

    with pytest.raises(DustpostError, match="a bug in a picture") as caught:
        opened.land("a", half)
    assert not isinstance(caught.value, store.StoreError)
    assert opened.done() == set() and not list((opened.root / "partial").iterdir())


def test_a_full_disk_is_no_galaxys_fault(opened, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "_flush", full)
    with pytest.raises(store.StoreError, match="No space left.*make room"):
        opened.land("a", four_files)
    assert opened.done() == set() and opened.failures() == {}
    assert not list((opened.root / "partial").iterdir())


def test_states_come_from_what_is_there(opened):
    asked = [Object(name, (f"{name}.fits",)) for name in "abcd"]
    opened.ask([*asked, Object("e", (), problem="no")])
    opened.land("a", four_files)
    opened.fail("b", "why not")
    opened.fail("c", "at first")
    opened.land("c", four_files)
    found = {one.object_id: (one.state, one.reason) for one in opened.states()}
    assert found == {
        "a": ("done", ""),
        "b": ("failed", "why not"),
        "c": ("done", ""),
        "d": ("pending", ""),
        "e": ("failed", "no"),
    }
    assert [one.object_id for one in pending(opened, opened.objects())] == ["d"]
    assert opened.forgive() == 1
    table = parquet.read_table(opened.write_manifest(opened.states())).to_pydict()
    assert table["state"] == ["done", "pending", "done", "pending", "failed"]


def test_what_died_is_swept(opened):
    (opened.root / "partial" / "left").mkdir()
    (opened.root / "partial" / "left" / "posterior.nc").write_text("half")
    opened.sweep()
    assert not list((opened.root / "partial").iterdir())


def test_a_plan_survives_and_others_are_refused(opened):
    opened.begin(SOME)
    assert opened.plan() == SOME
    others = replace(SOME, width=2), replace(SOME, report=False)
    for other in (*others, replace(SOME, settings=Settings(seed=1))):
        with pytest.raises(DustpostError, match="the store was begun with (width|report|seed) = "):
            plan.check_same(other, SOME, opened.root)
    (opened.root / store.PLAN).write_text(json.dumps({"settings": {"seed": 0}}))
    with pytest.raises(DustpostError, match="no plan of a store"):
        opened.plan()


def test_workers_of_other_versions_are_refused():
    with pytest.raises(DustpostError, match="other versions than the store: .* for dustpost 0"):
        plan.check_here(replace(SOME, versions=("dustpost 0", *plan.versions()[1:])))


def hold(path: Path, ready, end) -> None:
    with lock.locked(path):
        ready.set()
        end.wait(60)


def test_the_second_run_is_refused_until_the_first_dies(opened):
    path, spawn = opened.root / store.LOCK, multiprocessing.get_context("spawn")
    ready, end = spawn.Event(), spawn.Event()
    first = spawn.Process(target=hold, args=(path, ready, end))
    first.start()
    assert ready.wait(60)
    with pytest.raises(DustpostError, match=f"process {first.pid}, has held this store"):
        with lock.locked(path):
            pass
    first.kill()  # -9: nothing of its own lets go of the lock
    first.join()
    with lock.locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert path.read_text() == ""


def test_a_lock_of_another_host_holds_while_its_heart_beats(opened):
    path = opened.root / store.LOCK
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": time.time()}))
    with pytest.raises(DustpostError, match="on host elsewhere"):
        with lock.locked(path):
            pass
    long_ago = time.time() - 2 * lock.STALE
    os.utime(path, (long_ago, long_ago))
    with lock.locked(path):
        pass


def test_folders_and_globs_are_galaxies_by_stem(tmp_path):
    for name in ("b.fits", "a.fits.gz", "a_psf.fits", ".c.fits", "d.txt"):
        (tmp_path / name).write_text("")
    objects, notes = read_objects(tmp_path)
    assert [one.object_id for one in objects] == ["a", "b"]
    assert "1 files with psf" in notes[0]
    assert [one.object_id for one in read_objects(str(tmp_path / "b*"))[0]] == ["b"]
    with pytest.raises(DustpostError, match="no FITS file found"):
        read_objects(tmp_path / "nothing")


@pytest.mark.parametrize("suffix", ["parquet", "ecsv"])
def test_tables_of_galaxies(tmp_path, suffix):
    columns = {
        "object_id": [17, 18, 17, 19, 18],
        "path": ["a.fits", "b.fits", "a.fits", "c_g.fits; c_r.fits", "other.fits"],
        "ra": [1.0, 2.0, 1.0, 3.0, 2.0],
        "redshift": [0.1, np.nan, 0.1, 0.2, np.nan],
    }
    path = tmp_path / f"table.{suffix}"
    if suffix == "parquet":
        parquet.write_table(pa.table(columns), path)
    else:
        Table(columns).write(path)
    objects, notes = read_objects(path)
    assert [one.object_id for one in objects] == ["17", "18", "19"]
    assert objects[2].paths == (str(tmp_path / "c_g.fits"), str(tmp_path / "c_r.fits"))
    assert objects[0].redshift == 0.1 and np.isnan(objects[1].redshift)
    assert np.isnan(objects[0].dec)
    assert not objects[0].problem
    assert "other.fits: give each galaxy its own id" in objects[1].problem
    assert notes[0].startswith("2 object_ids come more than once (17, 18)")


def test_tables_that_are_none(tmp_path):
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(DustpostError, match="cannot be read as Parquet"):
        read_objects(path)
    parquet.write_table(pa.table({"id": [1], "path": ["a"]}), path)
    with pytest.raises(DustpostError, match="has no column 'object_id'"):
        read_objects(path)
    parquet.write_table(pa.table({"object_id": ["x" * 201], "path": ["a"]}), path)
    with pytest.raises(DustpostError, match="row 0: an object_id of 201 letters"):
        read_objects(path)
    parquet.write_table(pa.table({"object_id": ["x"], "path": ["a"], "ra": ["east"]}), path)
    with pytest.raises(DustpostError, match="row 0: ra = 'east', expected a number"):
        read_objects(path)


def test_width_is_a_power_of_two_that_fits():
    short = Settings(warmup=20, keep=5)
    widths = [width_for("gpu", int(gib * 2**30), short) for gib in (0.01, 1, 8, 80)]
    assert widths == sorted(widths) and widths[0] == 1 and widths[-1] == 64
    assert all(width & (width - 1) == 0 for width in widths)
    assert width_for("cpu", 2**40, short) == 1
    assert steady(short) and not steady(Settings()) and not steady(replace(short, ess=100))
    with pytest.raises(DustpostError, match="one's draws would depend on the others"):
        check_width(2, Settings())


def test_batches_hold_every_galaxy_once():
    objects = [Object(str(i), ("x",)) for i in range(11)]
    for width in (1, 2, 4):
        batches = batches_of(objects, width)
        assert [one for batch in batches for one in batch] == objects
    assert len(batches_of(objects, 1)) == 11
