"""All views of a figure fitted: MAPs first, then posteriors in batches, resumable.

Before a long run its cost is measured on its first view: the chains are run at two small
lengths, once compiled, and the seconds of the real length follow on a straight line.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import jax

from dustpost.errors import DustpostError
from dustpost.progress import Stage, quiet
from dustpost.reproduce import trial
from dustpost.reproduce.fit import Fit, Known
from dustpost.reproduce.sources import View
from dustpost.settings import Settings

PROBES = (0.04, 0.12)  # of the chains' length
LENGTHS = ("relax", "warmup", "draws", "prior_draws")


# (view, variant) -> truth, MAP, posterior or None
Result = dict[tuple[str, str], tuple[Known, Fit, Fit | None]]


def run(
    views: Sequence[View],
    variants: Sequence[str],
    plan: trial.Plan,
    posterior: bool,
    batch: int | None = None,
    progress: Stage = quiet,
) -> tuple[Result, list[DustpostError]]:
    """Fit what is not kept yet.

    Parameters
    ----------
    views : sequence of View
    variants : sequence of str
        Of `trial.VARIANTS`.
    plan : Plan
    posterior : bool
        Sample, or find the MAPs alone.
    batch : int, optional
        Views sampled side by side; by default 1 on a CPU, where more bring nothing, else 16.
    progress : callable

    Returns
    -------
    dict
        (view, variant) -> truth, MAP, posterior or None.
    list of DustpostError
        Of views whose chains met a value that is not finite; they have no posterior.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    pairs = [(view, variant) for variant in variants for view in views]
    advance, fits = progress("MAPs", len(pairs)), {}
    for view, variant in pairs:
        fits[view.name, variant] = (*trial.keep_map(view, variant, plan), None)
        advance(1)
    if not posterior:
        return fits, []
    errors, size = [], batch or (1 if jax.default_backend() == "cpu" else 16)
    advance = progress("posteriors", len(pairs))
    for variant in variants:
        for first in range(0, len(views), size):
            some = views[first : first + size]
            errors += trial.keep_posteriors(some, variant, plan)
            advance(len(some))
    for view, variant in pairs:
        found = trial.kept_posterior(view, variant, plan)
        fits[view.name, variant] = (*fits[view.name, variant][:2], found)
    return fits, errors


def estimate(
    views: Sequence[View],
    variants: Sequence[str],
    plan: trial.Plan,
    posterior: bool,
) -> str:
    """One sentence: how long `run` will take on this machine, measured on one view."""
    todo = {"map": 0, "posterior": 0}
    for variant in variants:
        for view in views:
            for method in todo:
                todo[method] += not trial.place(view, variant, plan, method).exists()
    if not posterior:
        todo["posterior"] = 0
    if not any(todo.values()):
        return "all results are kept already"
    cutout = trial.look(views[0], variants[0], plan)
    trial.fit_map(cutout, plan)  # compiles
    of_map = float(trial.fit_map(cutout, plan).seconds)
    of_draws = _seconds_of_draws(cutout, plan) if todo["posterior"] else 0.0
    hours = (todo["map"] * of_map + todo["posterior"] * of_draws) / 3600
    words = [f"{todo['map']} MAPs at {of_map:.0f} s"]
    if todo["posterior"]:
        words.append(f"{todo['posterior']} posteriors at {of_draws:.0f} s")
    return f"{' and '.join(words)}, measured on this machine: about {hours:.1f} hours"


def _seconds_of_draws(cutout, plan: trial.Plan) -> float:
    """Seconds of one posterior of the plan's length, from two shorter ones."""
    shorter = [replace(plan, settings=_shorten(plan.settings, share)) for share in PROBES]
    trial.fit_posteriors([cutout], shorter[0])  # compiles
    seconds = []
    for one in shorter:
        begin = time.perf_counter()
        trial.fit_posteriors([cutout], one)
        seconds.append(time.perf_counter() - begin)
    slope = (seconds[1] - seconds[0]) / (PROBES[1] - PROBES[0])
    return max(seconds[1], seconds[1] + slope * (1 - PROBES[1]))


def _shorten(settings: Settings, share: float) -> Settings:
    least = {"relax": 0, "warmup": settings.keep, "draws": settings.keep, "prior_draws": 2}
    return replace(
        settings,
        **{name: max(least[name], round(share * getattr(settings, name))) for name in LENGTHS},
    )
