"""Do intervals of a given mass hold the truth that often?

Central intervals lie between the quantiles (1 - mass)/2 and (1 + mass)/2 at plotting
positions i / (L + 1) (Weibull), which makes the coverage exact for L independent draws. The
highest-density (HPD) interval is the shortest one (Hyndman 1996, American Statistician 50,
120), from ArviZ; chosen for being short it holds a little less than its mass: of a Gaussian,
0.45 for 0.5 at 100 draws, 0.49 at 1000.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dustpost.diagnostics.calibration import as_simulations
from dustpost.errors import DustpostError
from dustpost.io.netcdf import import_arviz


class Coverage(NamedTuple):
    """How often intervals hold the truth.

    Attributes
    ----------
    mass : ndarray, (mass,)
        What the intervals promise.
    covered : ndarray, (mass, ...)
        Share of the simulations whose interval holds the truth.
    error : ndarray, (mass,)
        Binomial standard deviation of `covered` if the promise is kept.
    """

    mass: np.ndarray
    covered: np.ndarray
    error: np.ndarray


def interval_coverage(
    truth: np.ndarray,
    draws: np.ndarray,
    mass: Sequence[float] = (0.5, 0.68, 0.95),
    kind: str = "central",
) -> Coverage:
    """Share of the simulations whose intervals hold the truth.

    Parameters
    ----------
    truth : ndarray, (simulation, ...)
    draws : ndarray, (simulation, draw, ...)
        Draws of chains need no thinning here, but an ESS of some hundreds.
    mass : sequence of float
        Each in (0, 1).
    kind : {"central", "hpd"}

    Raises
    ------
    DustpostError
        Where shapes do not agree, or the draws are too few for so great a mass.
    """
    truth, draws = as_simulations(truth, draws)
    intervals = {"central": _central, "hpd": _hpd}
    if kind not in intervals:
        raise DustpostError(f"Intervals are 'central' or 'hpd', but {kind!r} was given.")
    mass = np.atleast_1d(np.asarray(mass, dtype=np.float64))
    if not ((mass > 0) & (mass < 1)).all():
        raise DustpostError(f"Masses lie between 0 and 1, but {mass.tolist()} were given.")
    needed = int(np.ceil(2 / (1 - mass.max()) - 1 - 1e-9))  # the outermost draws then suffice
    if draws.shape[1] < needed:
        raise DustpostError(
            f"Intervals of mass {mass.max():g} need at least {needed} draws, not {draws.shape[1]}."
        )
    ends = [intervals[kind](draws, m) for m in mass]
    covered = [((low <= truth) & (truth <= high)).mean(axis=0) for low, high in ends]
    return Coverage(mass, np.array(covered), np.sqrt(mass * (1 - mass) / len(truth)))


def _central(draws: np.ndarray, mass: float) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.quantile(draws, [0.5 - 0.5 * mass, 0.5 + 0.5 * mass], axis=1, method="weibull")
    return low, high


def _hpd(draws: np.ndarray, mass: float) -> tuple[np.ndarray, np.ndarray]:
    arviz = import_arviz()
    last = np.moveaxis(draws, 1, -1)
    series = last.reshape(-1, last.shape[-1])
    if int(arviz.__version__.split(".")[0]) >= 1:
        ends = arviz.hdi(series, prob=mass)
    else:
        ends = arviz.hdi(series.T[None], hdi_prob=mass)  # (chain, draw, series)
    low, high = ends.T.reshape(2, *last.shape[:-1])
    return low, high
