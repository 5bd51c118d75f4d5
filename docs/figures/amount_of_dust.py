"""Mean A found against the truth, by the image as by default and by the model, of the same views.

python docs/figures/amount_of_dust.py

From the scores that `benchmarks.covers_radiative_transfer_truth` has kept of both.
"""

from pathlib import Path

import numpy as np
from astropy.table import Table

from dustpost.networks.amount import coordinate
from dustpost.plots.style import CHAINS, FAINT, new_figure, save_png, styled

HERE = Path(__file__).parent
RECORDS = HERE.parents[1] / "benchmarks"
KINDS = {"model": ("the model", "o", CHAINS[1]), "image": ("the image", "s", CHAINS[0])}
TICKS = (0.0, 0.03, 0.1, 0.3, 1.0)  # mag
APART = 0.02  # of g: the two of a view side by side


def read(name: str) -> dict[str, tuple[float, float, float]]:
    """(truth, mean, sd) of mean A in mag of each view of a record."""
    table = Table.read(RECORDS / f"covers_radiative_transfer_truth_{name}.views.ecsv")
    rows = table[table["quantity"] == "mean_attenuation"]
    return {row["view"]: (row["depth"], row["depth"] + row["error"], row["sd"]) for row in rows}


@styled
def main() -> None:
    found = {name: read(name) for name in KINDS}
    views = sorted(set.intersection(*(set(one) for one in found.values())))
    drawn = new_figure(4.5, 4.2)
    axis = drawn.add_subplot()
    line = np.linspace(0, coordinate(2.0), 9)
    axis.plot(line, line, color=FAINT, lw=1)
    for shift, (name, (label, marker, colour)) in zip((-APART, APART), KINDS.items(), strict=True):
        truth, mean, sd = np.array([found[name][view] for view in views]).T
        place, at = np.asarray(coordinate(truth)) + shift, np.asarray(coordinate(mean))
        ends = [np.asarray(coordinate(np.maximum(mean + sign * sd, 0))) for sign in (-1, 1)]
        bars = np.abs(np.stack(ends) - at)
        given = dict(fmt=marker, ms=4, color=colour, elinewidth=1)
        axis.errorbar(place, at, bars, label=f"amount of dust by {label}", **given)
    ticks = np.asarray(coordinate(np.array(TICKS)))
    axis.set_xticks(ticks, [f"{tick:g}" for tick in TICKS])
    axis.set_yticks(ticks, [f"{tick:g}" for tick in TICKS])
    axis.set_xlabel("true mean A [mag]")
    axis.set_ylabel("mean A, mean and sd of the draws [mag]")
    axis.legend(loc="upper left")
    (HERE / "amount_of_dust.png").write_bytes(save_png(drawn))
    print(f"{len(views)} views: {', '.join(views)}")


if __name__ == "__main__":
    main()
