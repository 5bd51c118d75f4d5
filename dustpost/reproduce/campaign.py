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
        two = (trial.keep(view, variant, plan, method) for method in ("truth", "map"))
        fits[view.name, variant] = (*two, None)
        advance(1)
    if not posterior:
        return fits, []
    errors = sample(views, variants, plan, batch, progress)
    for view, variant in pairs:
        found = trial.kept(view, variant, plan, "posterior")
        fits[view.name, variant] = (*fits[view.name, variant][:2], found)
    return fits, errors


def sample(
    views: Sequence[View],
    variants: Sequence[str],
    plan: trial.Plan,
    batch: int | None = None,
    progress: Stage = quiet,
) -> list[DustpostError]:
    """Sample the posteriors that are not kept yet, as in `run`; what went wrong."""
    errors, size = [], batch or (1 if jax.default_backend() == "cpu" else 16)
    advance = progress("posteriors", len(views) * len(variants))
    for variant in variants:
        for first in range(0, len(views), size):
            some = views[first : first + size]
            errors += trial.keep_posteriors(some, variant, plan)
            advance(len(some))
    return errors


def estimate(
    views: Sequence[View],
    variants: Sequence[str],
    plan: trial.Plan,
    methods: Sequence[str] = ("map", "posterior"),
) -> str:
    """One sentence: how long what is not kept yet will take, measured here on one view."""
    todo = {
        method: sum(
            not trial.place(view, variant, plan, method).exists()
            for variant in variants
            for view in views
        )
        for method in methods
    }
    if not any(todo.values()):
        return "all results are kept already"
    cutout = trial.look(views[0], variants[0], plan)
    hours, words = 0.0, []
    for method, count in todo.items():
        if method == "map":
            trial.fit_map(cutout, plan)  # compiles
            seconds = float(trial.fit_map(cutout, plan).seconds)
        else:
            seconds = _seconds_of_draws(cutout, plan) if count else 0.0
        hours += count * seconds / 3600
        words += [f"{count} times {method} at {seconds:.0f} s"] if count else []
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
