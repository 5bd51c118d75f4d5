"""The engine's decisions, on a client that works at once: who is sent, again, alone, or blamed."""

from types import SimpleNamespace

import pytest
from distributed import KilledWorker

from dustpost.catalog import cluster, engine, meter
from dustpost.catalog.batch import Outcome
from dustpost.catalog.store import Store, StoreError
from dustpost.errors import DustpostError
from dustpost.io.objects import Object


class Client:
    """Works when asked to send; loses the scheduler after so many tasks."""

    def __init__(self, lost_after=None):
        self.status, self.sent, self.lost_after = "running", [], lost_after

    def nthreads(self):
        return {"a": 1, "b": 1}

    def submit(self, do, root, plan, batch, pure):
        assert pure is False  # else the same galaxies twice would be one task
        self.sent.append([one.object_id for one in batch])
        if self.lost_after is not None and len(self.sent) > self.lost_after:
            return Future("lost")
        future = Future()
        try:
            future.value, future.status = do(root, plan, batch), "finished"
        except Exception as error:
            future.value, future.status = error, "error"
        return future

    def cancel(self, futures, asynchronous):
        pass

    def close(self, timeout):
        pass


class Future:
    def __init__(self, status="pending"):
        self.status, self.value = status, None

    def result(self):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setattr(engine, "wait", lambda *args, **kwargs: None)
    made = Store(tmp_path)
    made.create()
    return made


def batches(number, size=1):
    ids = [str(i) for i in range(number)]
    return [[Object(one, ()) for one in ids[i : i + size]] for i in range(0, number, size)]


def fine(root, plan, batch):
    return [Outcome(one.object_id, "done") for one in batch]


def go(client, store, work, todo, **options):
    told = []
    engine.run_batches(client, store, None, todo, told.extend, do=work, **options)
    return {one.object_id: one.state for one in told}, len(told)


@pytest.mark.parametrize("size", [1, 3])
def test_every_batch_is_sent_once(store, size):
    client = Client()
    states, told = go(client, store, fine, batches(10, size))
    assert states == {str(i): "done" for i in range(10)} and told == 10
    assert [one for sent in client.sent for one in sent] == [str(i) for i in range(10)]


def test_a_galaxy_that_kills_its_workers_is_found_and_the_rest_is_done(store):
    def killer(root, plan, batch):
        if any(one.object_id == "4" for one in batch):
            raise KilledWorker("task", "worker", 3)
        return fine(root, plan, batch)

    client = Client()
    states, told = go(client, store, killer, batches(9, 3))
    assert states == {str(i): "failed" if i == 4 else "done" for i in range(9)} and told == 9
    assert client.sent[-3:] == [["3"], ["4"], ["5"]]  # alone, at the end
    assert "died again and again" in store.failures()["4"]


def test_a_full_store_stops_the_run(store):
    def full(root, plan, batch):
        raise StoreError("no room")

    client = Client()
    with pytest.raises(StoreError, match="no room"):
        go(client, store, full, batches(100))
    assert len(client.sent) <= engine.AHEAD * 2
    assert store.failures() == {}


def test_other_errors_of_a_worker_are_one_sentence(store):
    def odd(root, plan, batch):
        raise ModuleNotFoundError("No module named 'dustpost'")

    with pytest.raises(DustpostError, match="a worker failed .*is this version of dustpost"):
        go(Client(), store, odd, batches(1))


def test_a_lost_scheduler_is_waited_for_and_its_batches_sent_again(store, monkeypatch):
    second = Client()
    monkeypatch.setattr(engine, "connect", lambda address: second)
    states, told = go(Client(lost_after=5), store, fine, batches(20), scheduler="tcp://there:1")
    assert states == {str(i): "done" for i in range(20)}
    assert told == 20
    assert second.sent[-1] == ["19"]


def test_a_local_scheduler_that_is_lost_ends_the_run(store):
    with pytest.raises(DustpostError, match="the scheduler went away.*is kept"):
        go(Client(lost_after=2), store, fine, batches(5))


def test_no_scheduler_at_an_address(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT", 0.5)
    with pytest.raises(DustpostError, match="--scheduler tcp://127.0.0.1:9: no Dask scheduler"):
        cluster.connect("tcp://127.0.0.1:9")
    with pytest.raises(DustpostError, match="give one"):
        with cluster.workers(2, "tcp://127.0.0.1:9"):
            pass


def test_gpus_are_counted_without_cuda(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert cluster.count_gpus() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cluster.count_gpus() == 0


def test_the_meter_counts_and_ends_without_a_terminal(capsys, monkeypatch):
    clock = iter(range(0, 10_000, 36))
    monkeypatch.setattr(meter, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with meter.Meter(10) as shown:
        for number in range(4):
            state = "failed" if number == 3 else "done"
            shown.tell([Outcome(str(number), state, "why")])
    said = capsys.readouterr().out.splitlines()
    assert "failed: 3: why" in said
    # each call of the clock is 36 s later, and a line a minute asks it as well
    assert said[-1] == "4 of 10: 1 failed, 44.4 an hour, 8.1 min left"
    assert [meter.duration(s) for s in (5, 300, 7200, 2e5)] == ["5 s", "5.0 min", "2.0 h", "2.3 d"]
