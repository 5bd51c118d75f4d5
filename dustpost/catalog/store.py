"""The folder that a catalogue is: what is done, what failed and why, what is left.

STORE/
  store.json                   the plan, see `plan`
  objects.parquet              the galaxies that were asked for
  galaxies/<shard>/<id>/       posterior.nc, dustmap.fits, summary.ecsv and, unless the plan says
                               no, report.html
  failed/<shard>/<id>.json     object_id and the sentence why
  partial/                     what is being written
  manifest.parquet             object_id, state, reason; made anew from all this
  lock                         see `lock`

A galaxy's files are written into partial/, flushed to the disk, and take their place by one
rename, which the file system does wholly or not at all and refuses where there is a result
already. So nothing is lost, half there or doubled, whenever a process, the machine or the
disk gives up, and there is no list that could disagree with the folders.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import parquet

from dustpost.catalog import plan as plans
from dustpost.catalog.identity import id_of, name_of, shard_of
from dustpost.catalog.plan import Plan
from dustpost.errors import DustpostError
from dustpost.io.folder import atomic_write, prepare_output
from dustpost.io.objects import Object

PLAN, OBJECTS, MANIFEST, LOCK = "store.json", "objects.parquet", "manifest.parquet", "lock"
FILES = ("posterior.nc", "dustmap.fits", "summary.ecsv", "report.html")
PROBE = 2**23  # bytes; the files of a galaxy by default settings
SCHEMA = pa.schema(
    [("object_id", pa.string()), ("paths", pa.list_(pa.string()))]
    + [(name, pa.float64()) for name in ("ra", "dec", "redshift")]
    + [("problem", pa.string())]
)


class StoreError(DustpostError):
    """The store itself cannot be written: no galaxy's fault, and the run must stop."""


class State(NamedTuple):
    """Where one galaxy stands: "done", "failed" (and why) or "pending"."""

    object_id: str
    state: str
    reason: str = ""


class Store:
    """One store; cheap to make, so that every worker has its own.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path):
        self.root = Path(root)

    @classmethod
    def open(cls, root: Path) -> "Store":
        """An existing store.

        Raises
        ------
        DustpostError
            There is none in this folder.
        """
        if not (Path(root) / PLAN).is_file():
            raise DustpostError(
                f"{root}: there is no catalogue (no {PLAN}); give the --out of `catalog run`"
            )
        return cls(root)

    def create(self) -> None:
        """Make the folders."""
        prepare_output(self.root)
        for name in ("galaxies", "failed", "partial"):
            prepare_output(self.root / name)

    def plan(self) -> Plan | None:
        """The plan that the store was begun with; None for a new one."""
        path = self.root / PLAN
        return plans.from_json(path.read_text(), path) if path.is_file() else None

    def begin(self, plan: Plan) -> None:
        """Write the plan."""
        with atomic_write(self.root / PLAN) as partial:
            partial.write_text(plans.to_json(plan))

    def objects(self) -> list[Object]:
        """The galaxies that were asked for so far."""
        path = self.root / OBJECTS
        if not path.is_file():
            return []
        try:
            rows = parquet.read_table(path, schema=SCHEMA).to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DustpostError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
        return [Object(**{**row, "paths": tuple(row["paths"])}) for row in rows]

    def ask(self, objects: Iterable[Object]) -> None:
        """Write the galaxies that were asked for."""
        rows = [{**one._asdict(), "paths": list(one.paths)} for one in objects]
        with atomic_write(self.root / OBJECTS) as partial:
            parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), partial)

    def folder(self, object_id: str) -> Path:
        """Where the files of a galaxy are, once it is done."""
        return self.root / "galaxies" / shard_of(object_id) / name_of(object_id)

    def is_done(self, object_id: str) -> bool:
        """Whether its files are there."""
        return self.folder(object_id).is_dir()

    def land(self, object_id: str, write: Callable[[Path], object]) -> bool:
        """Write a galaxy's files and put them in their place, all at once.

        Parameters
        ----------
        object_id : str
        write : callable
            Told the folder to write into.

        Returns
        -------
        bool
            False where a result is there already; it stays as it is.

        Raises
        ------
        StoreError
            Nothing can be written: disk full, no permission, store gone.
        DustpostError
            These files cannot, although others could.
        """
        partial = self.root / "partial" / uuid.uuid4().hex
        target = self.folder(object_id)
        try:
            partial.mkdir()
            write(partial)
            for path in partial.iterdir():
                _flush(path)
            target.parent.mkdir(exist_ok=True)
            if target.is_dir():
                return False
            os.rename(partial, target)
            _flush(target.parent)
            self._failure(object_id).unlink(missing_ok=True)
        except Exception as error:  # a full disk has many faces: OSError, HDF5's RuntimeError
            if target.is_dir():
                return False
            reason = str(error).replace(str(partial), object_id) or type(error).__name__
            if self._writable():
                raise DustpostError(
                    f"{object_id}: its results cannot be written ({reason})"
                ) from error
            raise StoreError(
                f"{self.root}: {object_id} cannot be written ({reason}); make room or mend the "
                "disk, then run the same command again"
            ) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return True

    def fail(self, object_id: str, reason: str) -> None:
        """Write down why a galaxy failed.

        Raises
        ------
        StoreError
            It cannot be written down.
        """
        path = self._failure(object_id)
        try:
            path.parent.mkdir(exist_ok=True)
            with atomic_write(path) as partial:
                partial.write_text(json.dumps({"object_id": object_id, "reason": reason}))
        except (OSError, DustpostError) as error:
            raise StoreError(f"{self.root}: cannot be written ({error})") from None

    def forgive(self) -> int:
        """Forget the failures, so that they are tried again; says how many."""
        names = [path for path, _ in self._failures()]
        for path in names:
            path.unlink(missing_ok=True)
        return len(names)

    def sweep(self) -> None:
        """Remove what runs that died were writing."""
        for path in (self.root / "partial").iterdir():
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def done(self) -> set[str]:
        """Ids of all that is done, from the folders."""
        return {id_of(name) for _, name in _shards(self.root / "galaxies")}

    def failures(self) -> dict[str, str]:
        """Sentence by id of all that failed."""
        found = {}
        for path, _ in self._failures():
            with suppress(OSError, ValueError, KeyError):
                record = json.loads(path.read_text())
                found[record["object_id"]] = record["reason"]
        return found

    def states(self) -> list[State]:
        """Where every galaxy stands that was asked for, in their order."""
        done, failures, states = self.done(), self.failures(), []
        for one in self.objects():
            if one.object_id in done:
                states.append(State(one.object_id, "done"))
            elif reason := failures.get(one.object_id) or one.problem:
                states.append(State(one.object_id, "failed", reason))
            else:
                states.append(State(one.object_id, "pending"))
        return states

    def write_manifest(self, states: list[State]) -> Path:
        """Write manifest.parquet: object_id, state, reason."""
        path = self.root / MANIFEST
        columns = {name: [getattr(s, name) for s in states] for name in State._fields}
        schema = pa.schema([(name, pa.string()) for name in State._fields])
        with atomic_write(path) as partial:
            parquet.write_table(pa.table(columns, schema), partial)
        return path

    def _writable(self) -> bool:
        """Whether as much as a galaxy's files can be written now."""
        probe = self.root / "partial" / uuid.uuid4().hex
        try:
            probe.write_bytes(bytes(PROBE))
            _flush(probe)
        except OSError:
            return False
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
        return True

    def _failure(self, object_id: str) -> Path:
        return self.root / "failed" / shard_of(object_id) / f"{name_of(object_id)}.json"

    def _failures(self) -> Iterator[tuple[Path, str]]:
        for path, name in _shards(self.root / "failed"):
            if name.endswith(".json") and not name.startswith("."):
                yield path, name


def _shards(folder: Path) -> Iterator[tuple[Path, str]]:
    if folder.is_dir():
        for shard in folder.iterdir():
            with os.scandir(shard) as entries:
                for entry in entries:
                    yield Path(entry.path), entry.name


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk; a full one is told here at the latest."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
