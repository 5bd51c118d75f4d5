"""Kullback-Leibler divergence of two samples of a scalar, in nats.

    KL = mean_i [ln nu_l(x_i) - ln rho_k(x_i)] + psi(k) - psi(l) + ln(m / (n - 1)),

rho_k the distance of draw i to the k-th nearest other of the n draws of the posterior, nu_l
that to the l-th nearest of the m of the prior (Wang, Kulkarni & Verdu 2009, Eq. 25, with
k = sqrt(n), l = sqrt(m)). Autocorrelated draws crowd: they are thinned to their effective
number first.
"""

import numpy as np
from scipy.special import digamma

from dustpost.diagnostics import ranks

LEAST = 8  # draws of either kind, below which nothing is said
BLOCKS = 8  # of the jackknife


def kl(posterior: np.ndarray, prior: np.ndarray) -> tuple[float, float]:
    """KL of the posterior from the prior, and its Monte Carlo error.

    Parameters
    ----------
    posterior : ndarray, (chain, draw)
    prior : ndarray, (n,)
        Independent draws.

    Returns
    -------
    value, error : float
        Nats; the error is a jackknife's over blocks of both samples. nan where there are
        fewer than `LEAST` effective draws, or they do not move.
    """
    draws, prior = thinned(posterior), np.asarray(prior, float).ravel()
    usable = np.isfinite(draws).all() and np.isfinite(prior).all()
    if not usable or min(draws.size, prior.size) < LEAST or 0 in (np.ptp(draws), np.ptp(prior)):
        return np.nan, np.nan
    whole = _nearest(draws, prior)
    left_out = [[], []]
    for block in range(BLOCKS):
        keep = np.arange(draws.size) * BLOCKS // draws.size != block
        left_out[0].append(_nearest(draws[keep], prior))
        keep = np.arange(prior.size) % BLOCKS != block
        left_out[1].append(_nearest(draws, prior[keep]))
    variance = (BLOCKS - 1) * sum(np.var(values) for values in left_out)
    return whole, float(np.sqrt(variance))


def thinned(draws: np.ndarray) -> np.ndarray:
    """About as many draws as are effective, (n,), evenly spaced along each chain."""
    draws = np.asarray(draws, float)
    ess = ranks.bulk_ess(draws[..., None])[0] if draws.shape[1] >= 4 else draws.size
    every = int(np.clip(np.ceil(draws.size / ess), 1, draws.shape[1])) if ess > 0 else 1
    return draws[:, ::every].ravel()


def _nearest(draws: np.ndarray, prior: np.ndarray) -> float:
    k, l = (max(1, round(x.size**0.5)) for x in (draws, prior))  # noqa: E741
    # the draw itself is the nearest of its own sample
    rho = _distance(draws, draws, k + 1)
    nu = _distance(draws, prior, l)
    tiny = 1e-12 * (np.ptp(prior) + np.ptp(draws))
    gain = np.mean(np.log(np.maximum(nu, tiny)) - np.log(np.maximum(rho, tiny)))
    return float(gain + digamma(k) - digamma(l) + np.log(prior.size / (draws.size - 1)))


def _distance(at: np.ndarray, among: np.ndarray, k: int) -> np.ndarray:
    """Distance of each of `at` to its k-th nearest of `among`."""
    return np.partition(np.abs(at[:, None] - among[None, :]), k - 1, axis=1)[:, k - 1]
