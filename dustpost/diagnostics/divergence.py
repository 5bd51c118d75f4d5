"""Kullback-Leibler divergence of two samples of a scalar, in nats.

    KL = mean_i [ln nu_l(x_i) - ln rho_k(x_i)] + psi(k) - psi(l) + ln(m / (n - 1)),

rho_k the distance of draw i to the k-th nearest other of the n draws of the posterior, nu_l
that to the l-th nearest of the m of the prior (Wang, Kulkarni & Verdu 2009, Eq. 25, with
k = sqrt(n), l = sqrt(m)). Autocorrelated draws crowd: they are thinned to their effective
number first. Of weighted draws the mean is weighted, and in place of k / (n - 1) stands the
share of the others' weight that the k nearest have. Where the posterior lies beyond all draws
of the prior, these cannot tell how improbable it was: nothing is said.
"""

import numpy as np
from scipy.special import digamma

from dustpost.diagnostics import ranks

LEAST = 8  # draws of either kind, below which nothing is said
MOST = 2000  # draws of the posterior that are compared
BEYOND = 0.25  # share of the posterior outside the prior's draws, above which nothing is said
BLOCKS = 8  # of the jackknife


def kl(
    posterior: np.ndarray,
    prior: np.ndarray,
    weight: np.ndarray | None = None,
    every: int | None = None,
) -> tuple[float, float]:
    """KL of the posterior from the prior, and its Monte Carlo error.

    Parameters
    ----------
    posterior : ndarray, (chain, draw)
    prior : ndarray, (n,)
        Independent draws.
    weight : ndarray, (chain, draw), optional
        Of each draw; equal by default.
    every : int, optional
        Of so many draws of a chain one is taken; `stride` of them by default.

    Returns
    -------
    value, error : float
        Nats; the error is a jackknife's over blocks of both samples. nan where there are
        fewer than `LEAST` effective draws, they do not move, or more than `BEYOND` of the
        posterior lies outside the prior's draws.
    """
    posterior, prior = np.asarray(posterior, float), np.asarray(prior, float).ravel()
    every = every or stride(posterior)
    draws = posterior[:, ::every].ravel()
    share = np.ones(draws.size) if weight is None else np.asarray(weight, float)[:, ::every].ravel()
    usable = np.isfinite(draws).all() and np.isfinite(prior).all() and share.sum() > 0
    if not usable or share.sum() ** 2 < LEAST * np.sum(share**2) or prior.size < LEAST:
        return np.nan, np.nan
    outside = (draws < prior.min()) | (draws > prior.max())
    if 0 in (np.ptp(draws), np.ptp(prior)) or share[outside].sum() > BEYOND * share.sum():
        return np.nan, np.nan
    whole = _nearest(draws, prior, share)
    left_out = [[], []]
    for block in range(BLOCKS):
        keep = np.arange(draws.size) * BLOCKS // draws.size != block
        left_out[0].append(_nearest(draws[keep], prior, share[keep]))
        keep = np.arange(prior.size) % BLOCKS != block
        left_out[1].append(_nearest(draws, prior[keep], share))
    variance = (BLOCKS - 1) * sum(np.var(values) for values in left_out)
    return whole, float(np.sqrt(variance))


def stride(draws: np.ndarray) -> int:
    """Every how many draws of a chain, (chain, draw), there is one that is effective."""
    ess = ranks.bulk_ess(draws[..., None])[0] if draws.shape[1] >= 4 else draws.size
    ess = min(ess, MOST) if ess > 0 else MOST
    return int(np.clip(np.ceil(draws.size / ess), 1, draws.shape[1]))


def _nearest(draws: np.ndarray, prior: np.ndarray, share: np.ndarray) -> float:
    share = share / share.sum()
    k, l = (max(1, round(x.size**0.5)) for x in (draws, prior))  # noqa: E741
    tiny = 1e-12 * (np.ptp(prior) + np.ptp(draws))
    nu = np.maximum(np.partition(np.abs(draws[:, None] - prior), l - 1, axis=1)[:, l - 1], tiny)
    away = np.abs(draws[:, None] - draws)
    np.fill_diagonal(away, np.inf)  # the draw itself is not among its neighbours
    near = np.argpartition(away, k - 1, axis=1)[:, :k]
    rho = np.maximum(np.take_along_axis(away, near, axis=1).max(axis=1), tiny)
    inside = share[near].sum(axis=1) / (1 - share)
    known = share > 0
    terms = np.log(nu) - np.log(rho) + np.log(np.where(inside > 0, inside, share + 1e-300))
    gain = np.sum(share[known] * terms[known]) + np.log(prior.size / l)
    return float(gain + digamma(k) - np.log(k) - digamma(l) + np.log(l))
