"""Every number that a fit reports, of weighted draws: rows of sensitivity.ecsv."""

import numpy as np
import xarray as xr

from dustpost.diagnostics.degeneracy import DIRECTIONS, degeneracy, deviation
from dustpost.diagnostics.summary import scalar_series

QUANTILES = (0.16, 0.5, 0.84)
COLUMNS = {
    "choice": "priors of F and delta, see dustpost.sensitivity.choices",
    "how": "drawn: sampled under these priors; weighed: draws of `fitted`, by importance",
    "pareto_k": "of the weights; above 0.7 the row is not to be trusted",
    "effective": "effective number of draws behind the row",
    "name": "variable of the group posterior, or direction.variable of the group degeneracy",
    "band": "band, empty where there is none",
    "unit": "unit of mean, sd, quantiles and change",
    "mean": "posterior mean; of numbers of the group degeneracy their value",
    "sd": "posterior standard deviation; of kl its Monte Carlo error",
    "q16": "16% quantile",
    "q50": "median",
    "q84": "84% quantile",
    "contraction": "sd over the sd of the prior; nan where the prior was not drawn from",
    "change": "mean less that under `fitted`",
    "shift": "change in units of the sd under `fitted`",
    "sd_ratio": "sd over that under `fitted`",
}


def numbers(
    tree: xr.DataTree, weight: np.ndarray, slope_sd: float, fisher: dict[str, float]
) -> list[dict]:
    """Rows of one choice, without what compares them.

    Parameters
    ----------
    tree : xarray.DataTree
    weight : ndarray, (chain, draw)
    slope_sd : float
        Prior sd of delta.
    fisher : dict
        Bounds, see `diagnostics.degeneracy.degeneracy`.
    """
    prior = tree["prior"]
    prior_sd = {
        name: deviation(prior[name].values, np.ones(prior[name].shape)) for name in prior.data_vars
    } | {"delta": slope_sd}
    rows = []
    for name, band, draws, unit in scalar_series(tree):
        sd, before = deviation(draws, weight), prior_sd.get(name, np.nan)
        low, middle, high = quantiles(draws, weight, QUANTILES)
        row = dict(name=name, band=band, unit=unit, mean=np.average(draws, weights=weight), sd=sd)
        row |= dict(q16=low, q50=middle, q84=high)
        rows.append(row | dict(contraction=sd / before if before > 0 else np.nan))
    return rows + _of_degeneracy(degeneracy(tree, fisher, weight))


def _of_degeneracy(found: xr.Dataset) -> list[dict]:
    rows = []
    for name, variable in found.data_vars.items():
        if name in ("kl_error", "rhat", "ess_bulk") or "mode" in variable.dims:
            continue
        for direction in DIRECTIONS if "direction" in variable.dims else ("screen",):
            of_one = variable.sel(direction=direction) if "direction" in variable.dims else variable
            error = found["kl_error"].sel(direction=direction) if name == "kl" else np.nan
            bands = of_one["band"].values if "band" in of_one.dims else ("",)
            for band, value in zip(bands, np.atleast_1d(of_one.values), strict=True):
                rows.append(
                    dict(
                        name=f"{direction}.{name}",
                        band=str(band),
                        unit=variable.attrs["units"],
                        mean=float(value),
                        sd=float(error),
                        **dict.fromkeys(("q16", "q50", "q84", "contraction"), np.nan),
                    )
                )
    rows.append(rows[-1] | dict(name="screen.modes", mean=float(found.sizes["mode"])))
    rows[-1]["mean"] = rows[-1]["mean"] if np.isfinite(found["mode_weight"]).all() else np.nan
    return rows


def quantiles(draws: np.ndarray, weight: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Of weighted draws, between their midpoints in weight."""
    order = np.argsort(draws, axis=None)
    x, w = draws.ravel()[order], weight.ravel()[order]
    return np.interp(levels, (np.cumsum(w) - w / 2) / w.sum(), x)


def compare(rows: list[dict], fitted: list[dict]) -> list[dict]:
    """Add change, shift and ratio of sd to the rows of a choice."""
    known = {(row["name"], row["band"]): row for row in fitted}
    found = []
    for row in rows:
        base = known[row["name"], row["band"]]
        own = "." not in row["name"] and base["sd"] > 0
        change = row["mean"] - base["mean"]
        found.append(
            row
            | dict(
                change=change,
                shift=change / base["sd"] if own else np.nan,
                sd_ratio=row["sd"] / base["sd"] if own else np.nan,
            )
        )
    return found
