"""The moves that a sweep is made of, each of one conditional of the collapsed target.

    orbit   x along a screen's line, given z and delta     `dustpost.samplers.orbit`
    dust    (x, delta) given z                             score-HMC
    host    z given x and delta                            score-HMC
    joint   (z, x, delta)                                  score-HMC
    grey    (z, x, delta) along a curve                    `dustpost.samplers.grey`
    slope   delta given the galaxy                         elliptical slice

Score-HMC moves in its frame where it has one (`dustpost.samplers.frame`), else with a
diagonal mass.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp

from dustpost.galaxy import Galaxy, Host, Position
from dustpost.samplers import frame, grey, hmc, orbit, slope


class Move(NamedTuple):
    """Where a move of the collapsed target ends."""

    position: Position
    galaxy: Galaxy
    info: Any


def _move_orbit(key, state, target, tuning, steps, measure_curl):
    host, place = Host(state.position.host, state.galaxy.host), state.position
    block = target.dust_block(host)
    origin = place.dust, place.slope
    along = tuning.direction, jnp.zeros_like(place.slope)
    on_line = orbit.line(block, origin, along)
    begin = hmc.begin(jnp.zeros_like(place.slope), on_line)
    mass = tuning.precision["orbit"]
    end, info = hmc.kernel(key, begin, on_line, tuning.step["orbit"], mass, orbit.STEPS)
    dust = place.dust + end.moving * tuning.direction
    info = info._replace(curl_defect=jnp.zeros_like(info.curl_defect))  # a line has none
    return Move(place._replace(dust=dust), end.evaluation.galaxy, info)


def _dust(target, position, host):
    return target.dust_block(Host(position.host, host)), (position.dust, position.slope)


def _host(target, position, host):
    return target.host_block(position.dust, position.slope), position.host


def _joint(target, position, host):
    return target.joint_block(), position


class Hmc(NamedTuple):
    """What an HMC move moves.

    Attributes
    ----------
    at : callable
        (target, position, host) -> (block, moving); host (y, x) is that of the position.
    put : callable
        (position, moving) -> position.
    part : callable
        position -> moving; of scales as well.
    """

    at: Callable
    put: Callable
    part: Callable


HMC = {
    "dust": Hmc(
        _dust,
        lambda position, moving: position._replace(dust=moving[0], slope=moving[1]),
        lambda position: (position.dust, position.slope),
    ),
    "host": Hmc(
        _host,
        lambda position, moving: position._replace(host=moving),
        lambda position: position.host,
    ),
    "joint": Hmc(_joint, lambda position, moving: moving, lambda position: position),
}


def _move_hmc(name, key, state, target, tuning, steps, measure_curl):
    move = HMC[name]
    block, moving = move.at(target, state.position, state.galaxy.host)
    mass, seat = tuning.precision[name], tuning.frames.get(name)
    if seat is not None:
        block, origin = frame.wrap(seat, moving, block), moving
        moving = jnp.zeros(seat.basis.shape[-1], seat.basis.dtype)
        mass = jnp.ones_like(moving)
    begin = hmc.begin(moving, block)
    end, info = hmc.kernel(key, begin, block, tuning.step[name], mass, steps, measure_curl)
    moved = end.moving if seat is None else frame.place(seat, origin, end.moving)
    return Move(move.put(state.position, moved), end.evaluation.galaxy, info)


def _move_grey(key, state, target, tuning, steps, measure_curl):
    begin = grey.init(state.position, state.galaxy)
    end, info = grey.kernel(key, begin, target, tuning.curve)
    return Move(*end, info)


def _move_slope(key, state, target, tuning, steps, measure_curl):
    begin = slope.init(state.position.slope, state.galaxy)
    end, info = slope.kernel(key, begin, target)
    return Move(state.position._replace(slope=end.slope), end.galaxy, info)


MOVES: dict[str, Callable[..., Move]] = {
    "orbit": _move_orbit,
    **{name: partial(_move_hmc, name) for name in HMC},
    "grey": _move_grey,
    "slope": _move_slope,
}
