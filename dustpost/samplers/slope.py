"""Slope given host and transmission, F collapsed: elliptical slice sampling.

The prior of delta is normal, so the ellipse through the current value and a draw from the
prior needs no tuning and always moves (Murray, Adams & MacKay 2010). The networks are not
called: one sweep costs a handful of forward models.
"""

from typing import NamedTuple

import blackjax
import jax.numpy as jnp
from jax import Array

from dustpost.posterior import Galaxy, Target


class State(NamedTuple):
    """Slope () and the galaxy at it."""

    slope: Array
    galaxy: Galaxy


class Info(NamedTuple):
    """Points on the ellipse that were tried."""

    tries: Array


def init(slope: Array, galaxy: Galaxy) -> State:
    """State at a slope."""
    return State(slope, galaxy)


def kernel(key: Array, state: State, target: Target) -> tuple[State, Info]:
    """One draw that leaves p(delta | S, D, Y) invariant, F integrated out."""
    host, transmission = state.galaxy.host, state.galaxy.transmission

    def log_likelihood(slope):
        return target.explicit(host, transmission, slope[0])[0]

    prior = target.slope_prior
    mean, variance = jnp.reshape(prior.mean, (1,)), jnp.reshape(prior.variance, (1,))
    step = blackjax.elliptical_slice.build_kernel(variance, mean)
    begin = blackjax.elliptical_slice.init(state.slope[None], log_likelihood)
    end, info = step(key, begin, log_likelihood)
    slope = end.position[0]
    _, galaxy = target.explicit(host, transmission, slope)
    return State(slope, galaxy), Info(info.subiter)
