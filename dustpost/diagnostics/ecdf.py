"""Are ranks uniform? ECDF minus its expectation, in a band that holds for all points at once.

Saeilynoja, Buerkner & Vehtari 2022, Statistics and Computing 32, 32. Of n uniform ranks on
0..L, the number below k is N_k ~ Binomial(n, z_k), z_k = k / (L + 1), and N_k is a Markov
chain: given N_j, N_k - N_j ~ Binomial(n - N_j, (z_k - z_j) / (1 - z_j)). With

    tail_k = min(P(N_k <= observed), P(N_k >= observed)),   s = min over k of tail_k

the band is {tail_k > c}. P(s > c) follows from the chain exactly, without simulation, so
the band and the p-value P(s <= observed s) come from one recursion and always agree. ArviZ
has the recursion in 0.23 and only a simulation in 1.x, both private.
"""

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from dustpost.errors import DustpostError

POINTS = 50  # where the ECDF is looked at; more make the band wider and the recursion slower
HALVINGS = 40  # of the interval that holds c
ROUNDING = 1 + 1e-9  # equal tails of the two sides differ in their last digits


class EcdfTest(NamedTuple):
    """ECDF of ranks against the uniform.

    Attributes
    ----------
    level : ndarray, (point,)
        z_k, expected share of the ranks below k.
    difference : ndarray, (point, ...)
        Observed less expected share.
    lower, upper : ndarray, (point,)
        Ends of the simultaneous band of the difference; they are inside it.
    inside : ndarray of bool, (...)
        Whether a quantity stays inside at every point.
    p_value : ndarray, (...)
        Probability that uniform ranks stray as far; above 1 - mass where inside.
    """

    level: np.ndarray
    difference: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    inside: np.ndarray
    p_value: np.ndarray


def ecdf_test(ranks: np.ndarray, draws: int, mass: float = 0.95) -> EcdfTest:
    """Compare ranks with the uniform distribution on 0..draws.

    Parameters
    ----------
    ranks : ndarray of int, (simulation, ...)
        As `calibration.sbc_ranks` gives them.
    draws : int
        Number of draws (after thinning) among which each truth was ranked.
    mass : float
        Probability that uniform ranks stay inside the band at all points.

    Raises
    ------
    DustpostError
        Where ranks are not integers on 0..draws, are too few, or mass is not in (0, 1).
    """
    ranks = _checked(ranks, draws, mass)
    size = len(ranks)
    k = rank_levels(draws, POINTS)
    level = k / (draws + 1)
    tails = _tails(size, level)
    count = np.stack([(ranks < i).sum(axis=0) for i in k])
    least = np.min([tail[c] for tail, c in zip(tails, count, strict=True)], axis=0)

    lower, upper = _inside(tails, _critical(tails, level, mass))
    column = (len(k),) + (1,) * (ranks.ndim - 1)
    inside = (count >= lower.reshape(column)) & (count <= upper.reshape(column))
    return EcdfTest(
        level=level,
        difference=count / size - level.reshape(column),
        lower=lower / size - level,
        upper=upper / size - level,
        inside=inside.all(axis=0),
        p_value=np.vectorize(lambda s: _p_value(tails, level, s), otypes=[float])(least),
    )


def rank_levels(draws: int, points: int) -> np.ndarray:
    """Up to `points` ranks k, evenly spread on 1..draws."""
    return np.unique(
        np.round(np.linspace(0, draws + 1, points + 2)).astype(int)[1:-1].clip(1, draws)
    )


def _checked(ranks: np.ndarray, draws: int, mass: float) -> np.ndarray:
    ranks = np.asarray(ranks)
    if ranks.ndim < 1 or len(ranks) < 2 or not np.issubdtype(ranks.dtype, np.integer):
        raise DustpostError(
            f"Ranks must be integers of shape (simulation, ...) with at least 2 simulations, not "
            f"{ranks.dtype} of shape {ranks.shape}."
        )
    if ranks.min() < 0 or ranks.max() > draws:
        raise DustpostError(
            f"Ranks among {draws} draws lie on 0..{draws}, but these run from {ranks.min()} to "
            f"{ranks.max()}: give the number of draws that was left after thinning."
        )
    if not 0 < mass < 1:
        raise DustpostError(f"The mass of a band lies between 0 and 1, but {mass} was given.")
    return ranks


def _tails(size: int, level: np.ndarray) -> np.ndarray:
    """tail_k of every possible count, (point, count)."""
    count, z = np.arange(size + 1), level[:, None]
    return np.minimum(stats.binom.cdf(count, size, z), stats.binom.sf(count - 1, size, z))


def _inside(tails: np.ndarray, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest count with tail_k > c, each (point,); the counts between have it too."""
    kept = tails > c * ROUNDING
    return kept.argmax(axis=1), tails.shape[1] - 1 - kept[:, ::-1].argmax(axis=1)


def _critical(tails: np.ndarray, level: np.ndarray, mass: float) -> float:
    """Greatest c whose band still has at least this mass."""
    low, high = 0.0, 0.5 * (1 - mass)  # a single point already has the mass at the upper end
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        enough = _band_mass(level, *_inside(tails, middle), tails.shape[1] - 1) >= mass
        low, high = (middle, high) if enough else (low, middle)
    return low


def _p_value(tails: np.ndarray, level: np.ndarray, least: float) -> float:
    if not (tails > least * ROUNDING).any(axis=1).all():  # at some point no count does better
        return 1.0
    mass = _band_mass(level, *_inside(tails, least), tails.shape[1] - 1)
    return float(np.clip(1 - mass, 0, 1))


def _band_mass(level: np.ndarray, lower: np.ndarray, upper: np.ndarray, size: int) -> float:
    """Probability that the Markov chain of the docstring stays inside at every point."""
    log_factorial = special.gammaln(np.arange(size + 1) + 1.0)
    step = np.diff(level, prepend=0.0) / (1 - np.concatenate([[0.0], level[:-1]]))
    before, chance = np.zeros(1, dtype=int), np.ones(1)
    for p, low, high in zip(step, lower, upper, strict=True):
        after = np.arange(low, high + 1)
        gain = after - before[:, None]
        left = size - before[:, None]
        log_pmf = log_factorial[left] - log_factorial[abs(gain)] - log_factorial[left - gain]
        log_pmf = log_pmf + gain * np.log(p) + (left - gain) * np.log1p(-p)
        chance = chance @ np.where(gain >= 0, np.exp(np.where(gain >= 0, log_pmf, 0.0)), 0.0)
        before = after
    return float(chance.sum())
