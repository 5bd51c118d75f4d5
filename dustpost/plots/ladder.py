"""The ladder study as a figure: what the data know of the dust, by covering fraction."""

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from dustpost.plots.style import CHAINS, FAINT, INK, new_figure, styled


@styled
def ladder_plot(table: Table, cliff: Table | None = None, beside: Table | None = None) -> Figure:
    """Contraction, width, error and coverage of mean A against covering fraction.

    Parameters
    ----------
    table : Table
        See `dustpost.ladder.study.COLUMNS`.
    cliff : Table, optional
        See `dustpost.ladder.study.find_cliff`.
    beside : Table, optional
        Another ladder to compare with, drawn in grey: the analytic one beside the networks'.
    """
    figure = new_figure(10.5, 6.0)
    axes = figure.subplots(2, 3, sharex=False).ravel()
    depths = np.unique(table["depth"][table["depth"] > 0])
    for depth in depths:
        for rows in [] if beside is None else [_of_depth(beside, depth)]:
            columns = ("contraction", "posterior_sd", "bias", "coverage68", "map_coverage68")
            for axis, name in zip(axes, columns, strict=False):
                axis.plot(rows["covering_fraction"], rows[name], color=FAINT, lw=1.2, zorder=0)
    for number, depth in enumerate(depths):
        rows = _of_depth(table, depth)
        x, colour = rows["covering_fraction"], CHAINS[number]
        axes[0].plot(x, rows["contraction"], "o-", ms=3, color=colour, label=f"A = {depth:g} mag")
        axes[0].plot(x, rows["fisher_sd"] / rows["prior_sd"], "--", lw=0.9, color=colour)
        axes[1].plot(x, rows["posterior_sd"], "o-", ms=3, color=colour)
        axes[1].plot(x, rows["fisher_sd"], "--", lw=0.9, color=colour)
        axes[1].plot(x, rows["prior_sd"], ":", lw=0.9, color=colour)
        axes[2].errorbar(x, rows["bias"], rows["bias_error"], fmt="o-", ms=3, color=colour)
        axes[2].plot(x, rows["map_bias"], "x--", ms=4, lw=0.8, color=colour)
        axes[3].plot(x, rows["coverage68"], "o-", ms=3, color=colour)
        axes[4].plot(x, rows["map_coverage68"], "x--", ms=4, color=colour)
        if cliff is not None:
            at = cliff[cliff["depth"] == depth]
            axes[5].plot(at["signal_to_noise"], at["covering_fraction"], "o-", ms=3, color=colour)
    axes[0].axhline(1.0, color=FAINT, lw=0.7)
    axes[0].legend()
    titles = (
        "Contraction: posterior / prior sd",
        "Sd of mean A [mag]",
        "Bias of mean A [mag]",
        "68 % interval holds the truth",
        "MAP \u00b1 Laplace holds the truth",
        "Cliff: half of the contraction is lost",
    )
    notes = ("dashed: Fisher bound", "dotted: prior; dashed: Fisher", "crosses: MAP", "", "", "")
    if beside is not None:
        grey = f"grey: {beside.meta.get('prior', 'the other')}"
        notes = (f"{notes[0]}; {grey}", *notes[1:])
    for axis, title, note in zip(axes, titles, notes, strict=True):
        axis.set_title(f"{title}\n", linespacing=0.9)
        axis.text(0, 1.02, note, transform=axis.transAxes, fontsize=7, color=FAINT)
        axis.set_xlabel("covering fraction")
    axes[0].set_ylim(0, None)
    axes[1].set_yscale("log")
    axes[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes[1].yaxis.set_minor_formatter(NullFormatter())
    axes[2].axhline(0.0, color=INK, lw=0.6)
    for axis in axes[3:5]:
        axis.axhspan(0.60, 0.76, color=FAINT, alpha=0.2, lw=0)
        axis.axhline(0.68, color=INK, lw=0.6)
        axis.set_ylim(0, 1)
    axes[5].set_xlabel("S/N of the brightest pixel")
    axes[5].set_ylabel("covering fraction")
    axes[5].set_xscale("log")
    axes[5].set_visible(cliff is not None)
    return figure


def _of_depth(table: Table, depth: float) -> Table:
    """Rungs of one depth; the rung without dust is one of each."""
    rows = table[(table["depth"] == depth) | (table["depth"] == 0)]
    rows.sort("covering_fraction")
    return rows
