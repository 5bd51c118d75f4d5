"""Which galaxies a catalogue is made of: a folder, a glob, or a table.

A folder or a glob gives one galaxy a FITS file, named by the file's stem; files with `psf` in
their name are PSFs of others. A table (Parquet, or ECSV) has the columns `object_id` and
`path`, and may have `ra`, `dec` (degrees, ICRS) and `redshift`; a path may be several joined
by ";" (one exposure a band, PSF files), and is taken from the table's folder where it is not
absolute. Ids are text: the integer 17 is "17".

An id that comes twice with all the same is one galaxy; with different files or numbers it is
none that could be trusted, and is kept with the sentence that says so.
"""

import glob
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
from astropy.table import Table

from dustpost.errors import DustpostError

SUFFIXES = (".fits", ".fit", ".fits.gz", ".fits.fz", ".fit.gz")
NUMBERS = ("ra", "dec", "redshift")
LONGEST_ID = 200  # letters, each of those that a URL does not have counting for three or more


class Object(NamedTuple):
    """One galaxy to do.

    Attributes
    ----------
    object_id : str
    paths : tuple of str
        What `io.read.read` takes.
    ra, dec : float
        Degrees (ICRS); nan where not given.
    redshift : float
        nan where not given: then the header's, else 0.
    problem : str
        Why it cannot be done, "" where it can.
    """

    object_id: str
    paths: tuple[str, ...]
    ra: float = math.nan
    dec: float = math.nan
    redshift: float = math.nan
    problem: str = ""


def read_objects(source: str | Path) -> tuple[list[Object], list[str]]:
    """Read the galaxies of a catalogue, each id once.

    Parameters
    ----------
    source : str or Path
        Folder, glob, FITS file, .parquet or .ecsv.

    Returns
    -------
    objects : list of Object
        In order of the input.
    notes : list of str
        What a person should know: ids that came twice, files left out.

    Raises
    ------
    DustpostError
        Nothing there, an unreadable table, a missing column or id.
    """
    path = Path(source)
    if path.is_dir():
        return _files(path, sorted(p for p in path.iterdir() if _is_fits(p)))
    if path.is_file() and path.suffix in (".parquet", ".pq", ".ecsv"):
        columns = _parquet(path) if path.suffix != ".ecsv" else _ecsv(path)
        return single(_rows(path, columns))
    found = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(str(source)))]
    if path.suffix in (".parquet", ".pq", ".ecsv"):
        found = []
    return _files(path, [p for p in found if _is_fits(p)])


def single(objects: Iterable[Object]) -> tuple[list[Object], list[str]]:
    """Each id once; see the module for ids that come twice."""
    first: dict[str, Object] = {}
    again: list[str] = []
    for one in objects:
        before = first.setdefault(one.object_id, one)
        if before is one:
            continue
        again.append(one.object_id)
        if not _same(before, one) and not before.problem:
            names = f"{';'.join(before.paths)} and {';'.join(one.paths)}"
            if before.paths == one.paths:
                names = f"{before.paths[0]} with different numbers"
            problem = f"object_id {one.object_id} names {names}: give each galaxy its own id"
            first[one.object_id] = before._replace(problem=problem)
    spoilt = [one.object_id for one in first.values() if one.problem]
    notes = []
    if again:
        shown = ", ".join(sorted(set(again))[:5]) + (", ..." if len(set(again)) > 5 else "")
        notes.append(
            f"{len(set(again))} object_ids come more than once ({shown}): each is done once, "
            f"{len(spoilt)} with different files are not done"
        )
    return list(first.values()), notes


def _same(here: Object, there: Object) -> bool:
    numbers = [(getattr(here, n), getattr(there, n)) for n in NUMBERS]
    return here.paths == there.paths and all(np.isclose(a, b, equal_nan=True) for a, b in numbers)


def _is_fits(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".fz").rsplit(".", 1)[0]


def _files(source: Path, paths: list[Path]) -> tuple[list[Object], list[str]]:
    cutouts = [path for path in paths if "psf" not in path.name.lower()]
    if not cutouts:
        raise DustpostError(
            f"{source}: no FITS file found; expected a folder or a glob of FITS cutouts, or a "
            "table (.parquet, .ecsv) with the columns object_id and path"
        )
    objects, notes = single(Object(_stem(path), (str(path.resolve()),)) for path in cutouts)
    if left := len(paths) - len(cutouts):
        notes.append(f"{left} files with psf in their name are taken for PSFs of the others")
    return objects, notes


def _parquet(path: Path) -> dict[str, list]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise DustpostError(
            f'{path}: Parquet needs pyarrow; run pip install "dustpost[catalog]"'
        ) from None
    try:
        schema = parquet.read_schema(path)
        wanted = [name for name in schema.names if name in ("object_id", "path", *NUMBERS)]
        return parquet.read_table(path, columns=wanted).to_pydict()
    except (ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DustpostError(f"{path}: cannot be read as Parquet ({reason})") from None


def _ecsv(path: Path) -> dict[str, list]:
    try:
        table = Table.read(path, format="ascii.ecsv")
    except Exception as error:  # files that are no ECSV fail in many ways
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "damaged"
        raise DustpostError(f"{path}: cannot be read as ECSV ({reason})") from None
    masked = {name: np.ma.getmaskarray(table[name]) for name in table.colnames}
    return {
        name: [
            None if hide else value for value, hide in zip(table[name], masked[name], strict=True)
        ]
        for name in table.colnames
    }


def _rows(path: Path, columns: Mapping[str, list]) -> list[Object]:
    for name in ("object_id", "path"):
        if name not in columns:
            raise DustpostError(
                f"{path}: has no column {name!r} (columns: {', '.join(columns) or 'none'}); "
                "expected object_id, path and optionally ra, dec, redshift"
            )
    if not columns["object_id"]:
        raise DustpostError(f"{path}: the table is empty, expected one row a galaxy")
    given = [name for name in NUMBERS if name in columns]
    rows = []
    for number, (identity, place) in enumerate(
        zip(columns["object_id"], columns["path"], strict=True)
    ):
        identity = "" if identity is None else str(identity).strip()
        if not identity or len(quote(identity, safe="")) > LONGEST_ID:
            what = "no object_id" if not identity else f"an object_id of {len(identity)} letters"
            raise DustpostError(
                f"{path}, row {number}: {what}; expected 1 to {LONGEST_ID} letters, for it names "
                "the galaxy's folder"
            )
        if place is None or not str(place).strip():
            paths, problem = (), f"object_id {identity} has no path in {path.name}"
        else:
            parts = [part.strip() for part in str(place).split(";") if part.strip()]
            paths, problem = tuple(str((path.parent / p).resolve()) for p in parts), ""
        numbers = {name: _number(path, number, name, columns[name][number]) for name in given}
        rows.append(Object(identity, paths, problem=problem, **numbers))
    return rows


def _number(path: Path, row: int, name: str, value: object) -> float:
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise DustpostError(f"{path}, row {row}: {name} = {value!r}, expected a number") from None
