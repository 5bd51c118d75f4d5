"""How far the data speak on the covering-fraction degeneracy, galaxy by galaxy, as numbers.

Two directions along which the likelihood is flat, or nearly so:

screen    log_screen = sum S ln D: D -> c D, F_i -> F_i c^{-k_i} changes no model pixel
          (Siegel & Melchior 2024); bare light or the priors alone can fix it
contrast  sum w v ln D / (sum w v^2)^{1/2}, v = E[ln D] - sum w E[ln D], w = E[S]: how deep the
          pattern of the mean map is; a grey curve (delta large) trades it for S

For each: sd of prior and posterior, their ratio (contraction: 1 where the data say nothing,
0 where they say all), the Kullback-Leibler divergence in nats (`divergence`), correlations with
ln F_i and delta. The screen's sd is set against Fisher bounds (`fisher`), and its modes are
counted (`modes`). The prior is that of the dust given the hosts of the posterior.
"""

import numpy as np
import xarray as xr

from dustpost.diagnostics import divergence, ranks
from dustpost.diagnostics.modes import modes
from dustpost.diagnostics.shares import levelled, share_of

DIRECTIONS = ("screen", "contrast")
MAGNITUDE = 2.5 / np.log(10.0)  # mag of an optical depth of 1
LEAST_TRANSMISSION = 1e-10
MIXED = 1.1  # R-hat above which chains stand for starts, and modes are not counted
TOLD, UNTOLD = 0.5, 0.9  # contraction below which data tell, above which the prior does
ABOUT = {
    "prior_sd": "prior sd of ln D along the direction",
    "posterior_sd": "posterior sd of ln D along the direction",
    "contraction": "posterior over prior sd; 1: the data say nothing",
    "kl": "divergence of the posterior from the prior, nat",
    "kl_error": "its Monte Carlo error, nat",
    "corr_log_flux": "posterior correlation with ln F of the band",
    "corr_delta": "posterior correlation with delta",
    "corr_host": "posterior correlation with the same pattern in ln S",
    "rhat": "rank-normalised split R-hat",
    "ess_bulk": "bulk effective sample size",
    "fisher_sd": "Fisher bound, the dust's prior a Gaussian, S free in every pixel",
    "fisher_sd_pixels": "Fisher bound, S and D free in every pixel",
    "sd_over_fisher": "posterior_sd / fisher_sd",
    "mode_centre": "mean log_screen of each mode; nan where chains do not agree",
    "mode_weight": "share of the draws in each mode; nan where chains do not agree",
}


def contrast(host: np.ndarray, transmission: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light w and unit pattern v of the mean map, (y, x) each, from draws (..., y, x)."""
    plane = host.shape[-2:]
    light = host.reshape(-1, *plane).mean(axis=0, dtype=float)
    light = light / light.sum()
    mean = log_of(transmission).reshape(-1, *plane).mean(axis=0)
    pattern = mean - (light * mean).sum()
    size = np.sqrt((light * pattern**2).sum())
    return light, pattern / size if size > 0 else pattern


def along(image: np.ndarray, light: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Light-weighted projection of images (..., y, x) on a pattern, (...)."""
    return np.sum(image * light * pattern, axis=(-2, -1), dtype=float)


def log_of(image: np.ndarray) -> np.ndarray:
    """ln of an image, 0 kept finite."""
    return np.log(np.maximum(image, LEAST_TRANSMISSION))


def degeneracy(
    tree: xr.DataTree,
    fisher: dict[str, float] | None = None,
    weight: np.ndarray | None = None,
) -> xr.Dataset:
    """Measure the degeneracy in a posterior.

    Parameters
    ----------
    tree : xarray.DataTree
        With the groups posterior, posterior_maps, prior and sample_stats of
        `dustpost.results`.
    fisher : dict, optional
        `fisher_sd` and `fisher_sd_pixels` of log_screen, in ln D.
    weight : ndarray, (chain, draw), optional
        Of the posterior's draws, as `dustpost.sensitivity` makes them; equal by default.
        R-hat and ESS stay those of the draws.

    Returns
    -------
    xarray.Dataset
        The variables of `ABOUT` over `direction`, `band` and `mode`; in ln D, as
        log_screen is.
    """
    posterior, maps, prior = (tree[name] for name in ("posterior", "posterior_maps", "prior"))
    at = np.searchsorted(posterior["draw"], maps["draw"])
    kept = posterior.isel(draw=at)
    each = np.ones(posterior["log_screen"].shape) if weight is None else weight
    screens = {
        "screen": (posterior["log_screen"].values, prior["log_screen"].values, posterior, each),
        "contrast": (maps["contrast"].values, prior["contrast"].values, kept, each[:, at]),
    }
    shares = {"screen": share_of(tree), "contrast": share_of(tree, at)}
    light, pattern = contrast(maps["S"].values, maps["D"].values)
    of_host = along(log_of(maps["S"].values), light, pattern)
    columns: dict[str, list] = {name: [] for name in ABOUT}
    for direction in DIRECTIONS:
        draws, before, beside, w = screens[direction]
        judged = levelled(draws, shares[direction])
        before = before[np.isfinite(before)]
        sd = [deviation(before, np.ones(before.shape)), deviation(draws, w)]
        flux = log_of(beside["F"].values)
        found = dict(
            prior_sd=sd[0],
            posterior_sd=sd[1],
            contraction=sd[1] / sd[0] if sd[0] > 0 else np.nan,
            corr_log_flux=[correlation(draws, flux[..., i], w) for i in range(flux.shape[-1])],
            corr_delta=correlation(draws, beside["delta"].values, w),
            corr_host=correlation(draws, of_host, w) if direction == "contrast" else np.nan,
            rhat=float(ranks.rhat(judged[..., None])[0]),
            ess_bulk=float(ranks.bulk_ess(judged[..., None])[0]),
        )
        every = divergence.stride(judged)
        found["kl"], found["kl_error"] = divergence.kl(draws, before, w, every)
        for name, value in found.items():
            columns[name].append(value)
    variables = {
        name: (("direction", "band") if name == "corr_log_flux" else ("direction",), values)
        for name, values in columns.items()
        if values
    }
    bounds = {"fisher_sd": np.nan, "fisher_sd_pixels": np.nan} | (fisher or {})
    variables |= {name: ((), float(value)) for name, value in bounds.items()}
    posterior_sd = columns["posterior_sd"][0]
    variables["sd_over_fisher"] = ((), posterior_sd / float(bounds["fisher_sd"]))
    agree = columns["rhat"][0] <= MIXED
    centre, weight = modes(screens["screen"][0], each) if agree else ([np.nan], [np.nan])
    variables |= {"mode_centre": ("mode", centre), "mode_weight": ("mode", weight)}
    found = xr.Dataset(variables, {"direction": list(DIRECTIONS), "band": posterior["band"].values})
    for name in found.data_vars:
        units = {"kl": "nat", "kl_error": "nat"}.get(name, "")
        found[name].attrs = {"units": units, "description": ABOUT[name]}
    return found


def deviation(x: np.ndarray, weight: np.ndarray) -> float:
    """Standard deviation of weighted draws; nan where fewer than two count."""
    total, squares = weight.sum(), np.sum(weight**2)
    if not total**2 > squares * (1 + 1e-9):
        return np.nan
    away = x - np.sum(weight * x) / total
    return float(np.sqrt(np.sum(weight * away**2) / (total - squares / total)))


def correlation(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Pearson's, over all draws; nan where one of them never moves."""
    if np.ptp(x) == 0 or np.ptp(y) == 0 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return np.nan
    away = [z - np.average(z, weights=weight) for z in (x, y)]
    products = [np.sum(weight * a * b) for a, b in (away, away[:1] * 2, away[1:] * 2)]
    return float(products[0] / np.sqrt(products[1] * products[2]))


def sentence(found: xr.Dataset, k_reference: float = 1.0) -> str:
    """What the data know of a uniform screen, in plain words.

    Parameters
    ----------
    found : xarray.Dataset
        As `degeneracy` gives it.
    k_reference : float
        k at 0.4754 micron, by which ln D becomes A.
    """
    screen = found.sel(direction="screen")
    scale = MAGNITUDE * k_reference
    sd, prior = (scale * float(screen[name]) for name in ("posterior_sd", "prior_sd"))
    ratio = float(screen["contraction"])
    if not np.isfinite(ratio):
        return (
            "How much of a uniform screen the data fix is not known: prior or chains stand still."
        )
    if ratio >= UNTOLD:
        text = f"The amount of a uniform screen is prior: {sd:.2g} mag, {ratio:.0%} of the prior's"
    elif ratio > TOLD:
        text = f"The data narrow a uniform screen to {sd:.2g} mag, from {prior:.2g} before them"
    else:
        text = f"The data fix a uniform screen to {sd:.2g} mag, from {prior:.2g} before them"
    share = found["mode_weight"].values
    if share.size > 1:
        centres = ", ".join(
            f"{-scale * c:.2g} mag ({w:.0%})"
            for c, w in zip(found["mode_centre"].values, share, strict=True)
        )
        text += f"; there are {share.size} solutions, with mean A of {centres}"
    return text + "."
