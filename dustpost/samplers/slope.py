"""Slope given host and transmission, F collapsed: elliptical slice sampling.

The prior of delta is a normal times a wall, which goes with the likelihood; the ellipse through
the current value and a draw from the normal needs no tuning and always moves (Murray, Adams &
MacKay 2010). The networks are not
called: one sweep costs a handful of forward models.

The bracket shrinks towards the current value, whose likelihood is above the level. In float32
a level within the rounding of a likelihood of thousands is not below it, and where there is no
dust the likelihood is flat: within `LEAST` of the current value every point is taken.
"""

from collections.abc import Callable
from typing import NamedTuple

import blackjax
import jax.numpy as jnp
import numpyro.distributions as dist
from blackjax.mcmc.elliptical_slice import EllipSliceState
from jax import Array

from dustpost.galaxy import Galaxy
from dustpost.posterior import Target

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
    given = state.galaxy.host, state.galaxy.transmission
    slope, info = draw(
        key, state.slope, lambda slope: target.explicit(*given, slope)[0], target.slope_prior
    )
    _, galaxy = target.explicit(*given, slope)
    return State(slope, galaxy), info


def draw(
    key: Array, slope: Array, log_likelihood: Callable[[Array], Array], prior: dist.Normal
) -> tuple[Array, Info]:
    """Draw a slope from prior times likelihood.

    Parameters
    ----------
    key : Array
        Random key.
    slope : Array, ()
        The current one.
    log_likelihood : callable
        slope () -> ().
    prior : numpyro.distributions.Normal
        Or a `WalledNormal`.
    """
    normal = dist.Normal(prior.loc, prior.scale)

    def log_rest(slope):
        return log_likelihood(slope) + prior.log_prob(slope) - normal.log_prob(slope)

    here = log_rest(slope)

    def guarded(point):
        still = jnp.abs(point[0] - slope) < LEAST * prior.scale
        # from here on: to a likelihood of -1e5, ln u near 0 is lost in float32, and where the
        # data say nothing of the slope no point would ever lie above the slice
        return jnp.where(still, jnp.inf, log_rest(point[0]) - here)

    mean, variance = jnp.reshape(prior.loc, (1,)), jnp.reshape(prior.scale**2, (1,))
    step = blackjax.elliptical_slice.build_kernel(variance, mean)
    end, info = step(key, EllipSliceState(slope[None], jnp.zeros_like(here)), guarded)
    return end.position[0], Info(info.subiter)
