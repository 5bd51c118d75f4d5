"""Draws under one prior of F and delta made into draws under another, by weights.

    w = p'(F) p'(delta) / (p(F) p(delta)),

Pareto-smoothed (Vehtari et al. 2024). Only these two priors have a density, and only they
change: the likelihood and the networks cancel. k, the tail of the weights, tells where the
draws under p do not reach what p' asks for: above `K_GOOD` the posterior has to be drawn anew.
Where p' is the wider, few draws may not show that tail; for normals it is known,

    k = greatest eigenvalue of C (P - P'),

C the posterior's covariance in (ln F, delta), P and P' the priors' precisions. The larger of
the two is taken.
"""

from typing import NamedTuple

import jax
import numpy as np
import xarray as xr
from scipy.linalg import block_diag

from dustpost.diagnostics import fisher_pixels, ranks
from dustpost.diagnostics.degeneracy import log_of
from dustpost.diagnostics.shares import levelled, share_of
from dustpost.io.netcdf import import_arviz
from dustpost.posterior import Target
from dustpost.samplers.curvature import flux_precision

K_GOOD = 0.7


class Weights(NamedTuple):
    """Weights of the draws, (chain, draw), of sum 1, and what they are worth.

    Attributes
    ----------
    value : ndarray, (chain, draw)
    pareto_k : float
        Of the draws or of normals, the larger; 0 of equal weights, nan where the ratios are
        not finite.
    effective : float
        Effective number of draws: bulk ESS of mean A times that share of the weights.
    """

    value: np.ndarray
    pareto_k: float
    effective: float

    @property
    def trusted(self) -> bool:
        """Whether k is good."""
        return bool(self.pareto_k <= K_GOOD)


def weights(tree: xr.DataTree, before: Target, after: Target) -> Weights:
    """Weigh the draws of a posterior for the priors of F and delta of another target.

    Parameters
    ----------
    tree : xarray.DataTree
        Drawn under `before`.
    before, after : Target
    """
    posterior = tree["posterior"]
    mean = posterior["mean_attenuation"].values
    share = share_of(tree)
    mean = levelled(mean, share)
    ess = float(ranks.bulk_ess(mean[..., None])[0]) if mean.shape[1] >= 4 else mean.size
    ess = min(ess, mean.size) if ess > 0 else mean.size
    flux, slope = of_template(tree), posterior["delta"].values
    with np.errstate(invalid="ignore"):
        ratio = log_prior(after, flux, slope) - log_prior(before, flux, slope)
    if not np.isfinite(ratio).all():
        return Weights(np.full(ratio.shape, np.nan), np.nan, 0.0)
    if np.ptp(ratio) == 0:
        return Weights(np.full(ratio.shape, 1 / ratio.size), 0.0, ess)
    smoothed, k = pareto_smoothed(ratio.ravel(), ess / ratio.size)
    value = np.exp(smoothed - smoothed.max()).reshape(ratio.shape)
    for number in () if share is None else np.unique(share):  # which no prior moves
        own = share == number
        value[own] *= own.mean() / value[own].sum()
    value = value / value.sum()
    k = max(k, normal_tail(flux, slope, before, after))
    return Weights(value, k, ess / (ratio.size * np.sum(value**2)))


def of_template(tree: xr.DataTree) -> np.ndarray:
    """F of the host's one spectrum, on which its prior is, (chain, draw, band)."""
    return tree["sample_stats"].get("F_template", tree["posterior"]["F"]).values


def log_prior(target: Target, flux: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """ln p(F) p(delta) of draws (..., band) and (...), up to a constant, in nats."""

    def one(flux, slope):
        return target.flux_prior.log_density(flux) + target.slope_prior.log_prob(slope)

    found = jax.jit(jax.vmap(one))(flux.reshape(-1, flux.shape[-1]), slope.ravel())
    return np.asarray(found, float).reshape(slope.shape)


def normal_tail(flux: np.ndarray, slope: np.ndarray, before: Target, after: Target) -> float:
    """k of the weights if posterior and priors are normal in (ln F, delta)."""
    log_flux = log_of(flux).reshape(-1, flux.shape[-1])
    covariance = np.cov(np.column_stack([log_flux, slope.ravel()]), rowvar=False)
    precision = [
        block_diag(flux_precision(target, log_flux.mean(axis=0)), target.slope_prior.scale**-2)
        for target in (before, after)
    ]
    return float(np.linalg.eigvals(covariance @ (precision[0] - precision[1])).real.max())


def pareto_smoothed(log_ratio: np.ndarray, efficiency: float) -> tuple[np.ndarray, float]:
    """Smoothed log weights (n,) and k, by ArviZ."""
    arviz = import_arviz()
    if int(arviz.__version__.split(".")[0]) >= 1:  # there of log-likelihoods: the sign turns
        from arviz_stats.base import array_stats

        smoothed, k = array_stats.psislw(-log_ratio, r_eff=efficiency)
    else:
        smoothed, k = arviz.psislw(log_ratio, efficiency)
    return np.asarray(smoothed), float(k)


def pixel_bound(tree: xr.DataTree, target: Target, weight: np.ndarray) -> float:
    """Fisher bound at the weighted mean galaxy, S and D free in every pixel, in ln D."""
    maps, posterior = tree["posterior_maps"], tree["posterior"]
    at = np.searchsorted(posterior["draw"], maps["draw"])
    share = weight[:, at] / weight[:, at].sum()
    host, depth = (
        np.einsum("cd,cdyx->yx", share, x) for x in (maps["S"].values, log_of(maps["D"].values))
    )
    slope = np.sum(weight * posterior["delta"].values) / weight.sum()
    arrays = (np.asarray(x, np.float32) for x in (host, np.exp(depth), slope))
    return fisher_pixels.pixel_bound(target, *arrays)
