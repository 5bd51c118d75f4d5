"""Worlds of 64x64 pixels whose posterior is known exactly, whatever the prior's shape.

The data are those of `tests.log_linear`. In its modes the noise stays white, so that the
posterior is a product over modes too, but for the lowest, which the fluxes tie to themselves:

    gaussian   s and u, tied to each other, normal; the likelihood sees the denoised ones
    split      the law of split Gibbs' two copies, s without data
    mixture    u of two kinds, s known
    skewed     modes of u Gumbel-distributed (skewness 1.14), s known; one quadrature a mode
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from dustpost.galaxy import Position
from dustpost.observation import Observation
from dustpost.posterior import Target
from tests.log_linear import (
    DUST_SIGMA,
    EULER,
    FLUX,
    GUMBEL,
    HOST_SIGMA,
    LEVEL,
    NOISE,
    SIDE,
    K,
    Mixture,
    Normal,
    Skewed,
    Tied,
    observe,
    spectrum,
    target_of,
)


class Exact(NamedTuple):
    """A posterior as a mixture of products over modes, the lowest joint with the fluxes.

    Attributes
    ----------
    target : Target
        With data.
    weight : ndarray, (kind,)
    mean, sd : ndarray, (kind, latent, y, x)
        Of the modes of the moving latents, (z, x) or x alone.
    low_mean, low_cov : ndarray, (kind, latent + 3), (kind, latent + 3, latent + 3)
        Of the lowest modes and ln F.
    between : ndarray, (y, x)
        Covariance of z and x in each mode; 0 where only x moves.
    screen : ndarray, (latent,)
        d log_screen / d lowest modes.
    draw : callable
        (rng, n) -> modes (n, latent, y, x), ln F (n, 3): independent draws.
    """

    target: Target
    weight: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    low_mean: np.ndarray
    low_cov: np.ndarray
    between: np.ndarray
    screen: np.ndarray
    draw: Any


def residual(observation: Observation) -> np.ndarray:
    """Data less their mean over the prior, (band, y, x)."""
    away = np.array(observation.data)
    away[:, 0, 0] -= away.shape[-1] * LEVEL
    return away


def normal_posterior(prior_cov, rows, residuals):
    """Mean and covariance of normal unknowns; (..., n, n), (band, ..., n), (band, ...)."""
    precision = np.linalg.inv(prior_cov) + np.einsum("b...i,b...j->...ij", rows, rows) / NOISE**2
    covariance = np.linalg.inv(precision)
    pull = np.einsum("b...i,b...->...i", rows, residuals) / NOISE**2
    return np.einsum("...ij,...j->...i", covariance, pull), covariance


def log_evidence(prior_cov, rows, residuals, mean, cov):
    """Log of prior x likelihood / posterior at the posterior's mean, up to a constant."""
    chi2 = np.sum((residuals - np.einsum("b...i,...i->b...", rows, mean)) ** 2, axis=0) / NOISE**2
    pull = np.einsum("...i,...ij,...j->...", mean, np.linalg.inv(prior_cov), mean)
    widths = np.linalg.slogdet(cov)[1] - np.linalg.slogdet(prior_cov)[1]
    return 0.5 * (widths - chi2 - pull)


def with_flux(prior_cov, rows, side):
    """The lowest mode's problem with ln F - level appended to the unknowns."""
    size = len(prior_cov)
    cov = np.zeros((size + 3, size + 3))
    cov[:size, :size], cov[size:, size:] = prior_cov, FLUX
    return cov, np.concatenate([rows, side * np.eye(3)], axis=1)


def gaussian(seed: int = 0, side: int = SIDE, screen: float = 0.005) -> Exact:
    """Host and dust normal and tied to each other; the likelihood sees them denoised."""
    host_power = spectrum(side, 0.005, 0.35, 0.15) ** 2
    power = spectrum(side, screen, 0.3, 0.15) ** 2
    arrays = [jnp.asarray(a, float) for a in (host_power, power, np.full((side, side), -0.3))]
    dust = Tied(arrays[1], arrays[0], arrays[2])
    drag, own, total = (np.asarray(p) for p in dust.parts(HOST_SIGMA, DUST_SIGMA))
    gain, keep = host_power / (host_power + HOST_SIGMA**2), own / total
    z = host_power + HOST_SIGMA**2
    prior = np.stack([z, drag * z, drag * z, drag**2 * z + total], axis=-1)
    # s = gain z and u = (1 - keep) drag z + keep x, away from their means
    of_s = np.stack([gain, np.zeros_like(gain)], axis=-1)
    of_u = np.stack([(1 - keep) * drag, keep], axis=-1)
    make = lambda seen: target_of(seen, Normal(arrays[0]), dust, cross_term="full")  # noqa: E731
    return _normal(seed, prior.reshape(side, side, 2, 2), of_s, of_u, make)


def split(seed: int = 0, side: int = SIDE) -> tuple[Exact, Exact]:
    """Laws of w and of v; the data see no host, whose w has the prior's law with noise."""
    powers = [spectrum(side, *sd) ** 2 for sd in ((0.005, 0.35, 0.15), (0.005, 0.3, 0.15))]
    priors = [Normal(jnp.asarray(p, float)) for p in powers]
    prior = np.zeros((side, side, 2, 2))
    prior[..., 0, 0], prior[..., 1, 1] = powers[0] + HOST_SIGMA**2, powers[1] + DUST_SIGMA**2
    of_u = np.stack([np.zeros((side, side)), np.ones((side, side))], axis=-1)
    make = lambda seen: target_of(seen, *priors, kind="smoothed", sees_host=False)  # noqa: E731
    seen = _normal(seed, prior, 0 * of_u, of_u, make)
    # v | w is normal: gain and what remains, mode by mode
    gain = np.stack([p / (p + 0.1**2) for p in powers])
    rest = np.sqrt(gain) * 0.1
    low = np.diag([*gain[:, 0, 0], 1, 1, 1])
    low_cov = low @ seen.low_cov[0] @ low + np.diag([*rest[:, 0, 0] ** 2, 0, 0, 0])
    mean = gain * seen.mean[0]
    low_mean = np.array([*mean[:, 0, 0], *seen.low_mean[0, 2:]])

    def draw(rng, count):
        found, log_flux = seen.draw(rng, count)
        found = gain * found
        return found + rest * rng.standard_normal(found.shape), log_flux

    clean = seen._replace(
        mean=mean[None],
        sd=np.sqrt((gain * seen.sd[0]) ** 2 + rest**2)[None],
        low_mean=low_mean[None],
        low_cov=low_cov[None],
        draw=draw,
    )
    return seen, clean


def _normal(seed, prior, of_s, of_u, make) -> Exact:
    """Both latents normal, (z, x) of covariance `prior` in each mode; s and u linear in them."""
    rng = np.random.default_rng(seed)
    side = len(prior)
    truth = np.einsum(
        "yxij,yxj->yxi", np.linalg.cholesky(prior), rng.standard_normal((side, side, 2))
    )
    seen = observe(rng, np.sum(of_s * truth, axis=-1), np.sum(of_u * truth, axis=-1))
    away = residual(seen)
    rows = of_s - K[:, None, None, None] * of_u
    mean, cov = normal_posterior(prior, rows, away)
    low_mean, low_cov = normal_posterior(
        *with_flux(prior[0, 0], rows[:, 0, 0], side), away[:, 0, 0]
    )
    mean[0, 0], cov[0, 0] = low_mean[:2], low_cov[:2, :2]
    factor, low_factor = np.linalg.cholesky(cov), np.linalg.cholesky(low_cov)

    def draw(rng, count):
        white = rng.standard_normal((count, side, side, 2))
        found = mean + np.einsum("yxij,nyxj->nyxi", factor, white)
        low = low_mean + rng.standard_normal((count, 5)) @ low_factor.T
        found[:, 0, 0] = low[:, :2]
        return np.moveaxis(found, -1, 1), low[:, 2:] + LEVEL

    return Exact(
        target=make(seen),
        weight=np.ones(1),
        mean=np.moveaxis(mean, -1, 0)[None],
        sd=np.sqrt(np.stack([cov[..., 0, 0], cov[..., 1, 1]]))[None],
        low_mean=(low_mean + np.array([0, 0, *LEVEL]))[None],
        low_cov=low_cov[None],
        between=cov[..., 0, 1],
        screen=-of_u[0, 0] / side,
        draw=draw,
    )


def mixture(seed: int = 0, side: int = SIDE, apart: float = 3.0, exact: bool = False) -> Exact:
    """Dust of two kinds, whose means differ in a smooth pattern and whose screens in width.

    Parameters
    ----------
    seed, side : int
    apart : float
        Distance of the posterior components' means, in their sds.
    exact : bool
        Whether the prior offers its density.
    """
    rng = np.random.default_rng(seed)
    sd = np.stack([spectrum(side, s, 0.3, 0.15) for s in (0.004, 0.006)])
    prior = sd[..., None, None] ** 2
    rows = np.broadcast_to(-K[:, None, None, None], (3, side, side, 1))
    pattern = np.zeros((side, side))
    pattern[0, 0], pattern[0, 1], pattern[2, 1] = 0.3, 1.0, 0.6
    precision = 1 / sd[0] ** 2 + np.sum(K**2) / NOISE**2
    half = 0.5 * apart * pattern / np.sqrt(np.sum(pattern**2 * precision))
    # the data draw the posterior's means nearer together than the prior's
    half = half * precision * sd[0] ** 2
    offset = np.stack([-half, half])
    truth = 0.1 * half + sd[0] * rng.standard_normal((side, side))
    seen = observe(rng, np.zeros((side, side)), truth)
    away = residual(seen)
    parts = []
    for kind in (0, 1):
        shifted = away + K[:, None, None] * offset[kind]
        mean, cov = normal_posterior(prior[kind], rows, shifted)
        low = with_flux(prior[kind, 0, 0], rows[:, 0, 0], side)
        low_mean, low_cov = normal_posterior(*low, shifted[:, 0, 0])
        every = log_evidence(prior[kind], rows, shifted, mean, cov)
        every[0, 0] = log_evidence(*low, shifted[:, 0, 0], low_mean, low_cov)
        mean, spread = mean[..., 0], np.sqrt(cov[..., 0, 0])
        mean[0, 0], spread[0, 0] = low_mean[0], np.sqrt(low_cov[0, 0])
        low_mean = low_mean + np.array([offset[kind, 0, 0], *LEVEL])
        parts.append((every.sum(), mean + offset[kind], spread, low_mean, low_cov))
    logs, mean, spread, low_mean, low_cov = (np.array(p) for p in zip(*parts, strict=True))
    # weights of the prior that make .4 and .6 of the posterior's
    share = softmax(np.log([0.4, 0.6]) - logs)
    weight = softmax(np.log(share) + logs)
    arrays = (jnp.asarray(a, float) for a in (share, offset, sd))
    host = Normal(jnp.ones((side, side)))
    target = target_of(seen, host, Mixture(*arrays, exact), kind="smoothed")
    factor = np.linalg.cholesky(low_cov)

    def draw(rng, count):
        kind = rng.choice(2, count, p=weight)
        found = mean[kind] + spread[kind] * rng.standard_normal((count, side, side))
        white = rng.standard_normal((count, 4))
        low = low_mean[kind] + np.einsum("nij,nj->ni", factor[kind], white)
        found[:, 0, 0] = low[:, 0]
        return found[:, None], low[:, 1:]

    return _of_dust(target, weight, mean, spread, low_mean, low_cov, draw)


def _of_dust(target, weight, mean, sd, low_mean, low_cov, draw) -> Exact:
    side = mean.shape[-1]
    still, screen = np.zeros((side, side)), np.array([-1 / side])
    moments = mean[:, None], sd[:, None], low_mean, low_cov
    return Exact(target, weight, *moments, still, screen, draw)


def gumbel(t: np.ndarray) -> np.ndarray:
    """Log density of the reduced Gumbel variable."""
    return -t - np.exp(-t)


def skewed(seed: int = 0, side: int = SIDE, screen: float = 0.005, grid: int = 1001) -> Exact:
    """Gumbel modes: one quadrature per mode; ln F is normal given the lowest."""
    rng = np.random.default_rng(seed)
    sd = spectrum(side, screen, 0.3, 0.15)
    truth = sd * (rng.gumbel(size=(side, side)) - EULER) / GUMBEL
    seen = observe(rng, np.zeros((side, side)), truth)
    away = residual(seen)
    t = np.linspace(-3.0, 25.0, grid)  # prior mass outside: e^-20 and e^-25
    value = sd[..., None] * (t - EULER) / GUMBEL
    log_p = np.zeros((side, side, grid)) + gumbel(t)
    # ln F marginal in the lowest mode: correlated noise of three bands
    low_noise = NOISE**2 * np.eye(3) + side**2 * FLUX
    inverse = np.linalg.inv(low_noise)
    gaps = away[..., None] + K[:, None, None, None] * value
    log_p -= 0.5 * np.sum(gaps**2, axis=0) / NOISE**2
    low_gap = gaps[:, 0, 0]
    log_p[0, 0] = gumbel(t) - 0.5 * np.einsum("bg,bc,cg->g", low_gap, inverse, low_gap)
    p = softmax(log_p, axis=-1)
    mean = np.sum(p * value, axis=-1)
    spread = np.sqrt(np.sum(p * (value - mean[..., None]) ** 2, axis=-1))
    # E[ln F - level | lowest mode] is linear in it
    gain = side * FLUX @ inverse
    rest = FLUX - gain @ (side * FLUX)
    flux_mean = LEVEL + gain @ (away[:, 0, 0] + K * mean[0, 0])
    along = gain @ K * spread[0, 0] ** 2
    low_cov = np.zeros((4, 4))
    low_cov[0, 0] = spread[0, 0] ** 2
    low_cov[0, 1:] = low_cov[1:, 0] = along
    low_cov[1:, 1:] = rest + np.outer(gain @ K, gain @ K) * spread[0, 0] ** 2
    low_mean = np.array([mean[0, 0], *flux_mean])
    total = np.cumsum(p, axis=-1)
    flat_t, flat_total = t + 0.5 * (t[1] - t[0]), total.reshape(-1, grid)
    factor = np.linalg.cholesky(rest)

    def draw(rng, count):
        uniform = rng.random((side * side, count))
        columns = [np.interp(u, c, flat_t) for u, c in zip(uniform, flat_total, strict=True)]
        found = np.array(columns).T.reshape(count, side, side)
        found = sd * (found - EULER) / GUMBEL
        low = away[:, 0, 0] + np.outer(found[:, 0, 0], K)
        log_flux = LEVEL + low @ gain.T + rng.standard_normal((count, 3)) @ factor.T
        return found[:, None], log_flux

    dust = Skewed(jnp.asarray(sd, float))
    target = target_of(seen, Normal(jnp.ones((side, side))), dust, kind="smoothed")
    moments = mean, spread, low_mean, low_cov
    return _of_dust(target, np.ones(1), *(m[None] for m in moments), draw)


def skewed_prior(side: int = SIDE) -> Exact:
    """The skewed prior itself, its data worth nothing: chains cross its whole width."""
    sd = spectrum(side, 0.005, 0.3, 0.15)
    seen = observe(np.random.default_rng(0), np.zeros((side, side)), np.zeros((side, side)))
    seen = seen._replace(data=0.0 * seen.data, ivar=1e-12 * seen.ivar)
    dust = Skewed(jnp.asarray(sd, float))
    target = target_of(seen, Normal(jnp.ones((side, side))), dust, kind="smoothed")
    low_cov = np.zeros((4, 4))
    low_cov[0, 0], low_cov[1:, 1:] = sd[0, 0] ** 2, FLUX

    def draw(rng, count):
        found = sd * (rng.gumbel(size=(count, 1, side, side)) - EULER) / GUMBEL
        return found, rng.multivariate_normal(LEVEL, FLUX, count)

    moments = np.zeros((side, side)), sd, np.array([0, *LEVEL]), low_cov
    return _of_dust(target, np.ones(1), *(m[None] for m in moments), draw)


def start(rng: np.random.Generator, exact: Exact, chains: int, wide: float = 2.0) -> Position:
    """Dispersed starts, (chain, ...): uniform about the mean, `wide` times the sd."""
    middle = np.einsum("k,klyx->lyx", exact.weight, exact.mean)
    noise = 3**0.5 * (2 * rng.random((chains, *middle.shape)) - 1)
    latents = jnp.asarray(middle + wide * exact.sd[0] * noise, float)
    host = latents[:, 0] if len(middle) == 2 else jnp.zeros_like(latents[:, 0])
    slope = 0.1 + 0.35 * rng.standard_normal(chains)
    return Position(host, latents[:, -1], jnp.asarray(slope, float))
