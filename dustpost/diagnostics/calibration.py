"""Do posteriors hold the truth as often as they say? Simulation-based calibration (SBC).

Talts et al. 2018, arXiv:1804.06788: draw a truth from the prior, data from the truth, L
independent draws from the posterior of these data. The rank of the truth among the draws,
#{draw < truth}, is then uniform on 0..L; ranks crowd at both ends where posteriors are too
narrow, in the middle where they are too wide, at one end where they are biased. Example, for
a model of your own:

    truth = ...                # (simulation, quantity)
    draws = thin(...)          # (simulation, chain, draw, quantity) -> (simulation, kept, quantity)
    findings = check_ranks(sbc_ranks(truth, draws), draws.shape[1], names)

Uniform ranks are necessary and not sufficient: a sampler that gives back its prior passes.
Look at `coverage.interval_coverage` and `tarp.tarp` too, and at the widths.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from dustpost.diagnostics.ecdf import ecdf_test
from dustpost.diagnostics.ranks import bulk_ess
from dustpost.errors import DustpostError
from dustpost.findings import Finding

SLOWER = 0.05  # share of the simulations whose ESS may be below what is kept
LEAST_KEPT = 10  # draws per simulation: fewer ranks than these show nothing
WARNING, ERROR = 0.05, 0.001  # probability of a false alarm, all quantities together
NOTABLE = 2.0  # standard errors, for the words about a failure


def thin(draws: np.ndarray) -> np.ndarray:
    """Keep as many evenly spaced draws as nearly all simulations have independent ones.

    SBC takes draws for independent; those of a chain that moves slowly crowd, and their
    ranks look like those of a posterior that is too narrow.

    Parameters
    ----------
    draws : ndarray, (simulation, chain, draw, ...)

    Returns
    -------
    ndarray, (simulation, kept, ...)
        The same number of draws for all simulations: the bulk ESS that 95% of them reach in
        the quantity that mixes worst (the least of many estimates would be mostly noise).

    Raises
    ------
    DustpostError
        Where a quantity stands still, or more than 5% of the simulations have an ESS below 10.
    """
    draws = np.asarray(draws, dtype=np.float64)
    if draws.ndim < 3:
        raise DustpostError(
            f"Draws to thin need the shape (simulation, chain, draw, ...), not {draws.shape}."
        )
    ess = np.array([bulk_ess(one) for one in draws]).reshape(len(draws), -1)
    still = np.flatnonzero(np.isnan(ess).any(axis=1))
    if still.size:
        raise DustpostError(
            f"In {still.size} simulation(s), the first of them {still[0]}, a quantity stands "
            "still, is not finite or has fewer than 4 draws: mend the sampler first."
        )
    reached = np.quantile(ess, SLOWER, axis=0).min()
    if not reached >= LEAST_KEPT:
        raise DustpostError(
            f"The slowest {SLOWER:.0%} of the simulations have an effective sample size below "
            f"{reached:.3g}, where at least {LEAST_KEPT} is needed: draw longer chains (to leave "
            "them out would select truths)."
        )
    pooled = draws.reshape(len(draws), -1, *draws.shape[3:])
    keep = min(int(reached), pooled.shape[1])
    return pooled[:, np.arange(keep) * pooled.shape[1] // keep]


def sbc_ranks(
    truth: np.ndarray, draws: np.ndarray, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Rank of every truth among its posterior draws, ties broken at random.

    Parameters
    ----------
    truth : ndarray, (simulation, ...)
    draws : ndarray, (simulation, draw, ...)
        Independent draws: use `thin` on those of chains.
    rng : numpy.random.Generator, optional
        For ties; one with seed 0 by default.

    Returns
    -------
    ndarray of int, (simulation, ...)
        On 0..L, L the number of draws.
    """
    truth, draws = as_simulations(truth, draws)
    rng = np.random.default_rng(0) if rng is None else rng
    below = (draws < truth[:, None]).sum(axis=1)
    ties = (draws == truth[:, None]).sum(axis=1)
    return below + rng.integers(0, ties, endpoint=True)


def as_simulations(truth: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give both as float64 after a look at their shapes.

    Raises
    ------
    DustpostError
        Where the shapes are not (simulation, ...) and (simulation, draw, ...), there are
        fewer than 2 simulations or no draws, or a number is not finite.
    """
    truth, draws = np.asarray(truth, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    shape = draws.shape[:1] + draws.shape[2:]
    if truth.ndim < 1 or draws.ndim != truth.ndim + 1 or shape != truth.shape:
        raise DustpostError(
            "Truths need the shape (simulation, ...) and draws (simulation, draw, ...), not "
            f"{truth.shape} and {draws.shape}."
        )
    if len(truth) < 2 or draws.size == 0:
        raise DustpostError(
            f"Calibration needs at least 2 simulations with draws, not shape {draws.shape}."
        )
    for name, values in (("truth", truth), ("draws", draws)):
        bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        if bad.size:
            raise DustpostError(
                f"The {name} of {bad.size} simulation(s), the first of them {bad[0]}, are not "
                "finite: find out why first, for to leave them out selects truths."
            )
    return truth, draws


def check_ranks(ranks: np.ndarray, draws: int, names: Sequence[str] | None = None) -> list[Finding]:
    """Judge the ranks of some quantities, with words about what is wrong with a posterior.

    Parameters
    ----------
    ranks : ndarray of int, (simulation,) or (simulation, quantity)
    draws : int
        Number of draws among which each truth was ranked.
    names : sequence of str, optional
        Names of the quantities.

    Returns
    -------
    list of Finding
        A warning for each quantity outside the 95% band (an error outside the 99.9% band);
        the bands hold for all quantities together (Bonferroni). A single "info" where all
        are inside.
    """
    ranks = np.asarray(ranks)
    ranks = ranks[:, None] if ranks.ndim == 1 else ranks
    if ranks.ndim != 2:
        raise DustpostError(
            f"Ranks to judge need the shape (simulation, quantity), not {ranks.shape}."
        )
    names = [f"quantity {i}" for i in range(ranks.shape[1])] if names is None else list(names)
    if len(names) != ranks.shape[1]:
        raise DustpostError(f"{len(names)} names were given for {ranks.shape[1]} quantities.")
    p_value = ecdf_test(ranks, draws, 1 - WARNING / len(names)).p_value
    findings = list(_outside(names, ranks, draws, p_value))
    if not findings:
        text = (
            f"The ranks of {len(ranks)} simulations lie inside the {1 - WARNING:.0%} band for "
            f"{len(names)} quantity(ies); least p-value {p_value.min():.2g}."
        )
        findings = [Finding("info", "sbc", text)]
    return findings


def _outside(
    names: list[str], ranks: np.ndarray, draws: int, p_value: np.ndarray
) -> Iterable[Finding]:
    for name, column, p in zip(names, ranks.T, p_value, strict=True):
        together = min(1.0, p * len(names))
        if not together > WARNING:
            yield Finding(
                "error" if not together > ERROR else "warning",
                "sbc",
                f"{name}: its ranks are not uniform (p = {together:.2g}): {_why(column, draws)}.",
            )


def _why(ranks: np.ndarray, draws: int) -> str:
    """Bias or width, by the mean and the spread of the ranks on (0, 1)."""
    u = (ranks + 0.5) / (draws + 1)
    shift = (u.mean() - 0.5) * np.sqrt(12 * len(u))  # in standard errors of uniform u
    spread = (np.abs(u - 0.5).mean() - 0.25) * np.sqrt(48 * len(u))
    words = {
        "posteriors lie too low, look for a bias in the model or its prior": shift,
        "posteriors lie too high, look for a bias in the model or its prior": -shift,
        "posteriors are too narrow, look for chains that were thinned too little or have not "
        "converged, then for noise that is underestimated": spread,
        "posteriors are too wide, look for noise that is overestimated or a prior wider than "
        "that of the simulations": -spread,
    }
    said = [text for text, z in sorted(words.items(), key=lambda w: -w[1]) if z > NOTABLE]
    return "; ".join(said) or "neither their mean nor their width is off, look at the ECDF"
