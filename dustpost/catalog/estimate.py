"""Galaxies an hour, from two batches: the first compiles, the second is what all others cost."""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from dustpost.catalog.batch import work
from dustpost.catalog.cluster import workers
from dustpost.catalog.meter import duration
from dustpost.catalog.plan import Plan
from dustpost.catalog.run import Wish, ask_worker
from dustpost.catalog.store import Store
from dustpost.errors import DustpostError
from dustpost.io.objects import Object, read_objects


class Cost(NamedTuple):
    """What two batches cost on one worker.

    Attributes
    ----------
    first, second : float
        Seconds of the batches; the first includes compiling, or loading what is kept.
    width : int
        Galaxies of a batch.
    failed : tuple of str
        Why galaxies failed.
    """

    first: float
    second: float
    width: int
    failed: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Galaxies an hour of one worker that has compiled."""
        return 3600 * self.width / self.second


def trial(plan: Plan, objects: list[Object]) -> Cost:
    """Do two batches in a store of their own that is thrown away; runs on a worker."""
    clocks, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2):
            store = Store(Path(folder) / str(number))
            store.create()
            clock = time.perf_counter()
            half = objects[number * plan.width : (number + 1) * plan.width]
            outcomes = work(str(store.root), plan, half)
            clocks.append(time.perf_counter() - clock)
            failed += [one.reason for one in outcomes if one.state == "failed"]
    return Cost(*clocks, plan.width, tuple(failed))


def estimate(
    source: str, wish: Wish, number: int | None = None, scheduler: str | None = None
) -> tuple[Cost, int, int]:
    """Measure two batches of a catalogue on one worker, the others idle.

    Returns
    -------
    cost : Cost
    galaxies : int
        In the catalogue.
    count : int
        Workers.

    Raises
    ------
    DustpostError
        As `run.run`, or all galaxies of a batch failed.
    """
    objects, _ = read_objects(source)
    good = [one for one in objects if not one.problem]
    if not good:
        raise DustpostError(f"{source}: no galaxy can be done, each id names different files")
    with workers(number, scheduler) as client:
        plan = ask_worker(client, wish)
        # where there are too few, they come again: a batch costs the same
        some = [good[i % len(good)] for i in range(2 * plan.width)]
        cost = client.submit(trial, plan, some, pure=False).result()
        count = len(client.nthreads())
    if len(cost.failed) == 2 * cost.width:
        raise DustpostError(
            f"{source}: all galaxies of two batches failed; first: {cost.failed[0]}"
        )
    return cost, len(objects), count


def sentences(cost: Cost, galaxies: int, count: int) -> list[str]:
    """What a person wants to know."""
    whole = 3600 * galaxies / (cost.rate * count) + max(cost.first - cost.second, 0.0)
    lines = [
        f"first batch of {cost.width}: {duration(cost.first)}, second: {duration(cost.second)}",
        f"{cost.rate:.1f} galaxies an hour and worker, {cost.rate * count:.1f} with {count}, if "
        "workers do not slow each other",
        f"{galaxies} galaxies: {duration(whole)}",
    ]
    return lines + [f"failed: {reason}" for reason in cost.failed]
