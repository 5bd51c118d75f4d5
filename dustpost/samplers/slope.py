"""Slope given host and transmission, F collapsed: elliptical slice sampling.

The prior of delta is normal, so the ellipse through the current value and a draw from the
prior needs no tuning and always moves (Murray, Adams & MacKay 2010). The networks are not
called: one sweep costs a handful of forward models.

The bracket shrinks towards the current value, whose likelihood is above the level. In float32
a level within the rounding of a likelihood of thousands is not below it, and where there is no
dust the likelihood is flat: within `LEAST` of the current value every point is taken.
"""

from typing import NamedTuple

import blackjax
import jax.numpy as jnp
from blackjax.mcmc.elliptical_slice import EllipSliceState
from jax import Array

from dustpost.posterior import Galaxy, Target

LEAST = 1e-6  # in prior sd; a step this small is no step


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
    here, _ = target.explicit(host, transmission, state.slope)

    def log_likelihood(slope):
        # from here on: to a likelihood of -1e5, ln u near 0 is lost in float32, and where the
        # data say nothing of the slope no point would ever lie above the slice
        return target.explicit(host, transmission, slope[0])[0] - here

    def guarded(slope):
        still = jnp.abs(slope[0] - state.slope) < LEAST * target.slope_prior.variance**0.5
        return jnp.where(still, jnp.inf, log_likelihood(slope))

    prior = target.slope_prior
    mean, variance = jnp.reshape(prior.mean, (1,)), jnp.reshape(prior.variance, (1,))
    step = blackjax.elliptical_slice.build_kernel(variance, mean)
    begin = EllipSliceState(state.slope[None], jnp.zeros_like(here))
    end, info = step(key, begin, guarded)
    slope = end.position[0]
    _, galaxy = target.explicit(host, transmission, slope)
    return State(slope, galaxy), Info(info.subiter)
