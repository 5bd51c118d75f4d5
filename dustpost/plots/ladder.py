"""The ladder study as a figure: what the data know of the dust, by covering fraction."""

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from dustpost.plots.style import CHAINS, FAINT, INK, new_figure, styled


@styled
def ladder_plot(table: Table, cliff: Table | None = None) -> Figure:
    """Contraction, width, error and coverage of mean A against covering fraction.

    Parameters
    ----------
    table : Table
        See `dustpost.ladder.study.COLUMNS`.
    cliff : Table, optional
        See `dustpost.ladder.study.find_cliff`.
    """
    figure = new_figure(10.5, 6.0)
    axes = figure.subplots(2, 3, sharex=False).ravel()
    depths = np.unique(table["depth"])
    for number, depth in enumerate(depths):
        rows = table[table["depth"] == depth]
        rows.sort("covering_fraction")
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
    for axis, title, note in zip(axes, titles, notes, strict=True):
        axis.set_title(title)
        axis.set_xlabel("covering fraction")
        axis.text(0.02, 0.02, note, transform=axis.transAxes, fontsize=7, color=FAINT)
    axes[0].set_ylim(0, None)
    axes[1].set_yscale("log")
    axes[2].axhline(0.0, color=INK, lw=0.6)
    for axis in axes[3:5]:
        axis.axhspan(0.60, 0.76, color=FAINT, alpha=0.2, lw=0)
        axis.axhline(0.68, color=INK, lw=0.6)
        axis.set_ylim(0, 1)
    axes[5].set_xlabel("S/N of the brightest pixel")
    axes[5].set_ylabel("covering fraction")
    axes[5].set_xscale("log")
    return figure
