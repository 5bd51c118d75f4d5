"""Judge draws against an exact posterior: two gates, ESS and then bias in standard errors.

Every moment is the mean of a series whose expectation is known: t = (g - mean)/sd has 0,
t^2 has 1, the product of two has their correlation, and so the standard error is that of a
mean. A classifier that cannot tell the draws from exact ones bounds what the moments miss.
"""

from typing import Any, NamedTuple

import arviz
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.priors.slope import slope_prior
from tests.exact_worlds import Exact
from tests.log_linear import basis

SLOPE = slope_prior()  # the data say nothing of it
PIXEL = (0.31, 0.47)  # of the frame's side
PROJECTIONS, SHELLS = 24, 6
RIDGE = 1.0


class Rows(NamedTuple):
    """What is recorded of a draw, standardised by the exact moments.

    Attributes
    ----------
    weights : Array, (linear, latent, y, x)
        Of the linear functionals and of the random projections, on whitened modes.
    mean, sd : Array, (latent, y, x)
        Of the modes.
    centre, scale : Array, (linear,)
        Mean and sd of `weights . modes`.
    flux_mean, flux_sd : Array, (band,)
    shells : Array, (shell, latent, y, x)
        Averages of squares over bands of frequency.
    """

    weights: Array
    mean: Array
    sd: Array
    flux_mean: Array
    flux_sd: Array
    shells: Array


def _pooled(exact: Exact):
    mean = np.einsum("k,klyx->lyx", exact.weight, exact.mean)
    square = np.einsum("k,klyx->lyx", exact.weight, exact.sd**2 + exact.mean**2)
    low = exact.weight @ exact.low_mean
    away = exact.low_mean - low
    low_cov = np.einsum("k,kij->ij", exact.weight, exact.low_cov)
    low_cov = low_cov + np.einsum("k,ki,kj->ij", exact.weight, away, away)
    return mean, np.sqrt(square - mean**2), low, low_cov


def names(exact: Exact) -> list[str]:
    """Of the linear functionals."""
    of_latent = ["host", "dust"][-exact.mean.shape[1] :]
    pixels = [f"pixel of {name}" for name in of_latent]
    return ["log_screen", "ln F0", "ln F2", *pixels, "projection", "slope"]


def rows(exact: Exact, seed: int = 0) -> Rows:
    """Prepare for one world."""
    rng = np.random.default_rng(seed)
    latents, side = exact.mean.shape[1], exact.mean.shape[-1]
    mean, sd, low, low_cov = _pooled(exact)
    screen = np.zeros((1, latents, side, side))
    screen[0, :, 0, 0] = exact.screen
    q = basis(side)
    place = [int(f * side) for f in PIXEL]
    pixels = np.zeros((latents, latents, side, side))
    for latent in range(latents):
        pixels[latent, latent] = np.outer(q[:, place[0]], q[:, place[1]])
    random = rng.standard_normal((1 + PROJECTIONS, latents, side, side)) / sd
    weights = np.concatenate([screen, pixels, random])
    spread = []
    for c in weights:
        parts = np.einsum("lyx,klyx->k", c**2, exact.sd**2)
        if latents == 2:
            parts = parts + 2 * np.sum(c[0] * c[1] * exact.between)
        middle = np.einsum("lyx,klyx->k", c, exact.mean - mean)
        spread.append(np.sqrt(exact.weight @ (parts + middle**2)))
    weights = weights / np.array(spread)[:, None, None, None]
    radius = np.hypot(*np.mgrid[:side, :side])
    edges = np.geomspace(0.5, 1.5 * side, SHELLS)
    which = np.searchsorted(edges, radius)
    shells = np.array([(which == n) / max((which == n).sum(), 1) for n in range(SHELLS)])
    shells = np.broadcast_to(shells[:, None] / latents, (SHELLS, latents, side, side))
    arrays = weights, mean, sd, low[latents:], np.sqrt(np.diag(low_cov)[latents:]), shells
    return Rows(*(jnp.asarray(a, float) for a in arrays))


def record(prepared: Rows, latents: Array, log_flux: Array, slope: Array) -> Array:
    """Features of one draw; latents (latent, y, x) are modes."""
    away = latents - prepared.mean
    linear = jnp.tensordot(prepared.weights, away, 3)
    squares = (away / prepared.sd) ** 2
    fluxes = (log_flux - prepared.flux_mean) / prepared.flux_sd
    count = linear.size - PROJECTIONS - 1
    first = [linear[:1], fluxes[jnp.array([0, 2])], linear[1 : count + 1]]
    last = [((slope - SLOPE.mean) / SLOPE.variance**0.5)[None], linear[count + 1 :]]
    shells = jnp.tensordot(prepared.shells, squares, 3)
    return jnp.concatenate([*first, *last, jnp.mean(squares)[None], shells])


def record_position(prepared: Rows, position: Any, log_flux: Array) -> Array:
    """The same of a position; of the dust alone where the host stands still."""
    both = jnp.stack([position.host, position.dust])
    return record(prepared, both[-len(prepared.mean) :], log_flux, position.slope)


def exact_draws(exact: Exact, prepared: Rows, count: int, seed: int = 1) -> np.ndarray:
    """Features of independent draws, (draw, feature)."""
    rng, found = np.random.default_rng(seed), []
    take = jax.jit(jax.vmap(lambda m, f, s: record(prepared, m, f, s)))
    while count > 0:
        size = min(count, 500)
        drawn = exact.draw(rng, size)
        slope = SLOPE.sample(jax.random.key(rng.integers(2**32)), (size,))
        found.append(np.asarray(take(*drawn, slope)))
        count -= size
    return np.concatenate(found)


def judge(exact: Exact, draws: np.ndarray) -> dict:
    """ESS and biases in standard errors; draws (chain, draw, feature) of `record`."""
    labels = names(exact)
    linear = {name: draws[..., n] for n, name in enumerate(labels)}
    energy = draws[..., -SHELLS - 1]
    *_, low_cov = _pooled(exact)
    sizes = np.sqrt(np.diag(low_cov))
    screen = np.zeros(len(sizes))
    screen[: len(exact.screen)] = exact.screen
    screen_sd = np.sqrt(screen @ low_cov @ screen)
    series = {f"mean of {name}": (t, 0.0) for name, t in linear.items()}
    series |= {f"variance of {name}": (t**2, 1.0) for name, t in linear.items()}
    series["mean square of all modes"] = energy, 1.0
    for band in (0, 2):
        flux = len(sizes) - 3 + band
        known = screen @ low_cov[:, flux] / (screen_sd * sizes[flux])
        series[f"correlation of log_screen with ln F{band}"] = (
            linear["log_screen"] * linear[f"ln F{band}"],
            known,
        )
    bias = {}
    for name, (values, known) in series.items():
        error = values.std() / np.sqrt(arviz.ess(np.ascontiguousarray(values), method="mean"))
        bias[name] = float((values.mean() - known) / error)
    ess = {name: float(arviz.ess(np.ascontiguousarray(t))) for name, t in linear.items()}
    ess["mean square of all modes"] = float(arviz.ess(np.ascontiguousarray(energy)))
    worst = max(bias, key=lambda name: abs(bias[name]))
    return {
        "ess": ess,
        "least ess": min(ess.values()),
        "bias in standard errors": bias,
        "worst": worst,
        "largest": abs(bias[worst]),
        "numbers": len(bias),
    }


def two_sample(draws: np.ndarray, exact: np.ndarray) -> float:
    """Held-out accuracy of a classifier of draws (chain, draw, feature) and exact (n, feature).

    Logistic regression on the features, their squares and cubes and the products of the
    first five; trained on half of the chains, tested on the others.
    """
    half = len(draws) // 2
    train, test = draws[:half], draws[half : 2 * half]
    cut = train.shape[0] * train.shape[1]
    sides = [(train, exact[:cut]), (test, exact[cut : 2 * cut])]
    both = [np.concatenate([d.reshape(-1, d.shape[-1]), e]) for d, e in sides]
    label = np.repeat([1.0, 0.0], [cut, cut])
    middle, spread = both[0].mean(axis=0), both[0].std(axis=0) + 1e-12
    designs = []
    for values in both:
        t = np.clip((values - middle) / spread, -5, 5)
        pairs = [t[:, i] * t[:, j] for i in range(5) for j in range(i)]
        columns = [np.ones((len(t), 1)), t, t**2, t**3, np.stack(pairs, axis=1)]
        designs.append(np.concatenate(columns, axis=1))
    weight = np.zeros(designs[0].shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-np.clip(designs[0] @ weight, -30, 30)))
        slope = designs[0].T @ (label - p) - RIDGE * weight
        curve = (designs[0] * (p * (1 - p))[:, None]).T @ designs[0]
        weight = weight + np.linalg.solve(curve + RIDGE * np.eye(len(weight)), slope)
    return float(np.mean((designs[1] @ weight > 0) == (label > 0.5)))
