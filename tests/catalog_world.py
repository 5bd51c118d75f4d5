"""A catalogue for trials of the engine: galaxies on disk, work that is light, runs to be killed.

`light` is to `dustpost.catalog.batch.work` what a clockwork is to a sampler: it reads and checks
each galaxy by the package's reader, draws numbers from the galaxy's own key, and lands four
files in the store, but needs a moment instead of minutes. `python -m tests.catalog_world INPUT
STORE ...` is `dustpost catalog run` with it, a process that a trial may kill.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import psutil

from dustpost.catalog.batch import Outcome, keep_programs, prepare
from dustpost.catalog.identity import key_of
from dustpost.catalog.plan import Plan, check_here
from dustpost.catalog.run import Wish, run
from dustpost.catalog.store import FILES, Store
from dustpost.errors import DustpostError
from dustpost.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 0.2  # a galaxy, where the environment says nothing
NUMBERS = 10_000
# a shell's background jobs ignore Ctrl-C, and so would all that they start
HEAR = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def light(root: str, plan: Plan, objects) -> list[Outcome]:
    """Read, wait, draw from the galaxy's key, land."""
    keep_programs()
    check_here(plan)
    pause = float(os.environ.get("CATALOG_WORLD_SECONDS", SECONDS)) / len(FILES)
    store, outcomes = Store(Path(root)), []
    for one in objects:
        if store.is_done(one.object_id):
            outcomes.append(Outcome(one.object_id, "there"))
            continue
        try:
            ready = prepare(one, plan)
        except DustpostError as error:
            store.fail(one.object_id, str(error))
            outcomes.append(Outcome(one.object_id, "failed", str(error)))
            continue
        key = key_of(plan.settings.seed, one.object_id)
        noise = np.random.default_rng(np.asarray(jax.random.key_data(key))).normal(size=NUMBERS)
        drawn = noise + ready.cutout.data.sum()

        def write(folder: Path, drawn=drawn) -> None:
            for name in FILES:
                (folder / name).write_bytes(drawn.tobytes())
                time.sleep(pause)  # a kill may well come between two files

        new = store.land(one.object_id, write)
        outcomes.append(Outcome(one.object_id, "done" if new else "there"))
    return outcomes


def start(
    source: Path, store: Path, *options: str, log: Path, seconds: float = SECONDS
) -> subprocess.Popen:
    """A run with light work, `seconds` a galaxy, in a process of its own."""
    command = [sys.executable, "-m", "tests.catalog_world", str(source), str(store), *options]
    return launch(command, log, {"CATALOG_WORLD_SECONDS": str(seconds)})


def launch(command: list[str], log: Path, environment: dict | None = None) -> subprocess.Popen:
    """A process that says what it says into a file."""
    both = os.environ | (environment or {})
    with log.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-c", HEAR, *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=both,
        )


def worker_processes(process: subprocess.Popen) -> list[psutil.Process]:
    """Dask's worker processes below a client or a nanny."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
        return [one for one in below if "spawn_main" in " ".join(one.cmdline())]
    except psutil.Error:
        return []


def wait_for(condition, seconds: float) -> bool:
    """Until it holds; whether it did in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def contents(store: Store) -> dict[str, tuple[bytes, ...]]:
    """All files of all galaxies by id."""
    return {
        one: tuple((store.folder(one) / name).read_bytes() for name in FILES)
        for one in store.done()
    }


def main() -> None:
    """`dustpost catalog run` with light work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("store", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--scheduler")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    from tests.catalog_world import light as do  # by its name, which workers can import

    try:
        run(
            *(options.source, options.store, Wish(Settings())),
            *(options.workers, options.scheduler),
            do=do,
        )
    except DustpostError as error:
        print(f"dustpost: {error}", flush=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
