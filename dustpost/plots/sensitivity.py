"""What other priors of F and delta would have said, in units of the fit's own errors."""

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from dustpost.plots.maps import short
from dustpost.plots.style import CHAINS, FAINT, INK, new_figure, styled

WORDS = {
    "fitted": "as fitted",
    "flux_flat": "F: flat",
    "flux_colours": "F: stellar colours",
    "flux_tight": "F: twice as tight",
    "slope_tight": "delta: twice as tight",
    "slope_wide": "delta: twice as wide",
}
K_GOOD = 0.7


@styled
def sensitivity_plot(table: Table) -> Figure:
    """Shift and width of every scalar under each choice, and the screen's contraction.

    Parameters
    ----------
    table : Table
        See `dustpost.sensitivity.numbers.COLUMNS`. Rows whose Pareto k is not good are
        drawn hollow.
    """
    order = list(dict.fromkeys(table["choice"]))
    own = table[[("." not in name) for name in table["name"]]]
    labels = list(dict.fromkeys(zip(own["name"], own["band"], strict=True)))
    figure = new_figure(9.0, 0.42 * len(labels) + 1.5)
    left, right = figure.subplots(1, 2, width_ratios=(3, 1))
    left.axvspan(-1, 1, color=FAINT, alpha=0.2, lw=0)
    left.axvline(0, color=INK, lw=0.6)
    for number, choice in enumerate(order):
        colour = CHAINS[number % len(CHAINS)]
        offset = 0.6 * (number / max(len(order) - 1, 1) - 0.5)
        for place, (name, band) in enumerate(labels):
            (row,) = own[(own["choice"] == choice) & (own["name"] == name) & (own["band"] == band)]
            left.errorbar(
                row["shift"],
                place + offset,
                xerr=row["sd_ratio"],
                fmt="o",
                ms=4,
                lw=1.1,
                color=colour,
                mfc=colour if _trusted(row) else "white",
                label=WORDS.get(choice, choice) if place == 0 else None,
            )
        (row,) = table[(table["choice"] == choice) & (table["name"] == "screen.contraction")]
        right.plot(
            row["mean"], number, "o", color=colour, mfc=colour if _trusted(row) else "white", ms=6
        )
    left.set_yticks(range(len(labels)), [f"F {short(b)}" if b else n for n, b in labels])
    left.invert_yaxis()
    left.set_xlabel("shift, and sd, in units of the fit's own sd")
    left.set_title("Every number under each prior; hollow: Pareto k > 0.7, not to be trusted")
    right.set_yticks(range(len(order)), [WORDS.get(choice, choice) for choice in order])
    right.set_ylim(len(order) - 0.5, -0.5)
    right.set_xlim(0, max(1.1, 1.1 * np.nanmax([1.0, *_contraction(table)])))
    right.axvline(1, color=FAINT, lw=0.7)
    right.set_xlabel("posterior / prior sd")
    right.set_title("Uniform screen")
    return figure


def _contraction(table: Table) -> np.ndarray:
    return np.asarray(table["mean"][table["name"] == "screen.contraction"], float)


def _trusted(row) -> bool:
    return row["how"] == "drawn" or row["pareto_k"] <= K_GOOD
