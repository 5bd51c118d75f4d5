"""Underdamped Langevin dynamics of all latents at once, without acceptance.

    dq = M^-1 p dt,   dp = (drift - gamma p) dt + (2 gamma M)^1/2 dW,

in the BAOAB splitting (Leimkuhler & Matthews 2013). The drift is the gradient of the whole
target but for the cross term, so that S and D move together, which the Gibbs blocks cannot:
they are tied to each other, S D being what the data see. There is no Metropolis ratio for
such a move and its bias is not corrected; it brings chains from far away to where the
Gibbs sweeps start.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.posterior import Position, Target

STEP = 0.2  # in units of the masses' scale; at 0.3 the bias is seen in the likelihood
DAMPING = 0.97  # share of the momentum that survives a step


class State(NamedTuple):
    """Position, momentum and drift, each of the structure of a position."""

    position: Position
    momentum: Position
    drift: Position


def init(key: Array, position: Position, target: Target, mass: Position) -> State:
    """State at a position with a fresh momentum."""
    drift, _ = target.drift(position)
    return State(position, _thermal(key, mass), drift)


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
    drift, _ = target.drift(position)
    return State(position, combine(momentum, drift, 1.0, 0.5 * STEP), drift)


def _thermal(key: Array, mass: Position) -> Position:
    keys = Position(*jax.random.split(key, len(mass)))
    return jax.tree.map(
        lambda k, m: jnp.sqrt(m) * jax.random.normal(k, m.shape, m.dtype), keys, mass
    )
