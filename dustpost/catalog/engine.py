"""Batches on Dask: sent out, taken back, sent again where a worker died.

Few tasks are under way at a time (`AHEAD` a thread), so that a million galaxies are no graph
of a million tasks. What may go wrong, and what is done:

worker dies           Dask gives its tasks to others and starts a local one again; where it gave
                      up a worker, `cluster.refill` starts another
... time and again    the galaxies of those tasks go to the end and each is tried by itself,
                      nothing else under way: one that still ends its workers is marked failed
scheduler dies        its address is tried for `PATIENCE` seconds; what was under way goes back
the store is full     nothing more is sent, and the run ends with one sentence
Ctrl-C, SIGTERM       the same within seconds; whatever has landed is kept
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from functools import partial

from distributed import Client, Future, KilledWorker, wait

from dustpost.catalog.batch import Outcome, work
from dustpost.catalog.cluster import close, connect, refill
from dustpost.catalog.plan import Plan
from dustpost.catalog.store import Store
from dustpost.errors import DustpostError
from dustpost.io.objects import Object

AHEAD = 2
"""Tasks a worker thread: one at work and one to come."""

PATIENCE = 300.0
"""Seconds to wait for a scheduler that went away."""

Batch = Sequence[Object]
Work = Callable[[str, Plan, Sequence[Object]], list[Outcome]]


class _Gone(Exception):
    """The scheduler went away."""


def run_batches(
    client: Client,
    store: Store,
    plan: Plan,
    batches: Sequence[Batch],
    tell: Callable[[list[Outcome]], None],
    scheduler: str | None = None,
    do: Work = work,
) -> None:
    """Do all batches; a galaxy that fails is told and stops nothing.

    Parameters
    ----------
    client : Client
    store : Store
        Seen under the same path by all workers.
    plan : Plan
    batches : sequence of sequences of Object
    tell : callable
        Told the outcomes of every batch.
    scheduler : str, optional
        Address to connect to again if the scheduler goes away.
    do : callable
        What a task does, `batch.work` or its like.

    Raises
    ------
    DustpostError
        The store cannot be written, a worker is not fit for the plan, or the scheduler
        stays away.
    """
    queue, suspects = deque(batches), deque()
    own = client
    try:
        while queue or suspects:
            try:
                send = partial(_send, client, do, store, plan)
                _drain(client, send, queue, suspects, tell)
                _try_suspects(client, send, store, suspects, tell)
            except _Gone:
                if client is not own:
                    close(client)
                client = _again(scheduler, store)
    finally:
        if client is not own:
            close(client)


def _drain(client, send, queue: deque, suspects: deque, tell) -> None:
    """Work until the queue is empty; batches under way go back to it if that is cut short."""
    under_way: dict[Future, Batch] = {}
    try:
        while queue or under_way:
            room = AHEAD * max(1, sum(client.nthreads().values())) - len(under_way)
            while queue and room > 0:
                batch = queue[0]
                under_way[send(batch)] = batch
                queue.popleft()
                room -= 1
            for future in _finished(client, under_way):
                outcomes = _result(future)
                batch = under_way.pop(future)
                if outcomes is None:
                    suspects.extend([one] for one in batch)
                else:
                    tell(outcomes)
    except OSError as error:
        raise _Gone from error
    finally:
        queue.extendleft(under_way.values())
        _cancel(client, list(under_way))


def _try_suspects(client, send, store, suspects: deque, tell) -> None:
    """Each by itself: if its workers die again, nobody else has done it."""
    while suspects:
        future = send(suspects[0])
        try:
            while not _finished(client, [future]):
                pass
            outcomes = _result(future)
        finally:
            _cancel(client, [future])
        (one,) = suspects[0]
        if outcomes is None:
            reason = (
                "the worker processes that had it died again and again, with it alone as well; "
                "look at their memory and logs, then give --retry-failed"
            )
            store.fail(one.object_id, reason)
            outcomes = [Outcome(one.object_id, "failed", reason)]
        suspects.popleft()
        tell(outcomes)


def _send(client: Client, do: Work, store: Store, plan: Plan, batch: Batch) -> Future:
    return client.submit(do, str(store.root), plan, list(batch), pure=False)


def _finished(client: Client, futures) -> list[Future]:
    """Those that are done, after at most a second; some may be lost with the scheduler."""
    try:
        wait(list(futures), timeout=1, return_when="FIRST_COMPLETED")
    except (TimeoutError, CancelledError):
        pass
    lost = any(future.status in ("lost", "cancelled") for future in futures)
    if lost or client.status != "running":
        raise _Gone
    refill(client)
    return [future for future in futures if future.status in ("finished", "error")]


def _result(future: Future) -> list[Outcome] | None:
    """Outcomes of a batch; None where its workers died too often."""
    try:
        return future.result()
    except KilledWorker:
        return None
    except DustpostError:
        raise
    except CancelledError:
        raise _Gone from None
    except Exception as error:  # work() keeps galaxies' errors to itself: this is the worker's
        text = " ".join(str(error).split())[:300]
        raise DustpostError(
            f"a worker failed ({type(error).__name__}: {text}); is this version of dustpost "
            "installed where it runs, and can it see the store and the cutouts?"
        ) from None


def _again(scheduler: str | None, store: Store) -> Client:
    if scheduler is not None:
        print(f"the scheduler at {scheduler} went away: waiting for one there", flush=True)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                return connect(scheduler)
            except DustpostError:
                time.sleep(2)
    raise DustpostError(
        f"the scheduler went away and did not come back in {PATIENCE:.0f} s; start it again and "
        f"run the same command: all that has landed in {store.root} is kept"
    )


def _cancel(client: Client, futures: list[Future]) -> None:
    if futures and client.status == "running":
        try:
            client.cancel(futures, asynchronous=False)
        except Exception:  # the connection may be going down: the tasks go with it
            return
