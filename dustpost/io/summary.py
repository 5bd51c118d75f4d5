"""summary.ecsv: one row per scalar of the posterior, the settings in its header."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from astropy.table import Table

from dustpost.diagnostics.summary import Row
from dustpost.errors import DustpostError
from dustpost.io.folder import atomic_write
from dustpost.results import settings_of

ABOUT = {
    "name": "variable of the group posterior in posterior.nc",
    "band": "band, empty where there is none",
    "mean": "posterior mean, in `unit`",
    "sd": "posterior standard deviation, in `unit`",
    "q16": "16% quantile, in `unit`",
    "q50": "median, in `unit`",
    "q84": "84% quantile, in `unit`",
    "rhat": "rank-normalised split R-hat",
    "ess_bulk": "bulk effective sample size",
    "ess_tail": "tail effective sample size",
    "mcse": "Monte Carlo standard error of the mean, in `unit`",
    "unit": "unit of mean, sd, q16, q50, q84 and mcse",
    "prior_sd": "prior standard deviation, in `unit`; nan where the prior was not drawn from",
    "contraction": "sd / prior_sd; 1 where the data say nothing",
}


def write_summary(path: Path, rows: Sequence[Row], tree: xr.DataTree) -> None:
    """Write `summary.ecsv`.

    Parameters
    ----------
    path : Path
    rows : sequence of Row
        `diagnostics.summary.summarise(tree)`.
    tree : xarray.DataTree
        Gives the settings, kept as metadata.
    """
    table = Table(rows=[tuple(r) for r in rows], names=Row._fields)
    for name, about in ABOUT.items():
        table[name].description = about
    table.meta = {"source": str(tree.attrs.get("source", "")), **settings_of(tree)}
    if "degeneracy" in tree:
        found = tree["degeneracy"].to_dataset()
        table.meta["degeneracy"] = {"direction": found["direction"].values.tolist()} | {
            name: variable.values.tolist() for name, variable in found.data_vars.items()
        }
    with atomic_write(Path(path)) as partial:
        table.write(partial, format="ascii.ecsv")


def read_summary(path: Path) -> tuple[list[Row], dict[str, object]]:
    """Read a `summary.ecsv`: its rows, and the settings of the fit.

    Raises
    ------
    DustpostError
        It is missing, damaged, or has other columns.
    """
    try:
        table = Table.read(path, format="ascii.ecsv")
        rows = [Row(*(_plain(row[name]) for name in Row._fields)) for row in table]
    except Exception as error:  # files that are no ECSV fail in many ways
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DustpostError(f"{path}: cannot be read as a summary ({reason})") from None
    return rows, dict(table.meta)


def _plain(value: object) -> str | float:
    if value is np.ma.masked:
        return np.nan
    return float(value) if isinstance(value, float | int | np.number) else str(value)
