"""catalog.html: counts, distributions, thumbnails, failures; one page that fetches nothing.

A page of a million thumbnails helps nobody: shown are those with most flags and, as many, an
even choice of all, so that both the worst and the usual are seen.
"""

import heapq
import math
from base64 import b64encode
from collections import Counter
from html import escape
from importlib import resources

import numpy as np

from dustpost.plots.catalog import distributions, thumbnail
from dustpost.plots.style import save_png

SHOWN = 120  # thumbnails of either kind
FAILURES = 200
COLUMNS = {
    "mean_attenuation_mean": "mean A at 0.4754 micron [mag]",
    "covering_fraction_mean": "covering fraction",
    "delta_mean": "slope delta",
    "mean_attenuation_sd": "sd of mean A [mag]",
    "mean_attenuation_rhat": "R-hat of mean A",
    "mean_attenuation_ess": "ESS of mean A",
}
STYLE = """
.thumbs { display: grid; grid-template-columns: repeat(auto-fill, 264px); gap: .9rem; }
.thumb { border: 1px solid var(--line); padding: 3px; font-size: .8rem; line-height: 1.35; }
.thumb img { width: 256px; display: block; image-rendering: pixelated; }
.thumb b { display: block; overflow-wrap: anywhere; }
"""


class Page:
    """Takes galaxy after galaxy and keeps only what the page shows.

    Parameters
    ----------
    total : int
        Galaxies to come.
    """

    def __init__(self, total: int):
        self._stride = max(1, -(-total // SHOWN))
        self._seen = 0
        self._states: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()
        self._values: dict[str, list[float]] = {name: [] for name in COLUMNS}
        self._flagged: list[bool] = []
        self._even: list[str] = []
        self._worst: list[tuple[int, float, int, str]] = []
        self._failures: list[tuple[str, str]] = []

    def add(self, row: dict, images: dict[str, np.ndarray] | None) -> None:
        """Count a galaxy, and keep it if it is to be shown.

        Parameters
        ----------
        row : dict
            Of the table.
        images : dict of ndarray, (y, x), or None
            A_MEAN and HOST_MEAN of a galaxy that is done.
        """
        self._states[row["state"]] += 1
        if row["state"] == "failed" and len(self._failures) < FAILURES:
            self._failures.append((row["object_id"], row["reason"]))
        if images is None:
            return
        found = row["flags"].split()
        self._flags.update(found)
        self._flagged.append(bool(found))
        for name, values in self._values.items():
            value = row.get(name)
            values.append(math.nan if value is None else value)
        self._seen += 1
        if (self._seen - 1) % self._stride == 0:
            self._even.append(_figure(row, images))
        badness = row.get("mean_attenuation_rhat") or math.inf
        if found and (len(self._worst) < SHOWN or (len(found), badness) > self._worst[0][:2]):
            entry = (len(found), badness, self._seen, _figure(row, images))
            (heapq.heappush if len(self._worst) < SHOWN else heapq.heappushpop)(self._worst, entry)

    def html(self) -> str:
        """The page."""
        parts = [self._head(), self._distributions()]
        parts.append(_thumbs("An even choice", self._even))
        worst = [entry[3] for entry in sorted(self._worst, reverse=True)]
        parts.append(_thumbs("Most flags first", worst))
        parts += [self._failed(), "</main></body></html>"]
        return "\n".join(parts)

    def _head(self) -> str:
        css = resources.files("dustpost").joinpath("report.css").read_text()
        counts = ", ".join(f"{n} {state}" for state, n in sorted(self._states.items()))
        flags = "".join(
            f"<tr><td class='what'>{escape(name)}</td><td>{n} of {self._seen}</td></tr>"
            for name, n in self._flags.most_common()
        )
        about = (
            "rhat: some R-hat above 1.05; ess: some effective sample size below 100; nan: not "
            "finite. Numbers of flagged galaxies should not be used."
        )
        return (
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
            f"<title>dustpost catalogue</title><style>{css}{STYLE}</style></head><body><main>"
            f"<h1>Catalogue of {self._states.total()} galaxies</h1><p class='sub'>{counts}</p>"
            f"<section><h2>Flags</h2><table>{flags or '<tr><td>none</td></tr>'}</table>"
            f"<p class='note'>{about}</p></section>"
        )

    def _distributions(self) -> str:
        if not self._seen:
            return ""
        columns = {n: (COLUMNS[n], np.array(v, float)) for n, v in self._values.items()}
        png = b64encode(save_png(distributions(columns, self._flagged))).decode()
        return (
            "<section><h2>Distributions</h2><figure><img alt='histograms' "
            f"src='data:image/png;base64,{png}'></figure><p class='note'>Ends hold what lies "
            "beyond.</p></section>"
        )

    def _failed(self) -> str:
        if not self._failures:
            return ""
        lines = "".join(
            f"<tr><td class='what'>{escape(name)}</td><td>{escape(reason)}</td></tr>"
            for name, reason in self._failures
        )
        more = self._states["failed"] - len(self._failures)
        note = f"<p class='note'>and {more} more, in the table</p>" if more > 0 else ""
        return f"<section><h2>Failed</h2><table>{lines}</table>{note}</section>"


def _thumbs(title: str, figures: list[str]) -> str:
    if not figures:
        return ""
    note = "Left the mean dust map, 0 to 1 mag from light to dark; right the mean host."
    body = f"<p class='note'>{note}</p><div class='thumbs'>{''.join(figures)}</div>"
    return f"<section><h2>{title}</h2>{body}</section>"


def _figure(row: dict, images: dict[str, np.ndarray]) -> str:
    png = b64encode(thumbnail(images["A_MEAN"], images["HOST_MEAN"])).decode()
    a, sd, rhat = (row.get(f"mean_attenuation_{n}") for n in ("mean", "sd", "rhat"))
    numbers = f"A {_short(a)} &plusmn; {_short(sd)} mag, R-hat {_short(rhat)}"
    return (
        f"<div class='thumb'><img alt='' src='data:image/png;base64,{png}'>"
        f"<b>{escape(row['object_id'])}</b>{numbers}<br>{escape(row['flags']) or 'no flag'}</div>"
    )


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
