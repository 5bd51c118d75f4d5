"""Claim: whatever dies, a catalogue ends complete, nothing lost or doubled, the same draws.

    python -m benchmarks.catalog_chaos --work light            500 galaxies, all of a bad day
    python -m benchmarks.catalog_chaos --work real --galaxies 8 --kills 2

Simulated cutouts (one galaxy serves several with noise of their own), three of them
corrupted (cut short, header spoilt, all nan), two ids twice (once the same file, once
another). First undisturbed, then, on two workers, with: workers killed by -9 at random
times, a second run on the same store, Ctrl-C, the client killed by -9, the disk filled (a
small tmpfs, where the system allows one), and at last a scheduler of its own, killed by -9
and started again with its workers. `light` work reads and checks galaxies as ever and writes
numbers drawn from their keys (tests/catalog_world.py); `real` is `dustpost catalog run`
with tiny networks, few draws and no reports. What was done is kept in --folder and not done again.

Writes catalog_chaos_<work>.json.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import xarray as xr
from pyarrow import parquet

from benchmarks.exact_targets import machine
from dustpost.catalog.store import FILES, Store
from dustpost.io import fits
from dustpost.mock import write_suite
from tests.catalog_world import launch, wait_for, worker_processes
from tests.tiny_networks import write_networks

SEED, PER_GALAXY, PATIENCE = 7, 5, 1200
LEFT = 2  # galaxies that have to be left for a blow to count
TINY = "chains = 2\nrelax = 0\nwarmup = 5\ndraws = 5\nkeep = 5\nprior_draws = 2\n"
TINY += "leapfrog = 2\ndirections = 2\n"


class Trial:
    """One bad day.

    Parameters
    ----------
    options : Namespace
    """

    def __init__(self, options: argparse.Namespace):
        self.options, self.folder = options, options.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log, self.random = self.folder / "log.txt", random.Random(SEED)
        self.report: dict = {}

    def start(self, store: Path, *options: str) -> subprocess.Popen:
        """A run of the work that was asked for."""
        common = [str(self.folder / "input.parquet")]
        if self.options.work == "light":
            command = [sys.executable, "-m", "tests.catalog_world", *common, str(store)]
        else:
            command = [str(Path(sys.executable).with_name("dustpost")), "catalog", "run", *common]
            command += ["--out", str(store), "--no-report"]
            command += ["--config", str(self.folder / "tiny.toml")]
        return launch([*command, *options], self.log)

    def inputs(self) -> None:
        """Simulated cutouts, the table, the settings."""
        if (self.folder / "input.parquet").exists():
            return
        number = self.options.galaxies
        base, needed = sorted((self.folder / "base").glob("*.fits")), -(-number // PER_GALAXY)
        if len(base) < needed:
            base = write_suite(self.folder / "base", needed, 1, SEED, "hsc-wide", 18.0)
        paths = []
        for index in range(number):
            cutout = fits.load([base[index // PER_GALAXY]])
            noise = np.random.default_rng([SEED, index]).normal(size=cutout.data.shape)
            cutout.data[...] += noise * cutout.ivar**-0.5
            cutout.ivar[...] /= 2
            paths.append(self.folder / "cutouts" / f"{index:04d}.fits")
            paths[-1].parent.mkdir(exist_ok=True)
            fits.save(paths[-1], cutout)
        corrupt(paths[1:4])
        ids = [path.stem for path in paths]
        rows = {"object_id": [*ids, ids[0], ids[4]], "path": [*paths, paths[0], paths[5]]}
        rows["path"] = [str(path.resolve()) for path in rows["path"]]
        networks = write_networks(self.folder)
        full = {k: Path(v).resolve() if "weights" in k else v for k, v in networks.items()}
        lines = [f'{name} = "{value}"' for name, value in full.items()]
        (self.folder / "tiny.toml").write_text(TINY + "\n".join(lines) + "\n")
        parquet.write_table(pa.table(rows), self.folder / "input.parquet")

    def until(self, run: subprocess.Popen, store: Store, number: int) -> int:
        """Wait until so many more are done; a blow that falls on a finished run is none.

        Raises
        ------
        RuntimeError
            The run ended, or is too near its end to be disturbed.
        """
        goal = len(store.done()) + number
        reached = wait_for(lambda: len(store.done()) >= goal or run.poll() is not None, PATIENCE)
        done = len(store.done())
        if not reached or run.poll() is not None or done > self.options.galaxies - 4 - LEFT:
            run.kill()
            raise RuntimeError(f"{done} done, exit code {run.poll()}: nothing left to disturb")
        return done

    def kill_workers(self, store: Store) -> None:
        """A worker after another, while the run goes on; a second run is refused."""
        run = self.start(store.root, "--workers", "2")
        self.until(run, store, 1)
        second = self.start(store.root, "--workers", "1")
        self.report["second run's exit code"] = second.wait(PATIENCE)
        killed = []
        while len(killed) < self.options.kills:
            done = self.until(run, store, self.random.randint(1, self.options.pace))
            time.sleep(self.random.random())
            found = worker_processes(run)
            if found:
                self.random.choice(found).kill()
                killed.append(done)
        self.report["workers killed when so many were done"] = killed
        self.report["Ctrl-C when so many were done"] = self.until(run, store, 1)
        clock = time.monotonic()
        run.send_signal(signal.SIGINT)
        self.report["Ctrl-C exit code"] = run.wait(PATIENCE)
        self.report["Ctrl-C ended after, s"] = round(time.monotonic() - clock, 1)

    def kill_client(self, store: Store) -> None:
        """The process of `catalog run` itself."""
        run = self.start(store.root, "--workers", "2")
        done = self.until(run, store, self.options.pace)
        self.report["client killed when so many were done"] = done
        workers = worker_processes(run)
        run.kill()
        run.wait()
        gone = wait_for(lambda: not any(one.is_running() for one in workers), 60)
        self.report["client killed, its workers ended"] = gone

    def kill_scheduler(self, store: Store) -> None:
        """A scheduler of its own, and its workers, which end with it and are started again."""
        address = f"tcp://127.0.0.1:{self.options.port}"
        cluster = self.cluster(address)
        run = self.start(store.root, "--scheduler", address)
        done = self.until(run, store, self.options.pace)
        self.report["scheduler killed when so many were done"] = done
        cluster[0].kill()
        for process in cluster[1:]:
            for one in psutil.Process(process.pid).children(recursive=True):
                one.kill()
            process.kill()
        for process in cluster:
            process.wait()
        time.sleep(3)
        self.report["scheduler killed, run went on by itself"] = run.poll() is None
        cluster = self.cluster(address)
        try:
            self.report["exit code at the end"] = run.wait(PATIENCE)
        finally:
            for process in cluster[::-1]:
                process.terminate()
                process.wait()

    def cluster(self, address: str) -> list[subprocess.Popen]:
        """`dask scheduler` and two workers."""
        dask = str(Path(sys.executable).with_name("dask"))
        port = address.rsplit(":", 1)[1]
        where = ["--host", "127.0.0.1", "--no-dashboard"]
        made = [launch([dask, "scheduler", "--port", port, *where], self.log)]
        time.sleep(2)
        worker = [dask, "worker", address, "--nthreads", "1", *where]
        return made + [launch(worker, self.log) for _ in range(2)]

    def fill_disk(self, store: Store) -> None:
        """A run on a disk that fills up; then there is room again."""
        block = 2**20
        room = psutil.disk_usage(str(store.root)).free - self.options.room * block
        ballast = store.root / "ballast"
        with ballast.open("wb") as file:
            for _ in range(max(0, room // block)):
                file.write(bytes(block))
        run = self.start(store.root, "--workers", "2")
        self.report["full disk's exit code"] = run.wait(PATIENCE)
        self.report["done when the disk was full"] = len(store.done())
        said = [line for line in self.log.read_text().splitlines() if "make room" in line]
        sentence = said[-1].replace(str(store.root.resolve()), "STORE") if said else "none"
        self.report["full disk's sentence"] = sentence
        self.report["failed galaxies after the full disk"] = len(store.failures())
        ballast.unlink()

    def compare(self, store: Store, undisturbed: Store) -> None:
        """Complete, nothing twice, all the same."""
        states = store.states()
        counts = {s: sum(one.state == s for one in states) for s in ("done", "failed", "pending")}
        self.report["in the end"] = counts
        names = [one.object_id for one in states]
        self.report["ids twice"] = len(names) - len(set(names))
        self.report["failed"] = {k: v.split("/")[-1] for k, v in sorted(store.failures().items())}
        self.report["the same galaxies as undisturbed"] = store.done() == undisturbed.done()
        different = [one for one in store.done() if not same(store, undisturbed, one)]
        self.report["galaxies that differ from undisturbed"] = different
        left = [str(path) for path in (store.root / "partial").iterdir()]
        self.report["left half written"] = left


def corrupt(paths: list[Path]) -> None:
    """Cut short; a header spoilt; all nan."""
    short, header, empty = paths
    short.write_bytes(short.read_bytes()[:40_000])
    header.write_bytes(header.read_bytes().replace(b"NAXIS1  =", b"NAXIS1  ?", 1))
    cutout = fits.load([empty])
    cutout.data[...] = np.nan
    fits.save(empty, cutout)


def same(here: Store, there: Store, one: str) -> bool:
    """Bit by bit: every variable of posterior.nc, and the summary's text."""
    mine, other = here.folder(one), there.folder(one)
    names = [sorted(path.name for path in folder.iterdir()) for folder in (mine, other)]
    if names[0] != names[1] or not set(FILES) - {"report.html"} <= set(names[0]):
        return False
    if (mine / "summary.ecsv").read_bytes() != (other / "summary.ecsv").read_bytes():
        return False
    if (mine / "posterior.nc").read_bytes()[1:4] != b"HDF":
        return (mine / "posterior.nc").read_bytes() == (other / "posterior.nc").read_bytes()
    trees = [xr.open_datatree(folder / "posterior.nc") for folder in (mine, other)]
    try:
        return trees[0].identical(trees[1])
    finally:
        for tree in trees:
            tree.close()


def once(folder: Path, name: str, stage: Callable[[], None], report: dict) -> None:
    """Do a stage that was not done; what it found is kept."""
    path = folder / f"{name}.json"
    if not path.exists():
        before = set(report)
        clock = time.monotonic()
        stage()
        found = {k: v for k, v in report.items() if k not in before}
        found[f"{name}, s"] = round(time.monotonic() - clock)
        path.write_text(json.dumps(found))
    report |= json.loads(path.read_text())
    print(name, path.read_text(), flush=True)


def main() -> None:
    """The trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=("light", "real"), default="light")
    parser.add_argument("--galaxies", type=int, default=500)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pace", type=int, default=20, help="galaxies between two blows")
    parser.add_argument("--room", type=int, default=8, help="MiB left on the full disk")
    parser.add_argument("--port", type=int, default=28786)
    parser.add_argument("--folder", type=Path, default=Path("out/chaos"))
    options = parser.parse_args()
    trial = Trial(options)
    folder, report = options.folder, trial.report
    undisturbed, store = Store(folder / "undisturbed"), Store(folder / "store")
    stages = {
        "inputs": trial.inputs,
        "undisturbed": lambda: trial.start(undisturbed.root, "--workers", "2").wait(),
        "workers": lambda: trial.kill_workers(store),
        "client": lambda: trial.kill_client(store),
    }
    for name, stage in stages.items():
        once(folder, name, stage, report)
    small = options.folder / "small"
    if mount(small):
        try:
            once(folder, "disk", lambda: _on_small(trial, store, small), report)
        finally:
            subprocess.run(["umount", str(small)], check=False)
    else:
        report["full disk's sentence"] = "no tmpfs may be mounted here: not tried"
    once(folder, "scheduler", lambda: trial.kill_scheduler(store), report)
    trial.compare(store, undisturbed)
    out = Path(__file__).with_name(f"catalog_chaos_{options.work}.json")
    head = machine() | {"galaxies": options.galaxies, "seed": SEED, "work": options.work}
    head.pop("precision")
    told = ("work", "galaxies", "kills", "pace")
    words = [f"--{name} {getattr(options, name)}" for name in told]
    head["command"] = "python -m benchmarks.catalog_chaos " + " ".join(words)
    out.write_text(json.dumps(head | report, indent=1) + "\n")
    print(out.read_text())


def _on_small(trial: Trial, store: Store, small: Path) -> None:
    """The store on a small disk until that is full, then where it was."""
    shutil.copytree(store.root, small / "store", dirs_exist_ok=True)
    trial.fill_disk(Store(small / "store"))
    shutil.rmtree(store.root)
    shutil.copytree(small / "store", store.root)


def mount(folder: Path) -> bool:
    """A tmpfs that holds a few hundred MiB."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1500m", "tmpfs", str(folder)]
    return shutil.which("mount") is not None and not subprocess.run(command).returncode


if __name__ == "__main__":
    main()
