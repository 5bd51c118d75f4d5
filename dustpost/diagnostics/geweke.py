"""Does a sampler leave the joint density of unknowns and data where it is?

Geweke 2004, Journal of the American Statistical Association 99, 799. Draws from the prior with
data drawn from them are draws from the joint density; so are those that a right sampler makes
of them, with the data held (`geweke_z`: first and last of many short chains) or redrawn after
every step (`geweke_joint_z`: one long chain). Any functional g must have the same mean:

    z = (mean g_last - mean g_first) / standard error  ~  Normal(0, 1)

Use squares and products too, which see widths and ties; |z| above about 4 means an error in
the sampler, or a prior or noise that differ between the sampler and the simulator.
"""

from typing import NamedTuple

import numpy as np

from dustpost.errors import DustpostError
from dustpost.io.netcdf import import_arviz


class JointTest(NamedTuple):
    """Marginal-conditional against successive-conditional means.

    Attributes
    ----------
    z : ndarray, (functional,)
        nan where a chain never moves.
    ess : ndarray, (functional,)
        Of the mean, all chains together; below some hundreds z means little.
    """

    z: np.ndarray
    ess: np.ndarray


def geweke_z(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Paired z-scores of functionals before and after the sampler.

    Parameters
    ----------
    first, last : ndarray, (galaxy, functional)
        Functionals of independent galaxies from the prior, and of the same galaxies after
        some steps of the sampler with their own data.

    Returns
    -------
    ndarray, (functional,)
        nan where nothing moved: compare so that a nan fails.

    Raises
    ------
    DustpostError
        Where the shapes differ or there are fewer than 2 galaxies.
    """
    first, last = np.asarray(first, dtype=np.float64), np.asarray(last, dtype=np.float64)
    if first.ndim != 2 or first.shape != last.shape or len(first) < 2:
        raise DustpostError(
            "Functionals before and after need one shape (galaxy, functional) with at least 2 "
            f"galaxies, not {first.shape} and {last.shape}."
        )
    moved = last - first
    with np.errstate(divide="ignore", invalid="ignore"):  # all moved alike: inf; none: nan
        return moved.mean(axis=0) / (moved.std(axis=0, ddof=1) / np.sqrt(len(moved)))


def geweke_joint_z(marginal: np.ndarray, successive: np.ndarray) -> JointTest:
    """Compare independent draws of the joint density with a chain that redraws its data.

    Parameters
    ----------
    marginal : ndarray, (draw, functional)
        Of independent draws: unknowns from the prior, data from the unknowns.
    successive : ndarray, (chain, draw, functional)
        Of chains that alternate one step of the sampler and new data from the unknowns.

    Raises
    ------
    DustpostError
        Where the shapes do not agree or there are too few draws.
    """
    marginal = np.asarray(marginal, dtype=np.float64)
    successive = np.asarray(successive, dtype=np.float64)
    shapes = marginal.ndim == 2 and successive.ndim == 3
    if not shapes or marginal.shape[1] != successive.shape[2]:
        raise DustpostError(
            "Functionals need the shapes (draw, functional) and (chain, draw, functional), not "
            f"{marginal.shape} and {successive.shape}."
        )
    if len(marginal) < 2 or successive.shape[1] < 4:
        raise DustpostError(
            f"The joint test needs 2 independent draws and chains of 4, not {len(marginal)} and "
            f"{successive.shape[1]}."
        )
    ess = np.array([_ess(series) for series in np.moveaxis(successive, 2, 0)])
    variance = marginal.var(axis=0, ddof=1) / len(marginal)
    variance = variance + successive.var(axis=(0, 1), ddof=1) / ess
    with np.errstate(divide="ignore", invalid="ignore"):  # constants of both kinds
        z = (successive.mean(axis=(0, 1)) - marginal.mean(axis=0)) / np.sqrt(variance)
    return JointTest(z, ess)


def _ess(series: np.ndarray) -> float:
    # ArviZ calls a chain that never moves perfect: ESS = number of draws.
    if not (np.isfinite(series).all() and (np.ptp(series, axis=1) > 0).all()):
        return np.nan
    return float(import_arviz().ess(series, method="mean"))
