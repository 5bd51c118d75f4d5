"""A catalogue from its input to its store: ask, lock, plan, work, tell.

objects   read, each id once, and added to those that the store knows
plan      made by a worker, which verifies weights and knows its device; the store's own if
          it has one, which must agree
pending   what is asked for and neither done nor failed
batches   in order of the input, `ROUNDS` compiled calls a task
"""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from distributed import Client, KilledWorker

from dustpost.catalog.batch import keep_programs, work
from dustpost.catalog.cluster import workers
from dustpost.catalog.engine import Work, run_batches
from dustpost.catalog.lock import locked
from dustpost.catalog.memory import check_width, device_memory, width_for
from dustpost.catalog.meter import Meter
from dustpost.catalog.plan import Plan, check_same, plan_of
from dustpost.catalog.store import LOCK, State, Store
from dustpost.errors import DustpostError
from dustpost.io.objects import Object, read_objects
from dustpost.settings import Settings

ROUNDS = 4
"""Compiled calls a task, where there is more than one galaxy side by side."""


class Wish(NamedTuple):
    """What the command line asks for.

    Attributes
    ----------
    settings : Settings
    bin : int
        Pixels summed into one on each axis.
    ebv : str
        "" or "sfd".
    width : int, optional
        Galaxies side by side; by default from memory.
    report : bool
        Write report.html as well.
    """

    settings: Settings
    bin: int = 1
    ebv: str = ""
    width: int | None = None
    report: bool = True


def run(
    source: str,
    root: Path,
    wish: Wish,
    number: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    do: Work = work,
) -> list[State]:
    """Do a catalogue, or go on with it.

    Parameters
    ----------
    source : str
        Folder, glob or table, see `io.objects`.
    root : Path
        The store.
    wish : Wish
    number, scheduler
        See `cluster.workers`.
    retry_failed : bool
        Try again what failed before.
    do : callable
        What a task does, see `engine.run_batches`.

    Returns
    -------
    list of State
        Of all galaxies of the store.

    Raises
    ------
    DustpostError
        The input or the store cannot be used, another run holds the store, or the engine
        gave up; what has landed is kept.
    """
    if wish.width is not None:
        check_width(wish.width, wish.settings)
    objects, notes = read_objects(source)
    store = Store(Path(root).resolve())
    store.create()
    with _terminable(), locked(store.root / LOCK):
        store.sweep()
        for note in notes:
            print(note, flush=True)
        _ask(store, objects)
        if retry_failed:
            print(f"{store.forgive()} failed galaxies are tried again", flush=True)
        for one in objects:
            if one.problem:
                store.fail(one.object_id, one.problem)
        todo = pending(store, objects)
        print(f"{len(objects)} galaxies asked for, {len(todo)} to do", flush=True)
        try:
            if todo:
                _work(store, todo, wish, number, scheduler, do)
        except BaseException:
            with suppress(DustpostError):  # on a full disk it cannot, and that has been said
                store.write_manifest(store.states())
            raise
        store.sweep()  # of workers that were killed while they wrote; no task is left
        states = store.states()
        store.write_manifest(states)
    return states


def pending(store: Store, objects: Sequence[Object]) -> list[Object]:
    """Those that are neither done nor failed."""
    over = store.done() | store.failures().keys()
    return [one for one in objects if one.object_id not in over and not one.problem]


def batches_of(objects: Sequence[Object], width: int) -> list[list[Object]]:
    """Tasks for the engine."""
    size = width if width == 1 else ROUNDS * width
    return [list(objects[i : i + size]) for i in range(0, len(objects), size)]


def describe(wish: Wish) -> Plan:
    """The plan by a worker's own lights; runs there."""
    keep_programs()
    width = wish.width or width_for(*device_memory(), wish.settings)
    return plan_of(wish.settings, wish.bin, wish.ebv, width, wish.report)


def ask_worker(client: Client, wish: Wish) -> Plan:
    """`describe` on the first worker that comes.

    Raises
    ------
    DustpostError
        Weights are missing or damaged, or workers die over it.
    """
    if not client.nthreads():
        print("waiting for workers", flush=True)
    try:
        return client.submit(describe, wish, pure=False).result()
    except KilledWorker:
        raise DustpostError(
            "worker processes die as soon as jax starts in them; run `dustpost doctor` there"
        ) from None
    except ImportError as error:
        raise DustpostError(
            f"a worker cannot import dustpost ({error}): install it there"
        ) from None


def _work(store: Store, todo: list[Object], wish: Wish, number, scheduler, do: Work) -> None:
    with workers(number, scheduler) as client:
        print(f"dashboard: {client.dashboard_link}", flush=True)
        plan, stored = ask_worker(client, _held(wish, store)), store.plan()
        if stored is None:
            store.begin(plan)
        else:
            check_same(plan, stored, store.root)
        side = f"{plan.width} side by side" if plan.width > 1 else "one at a time"
        print(f"{len(client.nthreads())} workers, {plan.device}, galaxies {side}", flush=True)
        with Meter(len(todo)) as meter:
            batches = batches_of(todo, plan.width)
            run_batches(client, store, plan, batches, meter.tell, scheduler, do)


def _held(wish: Wish, store: Store) -> Wish:
    """The same with the store's width, where none is asked for."""
    stored = store.plan()
    return wish if stored is None or wish.width else wish._replace(width=stored.width)


def _ask(store: Store, objects: list[Object]) -> None:
    """Add the galaxies to the store's; of one that it has and that is not done, the new row."""
    known = {one.object_id: one for one in store.objects()}
    before = dict(known)
    for one in objects:
        if one.object_id not in known or not store.is_done(one.object_id):
            known[one.object_id] = one
    if known != before:
        store.ask(known.values())


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, as batch systems send it, ends the run as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
