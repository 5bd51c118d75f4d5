"""Inferred against true attenuation: Siegel & Melchior (2024), Figure 3, with error bars."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dustpost.plots.style import CHAINS, FAINT, INK, new_figure, styled

LINEAR = 0.03  # mag, below which the axes of strength are linear
MARKS = {"fiducial": ("x", CHAINS[0]), "monochromatic": ("o", CHAINS[1])}


@styled
def strength_plot(table: Table, notes: Sequence[str] = ()) -> Figure:
    """Mean A against its truth, and the correlation of the maps against the true mean A.

    Parameters
    ----------
    table : Table
        A row per view and variant: variant, true, inferred, correlation, and where the
        posterior was sampled low, high (16 and 84 % of mean A), correlation_low and
        correlation_high (of single draws).
    notes : sequence of str
        Lines to print into the left panel.
    """
    figure = new_figure(9.2, 4.3)
    left, right = figure.subplots(1, 2)
    for variant, (mark, colour) in MARKS.items():
        rows = table[table["variant"] == variant]
        if len(rows):
            face = colour if mark == "x" else "none"
            look = dict(ls="none", marker=mark, ms=4.2, color=colour, mfc=face, mew=0.9)
            _points(left, rows, "inferred", "low", "high", look, variant)
            names = ("correlation", "correlation_low", "correlation_high")
            _points(right, rows, *names, look, variant)
    values = [*table["true"], *table["inferred"]]
    top = 1.3 * max(0.3, float(np.nanmax(values)))
    bottom = min(0.0, float(np.nanmin(table["true"]))) - 0.006
    left.plot([bottom, top], [bottom, top], color=INK, lw=0.7)
    for axes in (left, right):
        axes.set_xscale("symlog", linthresh=LINEAR)
        axes.set_xlim(bottom, top)
        axes.set_xlabel("true mean A at 0.4754 micron [mag]")
        _ticks(axes.xaxis)
    left.set_yscale("symlog", linthresh=LINEAR)
    left.set_ylim(bottom, top)
    _ticks(left.yaxis)
    left.set_ylabel("inferred mean A [mag]")
    right.set_ylim(-0.6, 1.03)
    right.axhline(0.0, color=FAINT, lw=0.7)
    right.set_ylabel("correlation of inferred and true A")
    left.legend(loc="upper left")
    left.text(
        0.98, 0.02, "\n".join(notes), transform=left.transAxes, ha="right", va="bottom", size=7.5
    )
    return figure


def _points(axes: Axes, rows: Table, y: str, low: str, high: str, look: dict, label: str) -> None:
    x, middle = np.asarray(rows["true"]), np.asarray(rows[y])
    if low in rows.colnames:
        ends = np.asarray(rows[low]), np.asarray(rows[high])
        axes.vlines(x, *ends, color=look["color"], lw=0.7, alpha=0.6)
    axes.plot(x, middle, label=label, **look)


def _ticks(axis) -> None:
    values = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    axis.set_ticks(values, labels=[f"{value:g}" for value in values])
    axis.set_minor_locator(_none())


def _none():
    from matplotlib.ticker import NullLocator

    return NullLocator()
