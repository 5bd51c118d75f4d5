"""HMC within Gibbs, the band fluxes collapsed.

One sweep:  (x, delta) | z   by score-HMC,
            z | x, delta     by score-HMC,
            delta | z, x     by elliptical slice,
each with F integrated out and redrawn at once (`dustpost.samplers.flux`).

The cross term grad_S log p(x | S) is left out of the second move, which makes the target
a cut posterior; its two conditionals are those of no joint density.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.posterior import Galaxy, Host, Position, Target
from dustpost.samplers import curvature, flux, hmc, slope


class Tuning(NamedTuple):
    """What warm-up settles, and what stays fixed afterwards.

    Attributes
    ----------
    step_dust, step_host : Array, ()
        Step sizes of the two HMC moves.
    precision_dust : tuple of Array
        Diagonal mass of (x, delta).
    precision_host : Array, (y, x)
        Diagonal mass of z.
    """

    step_dust: Array
    step_host: Array
    precision_dust: tuple[Array, Array]
    precision_host: Array


class State(NamedTuple):
    """Position, the galaxy there, and the fluxes drawn last."""

    position: Position
    galaxy: Galaxy
    flux: flux.Flux


class Info(NamedTuple):
    """Acceptance probabilities and defects of one sweep; see `hmc.Info`."""

    acceptance_dust: Array
    acceptance_host: Array
    acceptance_flux: Array
    curl_defect: Array
    slope_tries: Array


def tune(target: Target, position: Position, step_size: float) -> Tuning:
    """First step sizes, and the masses that stay: the curvature at one position."""
    galaxy = target.galaxy(position)
    step = jnp.asarray(step_size, position.slope.dtype)
    return Tuning(
        step,
        step,
        curvature.dust_precision(target, galaxy, position.slope),
        curvature.host_precision(target, position, galaxy),
    )


def init(key: Array, position: Position, target: Target) -> State:
    """State at a position, with a first draw of the fluxes."""
    galaxy = target.galaxy(position)
    return State(position, galaxy, flux.draw(key, galaxy, target.flux_prior))


def kernel(
    key: Array,
    state: State,
    target: Target,
    tuning: Tuning,
    steps: int,
    measure_curl: Array | bool = False,
) -> tuple[State, Info]:
    """One sweep.

    Parameters
    ----------
    key : Array
        Random key.
    state : State
    target : Target
    tuning : Tuning
    steps : int
        Leapfrog steps of each HMC move.
    measure_curl : bool
        Whether to measure the curl defect of both networks in this sweep.

    Returns
    -------
    state : State
    info : Info
    """
    dust_key, host_key, slope_key = jax.random.split(key, 3)

    def move_dust(key, state):
        block = target.dust_block(Host(state.position.host, state.galaxy.host))
        begin = hmc.init((state.position.dust, state.position.slope), block)
        end, info = hmc.kernel(
            key, begin, block, tuning.step_dust, tuning.precision_dust, steps, measure_curl
        )
        dust, slope_now = end.moving
        position = state.position._replace(dust=dust, slope=slope_now)
        return position, end.evaluation.galaxy, info

    def move_host(key, state):
        block = target.host_block(state.position.dust, state.position.slope)
        begin = hmc.init(state.position.host, block)
        end, info = hmc.kernel(
            key, begin, block, tuning.step_host, tuning.precision_host, steps, measure_curl
        )
        return state.position._replace(host=end.moving), end.evaluation.galaxy, info

    def move_slope(key, state):
        begin = slope.init(state.position.slope, state.galaxy)
        end, info = slope.kernel(key, begin, target)
        return state.position._replace(slope=end.slope), end.galaxy, info

    state, dust_info, flux_dust = _with_flux(dust_key, state, target, move_dust)
    state, host_info, flux_host = _with_flux(host_key, state, target, move_host)
    state, slope_info, flux_slope = _with_flux(slope_key, state, target, move_slope)
    return state, Info(
        dust_info.acceptance,
        host_info.acceptance,
        (flux_dust + flux_host + flux_slope) / 3,
        jnp.maximum(dust_info.curl_defect, host_info.curl_defect),
        slope_info.tries,
    )


def _with_flux(
    key: Array,
    state: State,
    target: Target,
    move: Callable[[Array, State], tuple[Position, Galaxy, Any]],
) -> tuple[State, Any, Array]:
    """A move of the collapsed target, and the draw of F that makes it exact."""
    move_key, draw_key, accept_key = jax.random.split(key, 3)
    position, galaxy, info = move(move_key, state)
    drawn = flux.draw(draw_key, galaxy, target.flux_prior)
    accepted = flux.accept(accept_key, drawn, state.flux)
    proposed = State(position, galaxy, drawn)
    state = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposed, state)
    return state, info, accepted.astype(drawn.value.dtype)
