"""HMC within Gibbs, the band fluxes collapsed.

A sweep is a scan of moves, each of which leaves one conditional of the target invariant:

    orbit   x along a screen's line, given z and delta     `dustpost.samplers.orbit`
    dust    (x, delta) given z                             score-HMC
    host    z given x and delta                            score-HMC
    joint   (z, x, delta)                                  score-HMC, full cross term only
    slope   delta given the galaxy                         elliptical slice

F is integrated out of all of them and redrawn at once with each (`dustpost.samplers.flux`),
so that their order is free. Without the cross term the target is a cut posterior: its two
conditionals are those of no joint density, z and x must take turns.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.errors import DustpostError
from dustpost.posterior import Galaxy, Host, Position, Target
from dustpost.samplers import curvature, flux, hmc, orbit, slope

SCANS = {"cut": ("orbit", "dust", "host", "slope"), "full": ("orbit", "joint", "slope")}


class Tuning(NamedTuple):
    """What warm-up settles, and what stays fixed afterwards.

    Attributes
    ----------
    step : dict of str to Array, ()
        Step size of each HMC move of the scan.
    precision : dict of str to pytree
        Diagonal mass of each, of the structure of what it moves.
    direction : Array, (y, x)
        Of the orbit move.
    """

    step: dict[str, Array]
    precision: dict[str, Any]
    direction: Array


class State(NamedTuple):
    """Position, the galaxy there, and the fluxes drawn last."""

    position: Position
    galaxy: Galaxy
    flux: flux.Flux


class Info(NamedTuple):
    """What one sweep did.

    Attributes
    ----------
    acceptance : dict of str to Array, ()
        Acceptance probability of each HMC move, and the share of fluxes accepted: `flux`.
    curl_defect : Array, ()
        Largest of the moves', nat; nan where it was not measured. See `hmc.Info`.
    slope_tries : Array, ()
        Points on the ellipse that were tried; 0 where the scan has no `slope`.
    """

    acceptance: dict[str, Array]
    curl_defect: Array
    slope_tries: Array


class Move(NamedTuple):
    """Where a move of the collapsed target ends."""

    position: Position
    galaxy: Galaxy
    info: Any


def tune(target: Target, position: Position, step_size: float, scan: tuple = ()) -> Tuning:
    """First step sizes, and the masses that stay: the curvature at one position."""
    galaxy = target.galaxy(position)
    of_dust = curvature.dust_precision(target, galaxy, position.slope)
    of_host = curvature.host_precision(target, position, galaxy)
    direction = orbit.direction(target, galaxy.transmission)
    precision = {
        "orbit": jnp.sum(of_dust[0] * direction**2),
        "dust": of_dust,
        "host": of_host,
        "joint": Position(of_host, *of_dust),
    }
    moves = [name for name in scan_of(target, scan) if name in precision]
    step = jnp.asarray(step_size, position.slope.dtype)
    return Tuning({m: step for m in moves}, {m: precision[m] for m in moves}, direction)


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
    scan: tuple = (),
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
        Whether to measure the curl defect of the networks in this sweep.
    scan : tuple of str
        Names of `MOVES`, in order; `SCANS` of the target's cross term where empty.

    Returns
    -------
    state : State
    info : Info
    """
    names = scan_of(target, scan)
    acceptance, defects, kept, tries = {}, [], [], jnp.zeros((), int)
    for name, move_key in zip(names, jax.random.split(key, len(names)), strict=True):
        state, info, stood = _with_flux(
            move_key, state, target, MOVES[name], tuning, steps, measure_curl
        )
        kept.append(stood)
        if name == "slope":
            tries = info.tries
        else:
            acceptance[name] = info.acceptance
            defects.append(info.curl_defect)
    acceptance["flux"] = sum(kept) / len(kept)
    curl = jnp.max(jnp.stack(defects)) if defects else jnp.asarray(jnp.nan)
    return state, Info(acceptance, curl, tries)


def scan_of(target: Target, scan: tuple = ()) -> tuple[str, ...]:
    """The scan itself, or the target's own.

    Raises
    ------
    DustpostError
        If a move is unknown, or `joint` is asked of a cut posterior.
    """
    names = tuple(scan) or SCANS[target.cross_term]
    for name in names:
        if name not in MOVES:
            raise DustpostError(f"scan: {name!r} is none of the moves {', '.join(MOVES)}")
    if "joint" in names and target.cross_term == "cut":
        raise DustpostError(
            "scan: 'joint' moves host and dust at once, which a cut posterior has no "
            "Metropolis ratio for; use cross_term = 'full', or 'dust' and 'host' in turn"
        )
    return names


def _move_orbit(key, state, target, tuning, steps, measure_curl):
    host, place = Host(state.position.host, state.galaxy.host), state.position
    block = target.dust_block(host)
    origin = place.dust, place.slope
    along = tuning.direction, jnp.zeros_like(place.slope)
    on_line = orbit.line(block, origin, along)
    begin = hmc.init(jnp.zeros_like(place.slope), on_line)
    mass = tuning.precision["orbit"]
    end, info = hmc.kernel(key, begin, on_line, tuning.step["orbit"], mass, orbit.STEPS)
    dust = place.dust + end.moving * tuning.direction
    info = info._replace(curl_defect=jnp.zeros_like(info.curl_defect))  # a line has none
    return Move(place._replace(dust=dust), end.evaluation.galaxy, info)


def _move_dust(key, state, target, tuning, steps, measure_curl):
    block = target.dust_block(Host(state.position.host, state.galaxy.host))
    begin = hmc.init((state.position.dust, state.position.slope), block)
    tuned = tuning.step["dust"], tuning.precision["dust"]
    end, info = hmc.kernel(key, begin, block, *tuned, steps, measure_curl)
    dust, slope_now = end.moving
    position = state.position._replace(dust=dust, slope=slope_now)
    return Move(position, end.evaluation.galaxy, info)


def _move_host(key, state, target, tuning, steps, measure_curl):
    block = target.host_block(state.position.dust, state.position.slope)
    begin = hmc.init(state.position.host, block)
    tuned = tuning.step["host"], tuning.precision["host"]
    end, info = hmc.kernel(key, begin, block, *tuned, steps, measure_curl)
    position = state.position._replace(host=end.moving)
    return Move(position, end.evaluation.galaxy, info)


def _move_joint(key, state, target, tuning, steps, measure_curl):
    block = target.joint_block()
    begin = hmc.init(state.position, block)
    tuned = tuning.step["joint"], tuning.precision["joint"]
    end, info = hmc.kernel(key, begin, block, *tuned, steps, measure_curl)
    return Move(end.moving, end.evaluation.galaxy, info)


def _move_slope(key, state, target, tuning, steps, measure_curl):
    begin = slope.init(state.position.slope, state.galaxy)
    end, info = slope.kernel(key, begin, target)
    return Move(state.position._replace(slope=end.slope), end.galaxy, info)


MOVES: dict[str, Callable[..., Move]] = {
    "orbit": _move_orbit,
    "dust": _move_dust,
    "host": _move_host,
    "joint": _move_joint,
    "slope": _move_slope,
}


def _with_flux(key, state, target, move, *rest) -> tuple[State, Any, Array]:
    """A move of the collapsed target, and the draw of F that makes it exact."""
    move_key, draw_key, accept_key = jax.random.split(key, 3)
    position, galaxy, info = move(move_key, state, target, *rest)
    drawn = flux.draw(draw_key, galaxy, target.flux_prior)
    accepted = flux.accept(accept_key, drawn, state.flux)
    proposed = State(position, galaxy, drawn)
    state = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposed, state)
    return state, info, accepted.astype(drawn.value.dtype)
