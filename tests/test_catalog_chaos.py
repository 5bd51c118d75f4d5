"""A bad day in short: workers and client killed, two runs on one store, damaged files.

The work is light (`catalog_world.light`), all around it is real: the reader, the store, the
lock, Dask's processes. `benchmarks/catalog_chaos.py` is the long form, with the scheduler
killed and the disk filled, and with the sampler itself.
"""

import signal

import pyarrow as pa
import pytest
from pyarrow import parquet

from dustpost.catalog.run import Wish, describe
from dustpost.catalog.store import LOCK, Store
from dustpost.io.objects import read_objects
from dustpost.settings import Settings
from tests.catalog_world import contents, light, start, wait_for, worker_processes
from tests.fitsfiles import galaxy, good_hdus, write

GALAXIES = 12
PATIENCE = 300  # seconds, on a machine that does other things


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twelve galaxies, one file cut short, one id twice with the same file, one with another."""
    folder = tmp_path_factory.mktemp("catalogue")
    paths = [
        write(folder / f"{number}.fits", good_hdus(galaxy(seed=number)))
        for number in range(GALAXIES)
    ]
    paths[3].write_bytes(paths[3].read_bytes()[:5000])
    ids = [f"g{number}" for number in range(GALAXIES)]
    rows = {
        "object_id": [*ids, "g1", "g2"],
        "path": [path.name for path in (*paths, paths[1], paths[0])],
    }
    parquet.write_table(pa.table(rows), folder / "input.parquet")
    return folder / "input.parquet"


@pytest.fixture(scope="module")
def undisturbed(table, tmp_path_factory) -> Store:
    """The same by a bare loop in one process, in the other order."""
    store = Store(tmp_path_factory.mktemp("undisturbed") / "store")
    store.create()
    objects, _ = read_objects(table)
    plan = describe(Wish(Settings()))
    for one in reversed(objects):
        light(str(store.root), plan, [one])
    return store


def held(store: Store) -> bool:
    """Whether a run has written itself into the lock."""
    return (store.root / LOCK).is_file() and bool((store.root / LOCK).read_text())


def test_a_bad_day(table, undisturbed, tmp_path):
    store, log = Store(tmp_path / "store"), tmp_path / "log"
    first = start(table, store.root, "--workers", "2", log=log, seconds=1.5)
    try:
        assert wait_for(lambda: held(store), PATIENCE), log.read_text()
        second = start(table, store.root, "--workers", "1", log=tmp_path / "second")
        assert wait_for(lambda: store.done(), PATIENCE), log.read_text()
        workers = worker_processes(first)
        assert len(workers) == 2
        workers[0].kill()
        before = len(store.done())
        assert wait_for(lambda: len(store.done()) > before, PATIENCE), log.read_text()
        assert second.wait(PATIENCE) == 2, (tmp_path / "second").read_text()
        assert f"process {first.pid}, has held this store" in (tmp_path / "second").read_text()
    finally:
        first.kill()  # -9, while workers write
        first.wait()
    assert wait_for(lambda: not any(one.is_running() for one in workers), PATIENCE)
    assert held(store)  # nobody was there to clear it
    assert len(store.done()) < GALAXIES - 2

    last = start(table, store.root, "--workers", "2", log=log)
    assert last.wait(PATIENCE) == 0, log.read_text()
    found, expected = contents(store), contents(undisturbed)
    assert found.keys() == expected.keys() == {f"g{n}" for n in range(GALAXIES) if n not in (2, 3)}
    assert found == expected  # byte by byte
    assert store.failures().keys() == {"g2", "g3"}
    assert "truncated or damaged" in store.failures()["g3"]
    assert "give each galaxy its own id" in store.failures()["g2"]
    assert not list((store.root / "partial").iterdir())
    states = parquet.read_table(store.root / "manifest.parquet").to_pydict()["state"]
    assert sorted(states) == ["done"] * 10 + ["failed"] * 2


def test_ctrl_c_ends_within_seconds(table, tmp_path):
    store, log = Store(tmp_path / "store"), tmp_path / "log"
    run = start(table, store.root, "--workers", "1", log=log, seconds=4.0)
    assert wait_for(lambda: store.done(), PATIENCE), log.read_text()
    run.send_signal(signal.SIGINT)
    assert run.wait(30) == 130
    assert 0 < len(store.done()) < GALAXIES - 2
    states = parquet.read_table(store.root / "manifest.parquet").to_pydict()["state"]
    assert states.count("done") == len(store.done()) and "pending" in states
