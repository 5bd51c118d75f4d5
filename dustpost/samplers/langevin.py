"""Underdamped Langevin dynamics of all latents at once, without acceptance.

    dq = M^-1 p dt,   dp = (drift - gamma p) dt + (2 gamma M)^1/2 dW,

in the BAOAB splitting (Leimkuhler & Matthews 2013). The drift is the gradient of the whole
target but for the cross term, so that S and D move together, which the Gibbs blocks cannot:
they are tied to each other, S D being what the data see. There is no Metropolis ratio for
such a move and its bias is not corrected; it brings chains from far away to where the
Gibbs sweeps start. Far away the drift can be so large that a step leaves all bounds: it is
cut, pixel by pixel, at `MOST` of the unit in which it is of order one in equilibrium (tamed:
Brosse, Durmus, Moulines & Sabanis 2019).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.galaxy import Position
from dustpost.posterior import Target

STEP = 0.2  # in units of the masses' scale; at 0.3 the bias is seen in the likelihood
DAMPING = 0.97  # share of the momentum that survives a step
MOST = 20.0  # of |drift| / sqrt(mass)


class State(NamedTuple):
    """Position, momentum and drift, each of the structure of a position."""

    position: Position
    momentum: Position
    drift: Position


def init(key: Array, position: Position, target: Target, mass: Position) -> State:
    """State at a position with a fresh momentum."""
    return State(position, _thermal(key, mass), _tamed(target, position, mass))


def kernel(key: Array, state: State, target: Target, mass: Position) -> State:
    """One BAOAB step; costs one drift.

    Parameters
    ----------
    key : Array
        Random key.
    state : State
    target : Target
    mass : Position
        Diagonal masses.
    """

    def combine(a, b, weight_a, weight_b):
        return jax.tree.map(lambda x, y: weight_a * x + weight_b * y, a, b)

    velocity = lambda momentum: jax.tree.map(jnp.divide, momentum, mass)  # noqa: E731
    momentum = combine(state.momentum, state.drift, 1.0, 0.5 * STEP)
    position = combine(state.position, velocity(momentum), 1.0, 0.5 * STEP)
    momentum = combine(momentum, _thermal(key, mass), DAMPING, (1 - DAMPING**2) ** 0.5)
    position = combine(position, velocity(momentum), 1.0, 0.5 * STEP)
    drift = _tamed(target, position, mass)
    return State(position, combine(momentum, drift, 1.0, 0.5 * STEP), drift)


def _tamed(target: Target, position: Position, mass: Position) -> Position:
    drift, _ = target.drift(position)
    return jax.tree.map(
        lambda g, m: jnp.clip(g, -MOST * jnp.sqrt(m), MOST * jnp.sqrt(m)), drift, mass
    )


def _thermal(key: Array, mass: Position) -> Position:
    keys = Position(*jax.random.split(key, len(mass)))
    return jax.tree.map(
        lambda k, m: jnp.sqrt(m) * jax.random.normal(k, m.shape, m.dtype), keys, mass
    )
