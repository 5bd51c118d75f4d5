"""Have the chains converged? Findings with advice, from the groups of posterior.nc.

Limits (Vehtari et al. 2021, Bayesian Analysis 16, 667, section 4, ask for R-hat < 1.01 and
an ESS of 400; an ESS of 100 still gives a mean to a tenth of its sd):

R-hat           above 1.01 a warning, above 1.05 (or nan) an error
bulk, tail ESS  below 400 a warning, below 100 (or nan) an error; all chains together
pixels          share of the light where R-hat of A exceeds 1.1: 5% a warning, 25% an error
delta           1% of the draws beyond 3 prior sd a warning, half of them an error
mean A          the same beyond 3 mag, more than the dust's networks saw in training; what the
                image alone tells of it: see `amounts`

Every comparison is written so that a nan fails it.
"""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from dustpost.diagnostics import amounts, proposals
from dustpost.diagnostics.summary import Row, scalar_series, summarise
from dustpost.findings import Finding
from dustpost.priors import slope
from dustpost.results import settings_of

RHAT_GOOD, RHAT_BAD = 1.01, 1.05
ESS_GOOD, ESS_BAD = 400, 100
PIXEL_RHAT, LIGHT_GOOD, LIGHT_BAD = 1.1, 0.05, 0.25
EDGE, EDGE_GOOD, EDGE_BAD = 3.0, 0.01, 0.5
DEEPEST = 3.0  # mag, of the mean attenuation of galaxies that the dust's networks learnt from


def check(tree: xr.DataTree, rows: list[Row] | None = None) -> list[Finding]:
    """Judge the draws of one galaxy.

    Parameters
    ----------
    tree : xarray.DataTree
        As `results.to_tree` or `io.netcdf.open_posterior` give it.
    rows : list of Row, optional
        `summarise(tree)`, where it is at hand.

    Returns
    -------
    list of Finding
        Gravest first; a single "info" where all is well.
    """
    rows = summarise(tree) if rows is None else rows
    findings = [
        *_broken(tree),
        *_rhat(tree, rows),
        *_ess(tree, rows),
        *_pixels(tree),
        *proposals.acceptance(tree),
        *proposals.left_behind(tree),
        *proposals.unadjusted(tree),
        *_slope_edge(tree),
        *_too_deep(tree),
        *amounts.elsewhere(tree),
        *amounts.shared_out(tree),
        *proposals.curl(tree),
    ]
    if all(f.level == "info" for f in findings):
        findings.insert(0, Finding("info", "converged", _good_news(rows)))
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(findings, key=lambda f: order[f.level])


def converged(findings: Iterable[Finding]) -> bool:
    """Whether none of the findings is an error."""
    return all(f.level != "error" for f in findings)


def _good_news(rows: list[Row]) -> str:
    moving = [r for r in rows if np.isfinite(r.rhat)]
    return (
        f"All scalars have R-hat of at most {max(r.rhat for r in moving):.3f} and an "
        f"effective sample size of at least {min(r.ess_bulk for r in moving):.0f}."
    )


def _broken(tree: xr.DataTree) -> Iterable[Finding]:
    """Not finite, too few, or standing still."""
    series = scalar_series(tree)
    chains, length = series[0][2].shape
    if chains < 2 or length < 4:
        yield Finding(
            "error",
            "chains",
            f"{chains} chain(s) of {length} draws: R-hat needs at least 2 chains of 4 draws; "
            "run with --chains 4 and some hundred draws.",
        )
    for name, band, draws, _ in series:
        label = f"{name}[{band}]" if band else name
        bad = int((~np.isfinite(draws)).sum())
        if bad:
            yield Finding(
                "error",
                "nan",
                f"{label} is not finite in {bad} of {draws.size} draws; the sampler left the "
                "range of its networks or the data hold extreme values: run `dustpost check` on "
                "the cutout, then try a smaller step.",
            )
        elif not _pinned(name, draws, tree):
            frozen = np.flatnonzero(np.ptp(draws, axis=1) == 0)
            if frozen.size:
                yield Finding("error", "frozen", _frozen_message(label, frozen, chains))
    for name in ("S", "D"):
        maps = tree["posterior_maps"][name].values
        bad = int((~np.isfinite(maps)).sum())
        if bad:
            yield Finding("error", "nan", f"{name} is not finite in {bad} pixels of its draws.")
        elif maps.shape[1] > 1:
            frozen = np.flatnonzero((np.ptp(maps, axis=1) == 0).all(axis=(1, 2)))
            if frozen.size:
                yield Finding("error", "frozen", _frozen_message(f"map {name}", frozen, chains))
        if name == "D" and not bad and (maps.min() < 0 or maps.max() > 1 + 1e-5):
            yield Finding(
                "error",
                "range",
                f"D runs from {maps.min():.3g} to {maps.max():.3g}, not in (0, 1].",
            )


def _frozen_message(label: str, frozen: np.ndarray, chains: int) -> str:
    which = ", ".join(str(c) for c in frozen)
    return (
        f"{label} never moves in chain {which} (of {chains}): its proposals are all refused. "
        "Use a smaller step or a longer warm-up; leave these chains out of every mean."
    )


def _pinned(name: str, draws: np.ndarray, tree: xr.DataTree) -> bool:
    """One value in all chains that may be right: no dust above the threshold, a fixed delta."""
    if np.ptp(draws) > 0:
        return False
    if name == "covering_fraction":
        return float(draws.flat[0]) in (0.0, 1.0)
    return name == "delta" and settings_of(tree).get("slope_prior_sd") == 0


def _judged(tree: xr.DataTree, rows: list[Row]) -> list[Row]:
    """Rows that should mix; what is not finite or pinned has its own finding or needs none."""
    draws = {(name, band): values for name, band, values, _ in scalar_series(tree)}
    return [r for r in rows if not _pinned(r.name, draws[r.name, r.band], tree)]


def _rhat(tree: xr.DataTree, rows: list[Row]) -> Iterable[Finding]:
    over = [r for r in _judged(tree, rows) if not r.rhat <= RHAT_GOOD]
    if not over or tree["posterior"].sizes["chain"] < 2:
        return
    over = sorted(over, key=lambda r: -np.nan_to_num(r.rhat, nan=np.inf))
    names = _some([f"{r.label} {r.rhat:.3f}" for r in over])
    if over[0].rhat <= RHAT_BAD:
        level, advice = "warning", "Draw about twice as many."
    else:
        level = "error"
        advice = (
            "The chains have not found the same posterior: look at the traces, warm up longer "
            "(--warmup) and draw more (--draws)."
        )
    yield Finding(level, "rhat", f"R-hat above {RHAT_GOOD}: {names}. {advice}")


def _ess(tree: xr.DataTree, rows: list[Row]) -> Iterable[Finding]:
    rows = _judged(tree, rows)
    low = [r for r in rows if not (r.ess_bulk >= ESS_GOOD and r.ess_tail >= ESS_GOOD)]
    if not low:
        return
    bad = any(not (r.ess_bulk >= ESS_BAD and r.ess_tail >= ESS_BAD) for r in low)
    low = sorted(low, key=lambda r: np.nan_to_num(min(r.ess_bulk, r.ess_tail)))
    names = _some([f"{r.label} {r.ess_bulk:.0f}/{r.ess_tail:.0f}" for r in low])
    yield Finding(
        "error" if bad else "warning",
        "ess",
        f"Effective sample size (bulk/tail, all chains) below {ESS_GOOD}: {names}. "
        f"For {ESS_GOOD}, {_more_draws(tree, rows)}.",
    )


def _some(names: list[str], few: int = 3) -> str:
    """The worst few of a list that begins with the worst."""
    more = f" and {len(names) - few} more" if len(names) > few else ""
    return ", ".join(names[:few]) + more


def _more_draws(tree: xr.DataTree, rows: list[Row]) -> str:
    length = tree["posterior"].sizes["draw"]
    finite = [min(r.ess_bulk, r.ess_tail) for r in rows if np.isfinite(r.ess_bulk + r.ess_tail)]
    if not finite:
        return "more draws cannot help before the chains move"
    more = length * (ESS_GOOD / max(min(finite), 1.0) - 1)
    more = more if more > 0 else length
    digits = 10 ** max(0, int(np.log10(more)) - 1)
    more = digits * int(np.ceil(more / digits))  # two digits are all that is known
    if more > 50 * length:
        return f"about {more} more draws per chain would be needed: look for the cause first"
    return f"run about {more} more draws per chain (--draws {length + more})"


def _pixels(tree: xr.DataTree) -> Iterable[Finding]:
    maps = tree["maps"]
    light = np.nan_to_num(maps["S_mean"].values)
    rhat = maps["A_rhat"].values
    if light.sum() <= 0 or tree["posterior_maps"].sizes["draw"] < 4:
        yield Finding("info", "maps", "Too few kept draws of the maps to judge their pixels.")
        return
    # A pixel whose D is the same in every draw (no dust, say) has no R-hat and is not counted.
    share = float(light[rhat > PIXEL_RHAT].sum() / light.sum())
    if not share <= LIGHT_GOOD:
        yield Finding(
            "warning" if share <= LIGHT_BAD else "error",
            "rhat-maps",
            f"{share:.0%} of the light lies in pixels where R-hat of A exceeds {PIXEL_RHAT}: "
            "the error bars of the dust map are too small there (map RHAT); draw more.",
        )


def _slope_edge(tree: xr.DataTree) -> Iterable[Finding]:
    settings = settings_of(tree)
    prior = slope.of_settings(settings)
    if prior is None:
        return
    delta = tree["posterior"]["delta"].values
    out = np.asarray(slope.distance(prior, delta[np.isfinite(delta)]))
    yield from _beyond(
        "delta-edge",
        float((out > EDGE).sum() / delta.size),
        f"delta lies beyond {EDGE:.0f} sd of its prior ({slope.words(settings)}) in {{share}} of "
        "the draws: a sign of a host unlike the host prior, of unmatched PSFs or of a noise "
        "level sigma that is too large, before it is one of odd dust.",
    )


def _too_deep(tree: xr.DataTree) -> Iterable[Finding]:
    """Chains that agree beyond what the networks know: none of R-hat's business."""
    if not settings_of(tree).get("dust_checkpoint_sha256"):  # no network
        return
    depth = tree["posterior"]["mean_attenuation"].values
    yield from _beyond(
        "too-deep",
        float((depth > DEEPEST).mean()),
        f"Mean A exceeds {DEEPEST:g} mag in {{share}} of the draws, more than the dust's networks "
        "saw in training: a screen that the host undoes, before it is that much dust; check the "
        "redshift, and that the galaxy is whole and its neighbours masked.",
    )


def _beyond(code: str, share: float, message: str) -> Iterable[Finding]:
    """A finding on the share of the draws that lie where none should."""
    if share > EDGE_GOOD:
        level = "warning" if share <= EDGE_BAD else "error"
        yield Finding(level, code, message.format(share=f"{share:.0%}"))
