"""Claim: the posterior covers the truth of galaxies that the model is not exactly true of.

    python -m benchmarks.covers_radiative_transfer_truth --data ../shared/data/rt
        [--out out/rt] [--noise 30 100] [--variants fiducial monochromatic model]
        [--methods map pixels anchored cut full] [--galaxies N] [--views N] [--only VIEW ...]
        [--batch N] [--config TOML] [--model-error F] [--seed N] [--table] [--to STEM]

Views of RADMC-3D (dust mixed with stars in three dimensions, multiple scattering), blurred by
HSC's PSFs, with noise in the ratios of HSC's depths at a peak S/N in r of 30 and 100; without
u. Variants: fiducial; monochromatic, with a host of one colour; model, with one curve as well, so
that what is missed there is due to the priors and the sampler alone. Methods, on the same pixels:

map      the maximum a posteriori (Siegel & Melchior 2024)
pixels   the peer without a spatial prior, `dustpost.reproduce.pixels`: PSFs matched, each
         pixel's A and slope from its own colours
cut      `dustpost sample`, the cut posterior
anchored the same with --cross-term anchored
full     the same with the cross term

Every fit is kept in OUT/fits; the same command goes on, others may run beside it. What is
there is scored (--table does only that) and written beside this file, under --to: .views.ecsv holds
every score of every view, to which the next run of the same settings adds (`kept_scores`), .ecsv
all of them in bins of covering fraction and mean A (`dustpost.reproduce.score`), .json the aims.
A light-weighted A is slightly negative where light is scattered towards us; delta is scored
where mean A > 0.03 mag; the three views of a galaxy are not independent, and errors are over
galaxies.
"""

import argparse
import datetime
import json
import os
import platform
from dataclasses import asdict, replace
from pathlib import Path

import jax
import numpy as np
from astropy.table import Column, Table

from benchmarks import kept_scores
from benchmarks.named_views import named
from dustpost.diagnostics.convergence import RHAT_GOOD
from dustpost.io.folder import atomic_write
from dustpost.progress import bars
from dustpost.reproduce import campaign, score, trial
from dustpost.reproduce.sources import View, find_views
from dustpost.settings import read_settings

POSTERIORS = ("anchored", "cut", "full")
METHODS = ("map", "pixels", *POSTERIORS)
GOALS = {  # of covering fractions below 0.9
    "median |error of mean A| [mag]": ("mean_attenuation", "median_abs_error", 0.0, 0.05),
    "median |error of g-r| [mag]": ("g-r", "median_abs_error", 0.0, 0.03),
    "68 % intervals of mean A hold": ("mean_attenuation", "coverage68", 0.60, 0.76),
    "median correlation, A >= .1": ("map", "correlation", 0.90, 1.0),
}


def plan_of(options: argparse.Namespace, method: str, noise: float) -> trial.Plan:
    """How a method sees and fits the views."""
    told = dict(seed=options.seed, model_error=options.model_error)
    settings = read_settings(options.config, told)
    if method in POSTERIORS:
        settings = replace(settings, cross_term=method)
    name = options.data.resolve().name
    return trial.Plan(options.out / "fits", settings, noise, name)


def work(views: list[View], options: argparse.Namespace) -> None:
    """Fit what is not kept yet: the quick methods first, all noise levels of each."""
    for method in [method for method in METHODS if method in options.methods]:
        for noise in options.noise:
            plan = plan_of(options, method, noise)
            plan.folder.mkdir(parents=True, exist_ok=True)
            with bars() as progress:
                label = f"{method}, S/N {noise:g}"
                if method in trial.ALONE:
                    advance = progress(label, len(views) * len(options.variants))
                    for variant in options.variants:
                        for view in views:
                            trial.keep(view, variant, plan, method)
                            advance(1)
                    continue
                told = campaign.estimate(views, options.variants, plan, ("posterior",))
                print(f"{label}: {told}", flush=True)
                errors = campaign.sample(views, options.variants, plan, options.batch, progress)
                print("\n".join(map(str, errors)), flush=True)


def gather(views: list[View], options: argparse.Namespace) -> Table:
    """Score all that is kept in OUT, beside what was scored before: a line each."""
    new, marks = [], {}
    for noise in options.noise:
        for method in METHODS:
            plan = plan_of(options, method, noise)
            kind = method if method in trial.ALONE else "posterior"
            marks[noise, method] = trial.mark(plan, kind)
            for variant in options.variants:
                for view in views:
                    found = trial.kept(view, variant, plan, kind)
                    if found is None:
                        continue
                    truth = trial.keep(view, variant, plan, "truth")
                    labels = dict(variant=variant, signal_to_noise=noise, method=method)
                    labels |= dict(view=view.name, mark=marks[noise, method])
                    scored = score.score(view.galaxy, truth, found)
                    new += kept_scores.lines(scored, found, **labels)
    return kept_scores.merge(options.to.with_suffix(".views.ecsv"), new, marks)


def summarised(lines: Table) -> tuple[Table, dict]:
    """The lines in bins, and what the fits took and how their chains did."""
    rows, spent = [], {}
    for labels, some in parts(lines):
        rows += score.rows(kept_scores.scores(some), **labels)
        fits = some[some["quantity"] == "map"]
        spent["{method}, {variant}, S/N {signal_to_noise:g}".format(**labels)] = dict(
            views=len(fits),
            **{f"median_{n}": middle(fits[n]) for n in ("seconds", "chi2", "rhat", "ess")},
            converged=int((fits["rhat"] < RHAT_GOOD).sum()),
        )
    return score.as_table(rows), spent


def parts(table: Table) -> list[tuple[dict, Table]]:
    """A table by method, variant and noise level, with their names."""
    found = []
    for key in dict.fromkeys(zip(*(table[n] for n in score.LABELS), strict=True)):
        mine = [table[n] == k for n, k in zip(score.LABELS, key, strict=True)]
        values = str(key[0]), float(key[1]), str(key[2])
        found.append((dict(zip(score.LABELS, values, strict=True)), table[np.all(mine, axis=0)]))
    return found


def middle(values: Column) -> float | None:
    """Median of what is finite, None where nothing is."""
    values = np.array(values, float)
    values = values[np.isfinite(values)]
    return round(float(np.median(values)), 3) if values.size else None


def aims(table: Table) -> list[dict]:
    """The aims, as measured by each method, noise level and variant."""
    found = []
    for line, some in parts(table):
        for name, (quantity, column, low, high) in GOALS.items():
            where = "A >= .1, covering < .9" if "A >=" in name else "covering < .9"
            row = some[(some["quantity"] == quantity) & (some["bin"] == where)]
            value = float(row[column][0]) if len(row) else np.nan
            line["views"] = max(line.get("views", 0), int(row["views"][0]) if len(row) else 0)
            line[name] = None if np.isnan(value) else round(value, 3)
            line[f"{name}: met"] = bool(low <= value <= high)
        found.append(line)
    return found


def markdown(lines: list[dict]) -> str:
    """The aims as a table for the README."""
    heads = ["variant", "S/N", "method", "views", *GOALS]
    rows = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for line in lines:
        cells = [
            line["variant"],
            f"{line['signal_to_noise']:g}",
            line["method"],
            str(line["views"]),
        ]
        cells += ["-" if line[name] is None else f"{line[name]:.3f}" for name in GOALS]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    """Fit, score, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("DUSTPOST_DATA", "../shared/data")) / "rt"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--out", type=Path, default=Path("out/rt"))
    parser.add_argument("--noise", type=float, nargs="+", default=[30.0, 100.0])
    parser.add_argument(
        "--variants",
        nargs="+",
        default=list(trial.VARIANTS),
        choices=(*trial.VARIANTS, trial.MODEL),
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--galaxies", type=int, default=1000)
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="VIEW", help="names, such as rt_009_1")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--model-error", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(""))
    options = parser.parse_args()
    views = find_views(options.data, options.galaxies, options.views, options.seed)
    views = named(views, options, parser)
    if not options.table:
        work(views, options)
    table, spent = summarised(gather(views, options))
    lines = aims(table)
    report = dict(
        date=datetime.date.today().isoformat(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores, {jax.default_backend()}",
        settings=asdict(plan_of(options, "map", options.noise[0]).settings),
        spent=spent,
        aims=lines,
    )
    with atomic_write(options.to.with_suffix(".ecsv")) as path:
        table.write(path, format="ascii.ecsv")
    with atomic_write(options.to.with_suffix(".json")) as path:
        path.write_text(json.dumps(report, indent=1) + "\n")
    print(markdown(lines))
    print(json.dumps(spent, indent=1))


if __name__ == "__main__":
    main()
