"""Claim: the engine costs a catalogue less than a twentieth, and its memory stays flat.

    python -m benchmarks.catalog_throughput [--parts engine workers batches]

engine   light work of one second a galaxy (tests/catalog_world.py) by a bare loop and by the
         engine with one worker, first landing to last; resident memory of client and worker
         at the first and at the last galaxy
workers  light work by 1, 2, 4 workers: what the engine could hand out
batches  the sampler, tiny networks, 1, 2, 4 galaxies side by side (`catalog estimate`'s trial):
         CPU seconds a galaxy once compiled, and the share of writing its four files

Only ratios within one part mean something where the machine has other work. Writes
catalog_throughput.json and docs/figures/catalog_throughput.png.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from benchmarks.exact_targets import machine
from dustpost.catalog.estimate import trial
from dustpost.catalog.plan import plan_of
from dustpost.catalog.run import Wish, describe
from dustpost.catalog.store import Store
from dustpost.io.objects import Object, read_objects
from dustpost.plots.style import CHAINS, new_figure, save_png, styled
from dustpost.settings import Settings
from tests.catalog_world import light, start, wait_for, worker_processes
from tests.fitsfiles import galaxy, good_hdus, write
from tests.tiny_networks import write_networks

GALAXIES, WIDTHS, WORKERS = 30, (1, 2, 4), (1, 2, 4)
FIGURE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "catalog_throughput.png"


def cutouts(folder: Path, number: int) -> list[Object]:
    """Round galaxies with noise of their own."""
    paths = [write(folder / f"{n}.fits", good_hdus(galaxy(seed=n))) for n in range(number)]
    return [Object(path.stem, (str(path),)) for path in paths]


def landings(store: Store) -> list[float]:
    """When each galaxy landed, in order."""
    return sorted(store.folder(one).stat().st_mtime for one in store.done())


def by_engine(folder: Path, store: Store, workers: int, seconds: float) -> dict:
    """A run of light work, with memory at its first and last galaxy."""
    options = ("--workers", str(workers))
    source = folder / "*.fits"
    process = start(source, store.root, *options, log=folder / "log", seconds=seconds)
    total = len(read_objects(str(source))[0])
    resident = []
    for number in (2 * workers, total - workers):
        assert wait_for(lambda number=number: len(store.done()) >= number, 900)
        parts = [psutil.Process(process.pid), *worker_processes(process)]
        resident.append([round(one.memory_info().rss / 2**20) for one in parts])
    process.wait()
    times = landings(store)
    return {
        "galaxies an hour": round(3600 * (len(times) - 1) / (times[-1] - times[0]), 1),
        "seconds": round(times[-1] - times[0], 2),
        "resident MiB of client and workers, first": resident[0],
        "the same, last": resident[1],
    }


def engine() -> dict:
    """Overhead over a bare loop."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects = cutouts(folder, GALAXIES)
        found = by_engine(folder, Store(folder / "engine"), 1, 1.0)
        bare, plan = Store(folder / "bare"), describe(Wish(Settings()))
        bare.create()
        os.environ["CATALOG_WORLD_SECONDS"] = "1.0"
        for one in objects:
            light(str(bare.root), plan, [one])
        times = landings(bare)
        loop = times[-1] - times[0]
    return {
        "galaxies": GALAXIES,
        "by engine, one worker": found,
        "bare loop, s": round(loop, 2),
        "overhead": round(found["seconds"] / loop - 1, 4),
    }


def workers() -> dict:
    """What the engine hands out."""
    rates = {}
    for number in WORKERS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            cutouts(folder, GALAXIES)
            rates[str(number)] = by_engine(folder, Store(folder / "store"), number, 1.0)
    return {"by number": rates}


def batches() -> dict:
    """The sampler by width."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short = dict(
            chains=2, relax=0, warmup=5, draws=5, keep=5, prior_draws=2, leapfrog=2, directions=4
        )
        settings = Settings(cross_term="cut", **short, **write_networks(folder))
        objects = cutouts(folder, 2 * max(WIDTHS))
        for width in WIDTHS:
            plan = plan_of(settings, 1, "", width)
            clock = time.process_time()
            cost = trial(plan, objects[: 2 * width])
            spent = time.process_time() - clock
            share = cost.second / (cost.first + cost.second)
            found[str(width)] = {
                "CPU seconds a galaxy": round(spent * share / width, 2),
                "seconds a galaxy": round(cost.second / width, 2),
                "seconds of the first batch": round(cost.first, 1),
            }
    return {"by width": found}


@styled
def plot(report: dict):
    """Rates by workers and by width."""
    both = {"workers", "batches"} <= report.keys()
    figure = new_figure(7.0 if both else 3.8, 2.8)
    panels = figure.subplots(1, 1 + both, squeeze=False)[0]
    if "workers" in report:
        left = panels[0]
        number = np.array([int(n) for n in report["workers"]["by number"]])
        rate = [one["galaxies an hour"] for one in report["workers"]["by number"].values()]
        left.plot(number, rate, "o-", color=CHAINS[0], label="measured")
        left.plot(number, rate[0] * number, ":", color=CHAINS[6], label="in proportion")
        left.set(xlabel="workers", ylabel="galaxies an hour", title="Engine: 1 s of light work")
        left.set_ylim(0)
        left.set_xticks(number)
        left.legend()
    if "batches" in report:
        right = panels[-1]
        width = [int(n) for n in report["batches"]["by width"]]
        cost = [one["CPU seconds a galaxy"] for one in report["batches"]["by width"].values()]
        right.plot(width, cost, "o-", color=CHAINS[1])
        right.set(xlabel="galaxies side by side", ylabel="CPU seconds a galaxy")
        right.set(title="Sampler, tiny networks, on a CPU")
        right.set_ylim(0, 1.1 * max(cost))
        right.set_xticks(width)
    return figure


def main() -> None:
    """Measure the parts asked for; others stay as they are."""
    parts: dict[str, Callable[[], dict]] = {
        "engine": engine,
        "workers": workers,
        "batches": batches,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=list(parts), choices=list(parts))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    report = json.loads(options.out.read_text()) if options.out.exists() else {}
    command = f"python -m benchmarks.catalog_throughput --parts {' '.join(options.parts)}"
    where = machine() | {"command": command}
    where.pop("precision")
    for name in options.parts:
        load = round(psutil.getloadavg()[0], 1)
        report[name] = where | {"load before": load} | parts[name]()
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        print(name, json.dumps(report[name], indent=1), flush=True)
    if {"workers", "batches"} & report.keys():
        FIGURE.write_bytes(save_png(plot(report)))


if __name__ == "__main__":
    main()
