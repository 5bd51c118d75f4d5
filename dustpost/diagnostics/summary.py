"""One row per scalar of the posterior: its estimate, its error, and what both are worth."""

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr

from dustpost.diagnostics.shares import levelled, share_of
from dustpost.io.netcdf import import_arviz
from dustpost.results import SCALARS


class Row(NamedTuple):
    """Posterior of one scalar.

    Attributes
    ----------
    name, band : str
        Variable of the group `posterior`, and the band, "" where there is none.
    mean, sd, q16, q50, q84 : float
        Over all chains and draws, in `unit`.
    rhat, ess_bulk, ess_tail : float
        Rank-normalised split R-hat and effective sample sizes (Vehtari et al. 2021);
        nan for a scalar that never moves.
    mcse : float
        Monte Carlo standard error of `mean`, in `unit`.
    unit : str
    prior_sd, contraction : float
        Sd of the prior where it was drawn from, and posterior over prior sd.
    """

    name: str
    band: str
    mean: float
    sd: float
    q16: float
    q50: float
    q84: float
    rhat: float
    ess_bulk: float
    ess_tail: float
    mcse: float
    unit: str
    prior_sd: float = np.nan
    contraction: float = np.nan

    @property
    def label(self) -> str:
        """Name with the band in brackets, where there is one."""
        return f"{self.name}[{self.band}]" if self.band else self.name


def scalar_series(tree: xr.DataTree) -> list[tuple[str, str, np.ndarray, str]]:
    """All scalars of the posterior as (name, band, (chain, draw) array, unit)."""
    series = []
    for name in SCALARS:
        variable = tree["posterior"][name]
        unit = variable.attrs.get("units", "")
        if "band" in variable.dims:
            for band in variable["band"].values:
                series.append((name, str(band), variable.sel(band=band).values, unit))
        else:
            series.append((name, "", variable.values, unit))
    return series


def summarise(tree: xr.DataTree) -> list[Row]:
    """Estimate every scalar of the posterior, its convergence measured by ArviZ."""
    share = share_of(tree)
    return [
        Row(
            *(name, band, *_estimates(draws)),
            *_convergence(levelled(draws, share)),
            *(unit, *_prior(tree, name, draws)),
        )
        for name, band, draws, unit in scalar_series(tree)
    ]


def _prior(tree: xr.DataTree, name: str, draws: np.ndarray) -> tuple[float, float]:
    if "prior" not in tree or name not in tree["prior"] or draws.size < 2:
        return np.nan, np.nan
    before = tree["prior"][name].values
    sd = float(before.std(ddof=1)) if before.size > 1 else np.nan
    return sd, float(draws.std(ddof=1)) / sd if sd > 0 else np.nan


def _estimates(draws: np.ndarray) -> tuple[float, ...]:
    low, middle, high = np.quantile(draws, [0.16, 0.5, 0.84])
    sd = draws.std(ddof=1) if draws.size > 1 else np.nan
    return float(draws.mean()), float(sd), float(low), float(middle), float(high)


def _convergence(draws: np.ndarray) -> tuple[float, ...]:
    chains, length = draws.shape
    # ArviZ calls a series that never moves perfect: ESS = number of draws.
    if length < 4 or not np.isfinite(draws).all() or np.ptp(draws) == 0:
        return (np.nan,) * 4
    arviz = import_arviz()
    data = xr.Dataset({"value": (("chain", "draw"), draws.astype(float))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # frozen chains divide by zero: inf
        rhat = arviz.rhat(data, method="rank") if chains > 1 else None
        bulk = arviz.ess(data, method="bulk")
        tail = arviz.ess(data, method="tail")
        mcse = arviz.mcse(data, method="mean")
    found = [np.nan if d is None else float(d["value"]) for d in (rhat, bulk, tail, mcse)]
    return tuple(found)
