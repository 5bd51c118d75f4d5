"""Figure 3: how well attenuation is found, against how much of it there is.

fig3_map.png is the paper's, fig3_posterior.png has intervals and their coverage; fig3.ecsv
holds a row per view and variant, scores.ecsv the table of `dustpost.reproduce.score`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table

from dustpost.io.folder import atomic_write
from dustpost.reproduce import score
from dustpost.reproduce.campaign import Result
from dustpost.reproduce.fit import FEWEST, MASSES, Fit
from dustpost.reproduce.sources import View


def write(
    out: Path, views: Sequence[View], variants: Sequence[str], fits: Result, noise: float
) -> list[Path]:
    """Write both versions of the figure and both tables; the files written.

    Parameters
    ----------
    out : Path
        Folder.
    views : sequence of View
    variants : sequence of str
    fits : dict
        As `campaign.run` gives it.
    noise : float
        Peak signal-to-noise, for the table.
    """
    from dustpost.plots.strength import strength_plot
    from dustpost.plots.style import save_png

    out, sampled = Path(out), any(posterior is not None for *_, posterior in fits.values())
    tables = {"map": _points(views, variants, fits, 1)}
    if sampled:
        tables["posterior"] = _points(views, variants, fits, 2)
    scores = scored(views, variants, fits, noise)
    written = []
    for method, table in tables.items():
        picture = save_png(strength_plot(table, _notes(scores, variants, method)))
        written.append(out / f"fig3_{method}.png")
        with atomic_write(written[-1]) as path:
            path.write_bytes(picture)
        written.append(out / f"fig3_{method}.ecsv")
        with atomic_write(written[-1]) as path:
            table.write(path, format="ascii.ecsv")
    written.append(out / "scores.ecsv")
    with atomic_write(written[-1]) as path:
        scores.write(path, format="ascii.ecsv")
    return written


def scored(views: Sequence[View], variants: Sequence[str], fits: Result, noise: float) -> Table:
    """The table of scores of MAP and posterior."""
    found = []
    for variant in variants:
        for number, method in ((1, "map"), (2, "posterior")):
            scores = []
            for view in views:
                fit = fits[view.name, variant][number]
                if fit is not None:
                    scores.append(score.score(view.galaxy, fits[view.name, variant][0], fit))
            labels = dict(variant=variant, signal_to_noise=noise, method=method)
            found += score.rows(scores, **labels) if scores else []
    return score.as_table(found)


def _points(views, variants, fits: Result, number: int) -> Table:
    rows = []
    for variant in variants:
        for view in views:
            truth, fit = fits[view.name, variant][0], fits[view.name, variant][number]
            if fit is not None:
                true = dict(
                    true=float(truth.mean_attenuation), covering=float(truth.covering_fraction)
                )
                rows.append(dict(name=view.name, variant=variant) | true | _point(fit))
    return Table(rows)


def _point(fit: Fit) -> dict[str, float]:
    """The mean, and where there are draws their 16 and 84 %."""
    point = dict(inferred=float(fit.mean_attenuation.mean()), correlation=float(fit.correlation[0]))
    if len(fit.mean_attenuation) > 1:
        ends = np.quantile(fit.mean_attenuation, [0.16, 0.84])
        alone = np.quantile(fit.correlation[1:], [0.16, 0.84])
        names = ("low", "high", "correlation_low", "correlation_high")
        point |= dict(zip(names, map(float, (*ends, *alone)), strict=True))
        point |= dict(rhat=float(fit.rhat), ess=float(fit.ess))
    return point


def _notes(scores: Table, variants: Sequence[str], method: str) -> list[str]:
    notes = []
    for variant in variants:
        some = scores[(scores["variant"] == variant) & (scores["method"] == method)]
        some = some[some["bin"] == "all"]
        row = some[some["quantity"] == "mean_attenuation"]
        if not len(row):
            continue
        row, of_map = row[0], some[some["quantity"] == "map"][0]
        notes.append(
            f"{variant}: bias {row['bias']:+.3f}, scatter {row['scatter']:.3f} mag, "
            f"{row['views']} views"
        )
        if method == "posterior" and np.isfinite(row["coverage68"]):
            for what, one in (("mean A", row), ("A by pixel", of_map)):
                held = ", ".join(
                    f"{100 * one[f'coverage{round(100 * mass)}']:.0f}" for mass in MASSES
                )
                notes.append(f"50, 68, 90 % intervals of {what} hold {held} %")
        elif method == "posterior":
            notes.append(f"fewer than {FEWEST} draws: no intervals")
    return notes
