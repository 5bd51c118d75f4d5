"""How many modes a scalar's draws have, and how much of the posterior lies in each.

Maxima of a Gaussian kernel density estimate (Silverman's width), of which neighbours count as
one unless the valley between them is lower than `VALLEY` times the lesser; weights are the
shares of the draws between the valleys. Dust-poor and red, or dusty and blue: two modes of
log_screen. The draws must come from a sampler that visits all of them in proportion
(`dustpost.samplers.tempered`): chains that do not mix have as many modes as starts.
"""

from typing import NamedTuple

import numpy as np

VALLEY = 0.7
LEAST_WEIGHT = 0.02  # of a mode that is one
GRID = 512


class Modes(NamedTuple):
    """Modes of one scalar, in rising order.

    Attributes
    ----------
    centre : ndarray, (mode,)
        Mean of the draws in each, in the scalar's unit.
    weight : ndarray, (mode,)
        Share of the draws; they sum to one.
    """

    centre: np.ndarray
    weight: np.ndarray


def modes(draws: np.ndarray, weight: np.ndarray | None = None) -> Modes:
    """Find the modes.

    Parameters
    ----------
    draws : ndarray
        Of any shape; all together.
    weight : ndarray, optional
        Of each draw; equal by default.
    """
    x = np.asarray(draws, float).ravel()
    share = np.full(x.size, 1.0) if weight is None else np.asarray(weight, float).ravel()
    share = share / share.sum()
    low, high = x.min(), x.max()
    if not high > low:
        return Modes(x[:1], np.ones(1))
    quartiles = np.interp([0.25, 0.75], np.cumsum(share[np.argsort(x)]), np.sort(x))
    sd = np.sqrt(share @ (x - share @ x) ** 2)
    spread = min(sd, np.ptp(quartiles) / 1.349) or sd
    effective = 1.0 / np.sum(share**2)
    width = 0.9 * spread * effective**-0.2
    grid = np.linspace(low - 3 * width, high + 3 * width, GRID)
    density = np.exp(-0.5 * ((grid[:, None] - x) / width) ** 2) @ share
    edges = _valleys(density)
    while edges:
        bounds = np.concatenate([[-np.inf], grid[edges], [np.inf]])
        weights = np.histogram(x, bounds, weights=share)[0]
        least = int(np.argmin(weights))
        if weights[least] >= LEAST_WEIGHT:
            break
        # a mode too small to be one joins the neighbour behind the shallower valley
        beside = [e for e in (least - 1, least) if 0 <= e < len(edges)]
        edges.pop(max(beside, key=lambda e: density[edges[e]]))
    bounds = np.concatenate([[-np.inf], grid[edges], [np.inf]])
    member = np.digitize(x, bounds) - 1
    weights = np.bincount(member, share, len(bounds) - 1)
    return Modes(np.bincount(member, share * x, len(bounds) - 1) / weights, weights)


def _valleys(density: np.ndarray) -> list[int]:
    """Grid points that part the modes."""
    inner = density[1:-1]
    peaks = 1 + np.flatnonzero((inner > density[:-2]) & (inner >= density[2:]))
    found: list[int] = []
    last = peaks[0]
    for peak in peaks[1:]:
        valley = last + int(np.argmin(density[last : peak + 1]))
        if density[valley] < VALLEY * min(density[last], density[peak]):
            found.append(valley)
            last = peak
        elif density[peak] > density[last]:
            last = peak
    return found
