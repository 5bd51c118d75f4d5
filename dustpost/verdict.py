"""The verdict on one galaxy in plain words, and the few numbers that go with it."""

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from dustpost.diagnostics import degeneracy
from dustpost.diagnostics.fit import Fit
from dustpost.diagnostics.summary import Row
from dustpost.findings import Finding, worst
from dustpost.priors.slope import of_settings as slope_of
from dustpost.results import settings_of

MOSTLY_PRIOR = 0.8  # light-weighted posterior over prior sd of A


def verdict(
    tree: xr.DataTree,
    rows: Sequence[Row],
    mixing: Sequence[Finding],
    misfit: Sequence[Finding],
    input_findings: Sequence[Finding],
) -> tuple[str, str, list[str]]:
    """Judge a fit.

    Returns
    -------
    kind : {"good", "fair", "bad"}
    headline : str
    sentences : list of str
    """
    level = worst(mixing)
    if level == "error":
        kind, headline = "bad", "The chains have not converged: do not use these numbers."
        sentences = ["Means, errors and maps below are those of draws that do not agree."]
    elif level == "warning":
        kind, headline = "fair", "The chains have nearly converged: use the numbers with care."
        sentences = ["Means are usable; tails and small errors are not settled."]
    else:
        kind, headline = "good", "The chains have converged."
        sentences = []
    sentences += [f.message for f in mixing if f.level == level != "info"]

    if misfit and worst(misfit) != "info":
        kind = "fair" if kind == "good" else kind
        headline += " The model does not fit everywhere."
        sentences += [f.message for f in misfit if f.level == "warning"]
    if worst(input_findings) != "info":
        kind = "fair" if kind == "good" else kind
        sentences.append("The checks of the cutout found something; see below.")
    if kind != "bad":  # the width of draws that do not agree means nothing
        sentences.append(_data_or_prior(light_weighted_inform(tree)))
        k_reference = float(settings_of(tree).get("k_reference", 1.0))
        sentences.append(degeneracy.sentence(tree["degeneracy"].to_dataset(), k_reference))
    return kind, headline, sentences


def tiles(tree: xr.DataTree, rows: Sequence[Row], fit: Fit) -> Iterable[tuple[str, str, str]]:
    """Few numbers for the top of the page: (what, value, note)."""
    by_name = {r.name: r for r in rows if not r.band}
    settings = settings_of(tree)
    limit = settings.get("covering_threshold", 0.05)
    a, cover = by_name["mean_attenuation"], by_name["covering_fraction"]
    slope = by_name["delta"]
    yield "Mean attenuation at 0.4754 micron", interval(a), "light-weighted; median and 68%"
    yield "Covering fraction", interval(cover), f"share of the light with A above {limit:g} mag"
    prior = slope_of(settings)
    against = "median and 68%"
    if prior is not None:
        against = f"posterior sd {slope.sd / float(prior.variance) ** 0.5:.2f} of the prior's"
    yield "Slope delta", interval(slope), against
    value = f"{fit.chi2:.2f}"
    yield (
        "\u03c7\u00b2 per pixel",
        value,
        f"{fit.chi2_bright:.2f} in the bright part; white noise gives 1",
    )
    screen = tree["degeneracy"].to_dataset().sel(direction="screen")
    yield (
        "Uniform screen, posterior / prior sd",
        f"{float(screen['contraction']):.2f}",
        f"divergence {float(screen['kl']):.1f} \u00b1 {float(screen['kl_error']):.1f} nat"
        if np.isfinite(screen["kl"])
        else "beyond the prior's draws: no divergence",
    )
    inform = light_weighted_inform(tree)
    yield "Posterior / prior sd of A", f"{inform:.2f}", "light-weighted; 1 where data say nothing"
    scalars = [r for r in rows if np.isfinite(r.rhat)]
    if scalars:
        ess = min(min(r.ess_bulk, r.ess_tail) for r in scalars)
        yield "Worst R-hat", f"{max(r.rhat for r in scalars):.3f}", f"least ESS {ess:.0f}"


def light_weighted_inform(tree: xr.DataTree) -> float:
    """Mean over the host's light of the posterior over the prior sd of A."""
    inform, light = tree["maps"]["A_inform"].values, tree["maps"]["S_mean"].values
    known = np.isfinite(inform) & np.isfinite(light)
    total = light[known].sum()
    return float((inform[known] * light[known]).sum() / total) if total > 0 else np.nan


def interval(row: Row) -> str:
    """Median with its distances to 16 and 84%: 0.26 +0.06 -0.06 mag."""
    if not np.isfinite(row.q50):
        return "not finite"
    if row.sd == 0:
        return f"{row.q50:g} in every draw"
    up, down = row.q84 - row.q50, row.q50 - row.q16
    unit = f" {row.unit}" if row.unit else ""
    least = row.sd
    return f"{number(row.q50, least)} +{number(up, least)} \u2212{number(down, least)}{unit}"


def number(value: float, error: float) -> str:
    """Write a number to two digits of its error."""
    if not np.isfinite(value):
        return "none"
    if not np.isfinite(error) or error <= 0:
        return f"{value:.4g}"
    decimals = 1 - int(np.floor(np.log10(error)))
    if decimals > 6 or abs(value) >= 1e7:
        return f"{value:.4g}"
    return f"{value:.{max(decimals, 0)}f}"


def _data_or_prior(inform: float) -> str:
    if not np.isfinite(inform):
        return "How far the data speak against the prior is not known."
    if inform > MOSTLY_PRIOR:
        return (
            f"Over the host's light the dust map is {inform:.0%} as uncertain as before the data "
            "were seen: it shows mostly the prior."
        )
    return (
        f"Over the host's light the error of the dust map is {inform:.0%} of the prior's: the "
        "data speak."
    )
