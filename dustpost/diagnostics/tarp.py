"""Expected coverage of all quantities at once, by tests of accuracy with random points (TARP).

Lemos, Coogan, Hezaveh & Perreault-Levasseur 2023, ICML, arXiv:2302.03026. For simulation i,
truth t_i, draws x_ij and a reference point r_i that knows nothing of the truth:

    f_i = #{j: |x_ij - r_i| < |t_i - r_i|},    coverage(k) = share of i with f_i < k

which is k / (L + 1) for every k where the posteriors are right. A curve that is flatter than
that in the middle and steeper at the ends means too narrow, the reverse too wide, an arc a
bias. Here every simulation has several references, which lessens the noise; simulations are
resampled whole for the errors. Distances are in units of the spread of the truths; references
are uniform in the box of the truths, as in the authors' code. Around such references a bias
partly cancels: one of 0.4 posterior sd in 8 quantities can pass with 400 simulations, where
SBC sees it. References that depend on the data see more.
"""

from typing import NamedTuple

import numpy as np

from dustpost.diagnostics.calibration import as_simulations
from dustpost.diagnostics.ecdf import rank_levels
from dustpost.errors import DustpostError

POINTS = 100  # on the coverage curve
BOOTSTRAPS = 1000


class Tarp(NamedTuple):
    """Expected coverage.

    Attributes
    ----------
    level : ndarray, (point,)
        Mass of the credible regions.
    coverage, error : ndarray, (point,)
        Share of the truths within them, and its bootstrap standard deviation.
    deviation, deviation_error : float
        Greatest |coverage - level|, and its bootstrap standard deviation. Noise alone makes
        it greater than 0, see p_value.
    p_value : float
        Share of the bootstraps that deviate as much from the curve found as this does from
        the level.
    """

    level: np.ndarray
    coverage: np.ndarray
    error: np.ndarray
    deviation: float
    deviation_error: float
    p_value: float


def tarp(
    truth: np.ndarray,
    draws: np.ndarray,
    references: int | np.ndarray = 20,
    rng: np.random.Generator | None = None,
) -> Tarp:
    """Expected coverage of posteriors of several quantities.

    Parameters
    ----------
    truth : ndarray, (simulation, quantity)
    draws : ndarray, (simulation, draw, quantity)
        Independent draws: use `calibration.thin` on those of chains.
    references : int or ndarray, (simulation, reference, quantity)
        Number of random reference points per simulation, or the points themselves. They may
        depend on the data of their simulation, never on its truth or its draws.
    rng : numpy.random.Generator, optional
        For references and bootstraps; one with seed 0 by default.

    Raises
    ------
    DustpostError
        Where shapes do not agree or a number is not finite.
    """
    truth, draws = as_simulations(truth, draws)
    if truth.ndim != 2:
        raise DustpostError(
            f"TARP needs truths of shape (simulation, quantity), not {truth.shape}: flatten them."
        )
    rng = np.random.default_rng(0) if rng is None else rng
    references = _references(truth, references, rng)
    counts = _nearer(truth, draws, references)  # (simulation, reference)
    k = rank_levels(draws.shape[1], POINTS)
    within = (counts[:, :, None] < k).mean(axis=1)  # (simulation, point)
    level, coverage = k / (draws.shape[1] + 1), within.mean(axis=0)
    deviation = np.abs(coverage - level).max()

    resampled = _bootstrap(within, rng)
    strayed = np.abs(resampled - coverage).max(axis=1) >= deviation
    return Tarp(
        level=level,
        coverage=coverage,
        error=resampled.std(axis=0),
        deviation=float(deviation),
        deviation_error=float(np.abs(resampled - level).max(axis=1).std()),
        p_value=float((1 + strayed.sum()) / (1 + BOOTSTRAPS)),
    )


def _references(
    truth: np.ndarray, references: int | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    size, quantities = truth.shape
    if np.ndim(references) == 0:
        if not references >= 1:
            raise DustpostError(f"TARP needs at least 1 reference point, not {references}.")
        shape = (size, int(references), quantities)
        return rng.uniform(truth.min(axis=0), truth.max(axis=0), shape)
    points = np.asarray(references, dtype=np.float64)
    right = points.ndim == 3 and points.shape[::2] == truth.shape and points.shape[1] >= 1
    if not (right and np.isfinite(points).all()):
        raise DustpostError(
            f"References must be finite and of shape ({size}, reference, {quantities}), as the "
            f"truths are, not {points.shape}."
        )
    return points


def _nearer(truth: np.ndarray, draws: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Number of draws nearer to each reference than the truth is, (simulation, reference)."""
    spread = truth.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    counts = np.empty(references.shape[:2], dtype=int)
    for i, points in enumerate(references):  # one at a time bounds the memory
        # Seen from the truth: |x - r|^2 < |t - r|^2 becomes |x|^2 < 2 x.r, with no cancellation.
        x, r = (draws[i] - truth[i]) / spread, (points - truth[i]) / spread
        counts[i] = ((x**2).sum(axis=1)[:, None] < 2 * x @ r.T).sum(axis=0)
    return counts


def _bootstrap(within: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Coverage of resampled simulations, (bootstrap, point)."""
    size = len(within)
    weight = rng.multinomial(size, np.full(size, 1 / size), BOOTSTRAPS)
    return weight @ within / size
