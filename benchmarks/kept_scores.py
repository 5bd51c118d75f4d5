"""Scores of single fits in a table that grows: fits cost minutes, their scores a line each.

A line holds one quantity of one view as one method inferred it, `dustpost.reproduce.score.Scored`,
with what the fit depended on (`mark`, the digits in the name of a kept fit) and how its chains did.
Lines of other settings or networks have another mark and are dropped where new ones are added.
"""

from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from dustpost.io.folder import atomic_write
from dustpost.reproduce.fit import MASSES, Fit
from dustpost.reproduce.score import LABELS, Scored

INSIDE = [f"inside{round(100 * mass)}" for mass in MASSES]
KEY = (*LABELS, "view", "quantity")
COLUMNS = {
    "variant": "fiducial, monochromatic host, or as the model has it",
    "signal_to_noise": "of the brightest pixel in r",
    "method": "of fitting",
    "view": "of a galaxy",
    "quantity": "scored; map: A at 0.4754 micron pixel by pixel, light-weighted",
    "galaxy": "seen from other sides as well",
    "covering": "true covering fraction",
    "depth": "true mean A in mag",
    "error": "mean of the draws - truth; nan for a map",
    "sd": "of the draws; nan for a map",
    "correlation": "of a map, with the true one",
    **{name: f"truth inside the central {name[6:]} %; of a map the share" for name in INSIDE},
    "crps": "CRPS; of a point estimate the absolute error",
    "rhat": "worst of the fit",
    "ess": "least bulk ESS of the fit",
    "chi2": "per pixel",
    "seconds": "of the fit",
    "mark": "of the settings and networks",
}


def lines(scored: dict[str, Scored], found: Fit, **labels: object) -> list[dict]:
    """Lines of one fit; `labels` are those of `score.LABELS`, view and mark."""
    how = {name: getattr(found, name) for name in ("rhat", "ess", "chi2", "seconds")}
    every = [
        dict(labels, quantity=quantity, **how)
        | {name: getattr(one, name) for name in Scored._fields if name != "inside"}
        | dict(zip(INSIDE, one.inside, strict=True))
        for quantity, one in scored.items()
    ]
    short = lambda x: x if isinstance(x, str) else float(f"{float(x):.5g}")  # noqa: E731
    return [{name: short(value) for name, value in line.items()} for line in every]


def merge(path: Path, new: list[dict], marks: dict[tuple, str]) -> Table:
    """Add lines to a table and write it; lines of another mark than `marks` has go.

    Parameters
    ----------
    path : Path
        ECSV, made if it is not there.
    new : list of dict
        As `lines` gives them; they replace those of the same `KEY`.
    marks : dict
        Mark that holds now of (signal_to_noise, method); others are left as they are.
    """
    parts = [Table(rows=new, names=list(COLUMNS))] if new else []
    if path.exists():
        kept, fresh = Table.read(path, format="ascii.ecsv"), {_key(line) for line in new}
        now = [
            marks.get((float(row["signal_to_noise"]), str(row["method"])), row["mark"])
            == row["mark"]
            and _key(row) not in fresh
            for row in kept
        ]
        parts.insert(0, kept[np.array(now, bool)])
    table = vstack(parts, metadata_conflicts="silent") if parts else Table(names=list(COLUMNS))
    table.sort(list(KEY))
    for name, about in COLUMNS.items():
        table[name].description = about
    with atomic_write(path) as at:
        table.write(at, format="ascii.ecsv")
    return table


def scores(table: Table) -> list[dict[str, Scored]]:
    """The scores of a part of the table, one dict of each view."""
    views = {}
    for row in table:
        values = {name: row[name] for name in Scored._fields if name != "inside"}
        values = {n: str(v) if n == "galaxy" else float(v) for n, v in values.items()}
        held = np.array([row[name] for name in INSIDE], float)
        views.setdefault(str(row["view"]), {})[str(row["quantity"])] = Scored(inside=held, **values)
    return list(views.values())


def _key(row: dict) -> tuple:
    return tuple(float(row[n]) if n == "signal_to_noise" else str(row[n]) for n in KEY)
