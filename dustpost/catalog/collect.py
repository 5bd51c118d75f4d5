"""The store as one table: catalog.parquet, one row a galaxy, and catalog.html to look it over.

Rows are written in chunks, so that memory does not grow with the catalogue. Each has the
galaxy's state; numbers are null where it is not done. ra and dec are those of the input or,
where that has none, the centre of the cutout by its WCS, so that `hats-import` can take the
table as it is. Scalars come as <name>_mean, _sd, _q16, _q50, _q84, _rhat, _ess; band fluxes
as lists in the order of `bands`.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from dustpost.catalog import qa
from dustpost.catalog.store import State, Store
from dustpost.diagnostics.convergence import ESS_BAD, RHAT_BAD
from dustpost.diagnostics.summary import Row
from dustpost.errors import DustpostError
from dustpost.io.dustmap import read_dustmap
from dustpost.io.folder import atomic_write, prepare_output
from dustpost.io.objects import Object
from dustpost.io.summary import read_summary
from dustpost.progress import Stage, quiet

TABLE, PAGE = "catalog.parquet", "catalog.html"
SCALARS = ("mean_attenuation", "covering_fraction", "delta", "log_screen")
ESTIMATES = {
    **{name: name for name in ("mean", "sd", "q16", "q50", "q84", "rhat")},
    **{"ess": "ess_bulk"},
}
CHUNK = 5000  # rows
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("object_id", "state", "reason", "flags")]
    + [(name, pa.float64()) for name in ("ra", "dec", "redshift")]
    + [(f"{name}_{estimate}", pa.float64()) for name in SCALARS for estimate in ESTIMATES]
    + [(name, pa.list_(pa.string())) for name in ("bands",)]
    + [(f"F_{estimate}", pa.list_(pa.float64())) for estimate in ESTIMATES]
    + [("F_unit", pa.string()), ("folder", pa.string())]
)


def collect(store: Store, table: Path | None = None, progress: Stage = quiet) -> list[Path]:
    """Write the table and the page.

    Parameters
    ----------
    store : Store
    table : Path, optional
        By default STORE/catalog.parquet; the page lies beside it.
    progress : callable

    Returns
    -------
    list of Path
        The two files.

    Raises
    ------
    DustpostError
        They cannot be written.
    """
    table = store.root / TABLE if table is None else Path(table)
    prepare_output(table.parent)
    states = store.states()
    objects = {one.object_id: one for one in store.objects()}
    advance = progress("galaxies", len(states))
    page = qa.Page(len(states))
    with atomic_write(table) as partial, parquet.ParquetWriter(partial, SCHEMA) as writer:
        for rows in _chunks(store, states, objects, page, advance):
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    written = table.with_name(PAGE if table.name == TABLE else f"{table.stem}.html")
    with atomic_write(written) as partial:
        partial.write_text(page.html())
    return [table, written]


def row_of(store: Store, state: State, one: Object, page: qa.Page) -> dict:
    """One galaxy's row; it is shown to the page on the way."""
    row = {"object_id": one.object_id, "state": state.state, "reason": state.reason, "flags": ""}
    row |= {n: _null(getattr(one, n)) for n in ("ra", "dec", "redshift")}
    if state.state != "done":
        page.add(row, None)
        return row
    folder = store.folder(one.object_id)
    try:
        rows, settings = read_summary(folder / "summary.ecsv")
        images, centre = read_dustmap(folder / "dustmap.fits")
    except DustpostError as error:
        row |= {"state": "failed", "reason": str(error), "flags": "damaged"}
        page.add(row, None)
        return row
    if row["ra"] is None or row["dec"] is None:
        row["ra"], row["dec"] = (_null(value) for value in centre)
    row["redshift"] = _null(float(settings.get("redshift", math.nan)))
    row |= _numbers(rows) | {"folder": str(folder.relative_to(store.root))}
    row["flags"] = " ".join(flags(rows))
    page.add(row, images)
    return row


def flags(rows: list[Row]) -> list[str]:
    """What speaks against using the numbers: nan, rhat, ess (limits of `dustpost check`)."""
    found = []
    if not all(math.isfinite(row.mean) and math.isfinite(row.sd) for row in rows):
        found.append("nan")
    # a scalar that never moves has neither, and is told by its sd
    moving = [row for row in rows if row.sd > 0]
    if not all(row.rhat <= RHAT_BAD for row in moving):
        found.append("rhat")
    if not all(min(row.ess_bulk, row.ess_tail) >= ESS_BAD for row in moving):
        found.append("ess")
    return found


def _chunks(store, states, objects, page, advance) -> Iterator[list[dict]]:
    rows: list[dict] = []
    for state in states:
        rows.append(row_of(store, state, objects[state.object_id], page))
        advance(1)
        if len(rows) == CHUNK:
            yield rows
            rows = []
    yield rows


def _numbers(rows: list[Row]) -> dict:
    found: dict = {}
    for row in rows:
        if row.name in SCALARS:
            found |= {f"{row.name}_{n}": _null(getattr(row, m)) for n, m in ESTIMATES.items()}
    fluxes = [row for row in rows if row.name == "F"]
    found["bands"] = [row.band for row in fluxes]
    found |= {f"F_{n}": [_null(getattr(r, m)) for r in fluxes] for n, m in ESTIMATES.items()}
    return found | {"F_unit": fluxes[0].unit if fluxes else ""}


def _null(value: float) -> float | None:
    return value if math.isfinite(value) else None
