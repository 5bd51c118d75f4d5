"""HMC within Gibbs, the band fluxes collapsed.

A sweep is a scan of moves (`dustpost.samplers.moves`), each of which leaves one conditional of
the target invariant: orbit, joint, grey, slope (without grey where a prior is known by its score
alone), or, of a cut posterior, orbit, dust, host, slope.
Warm-up fits each HMC move a frame (`retune`), in which it is nearly isotropic.

F is integrated out of all of them and redrawn at once with each (`dustpost.samplers.flux`),
so that their order is free. With the cross term left out (cut) its two conditionals are those
of no joint density: z and x must take turns.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.coordinates import clean_from_image
from dustpost.errors import DustpostError
from dustpost.galaxy import Galaxy, Position
from dustpost.posterior import Target
from dustpost.priors.strata import Aim
from dustpost.samplers import curvature, directions, flux, grey, orbit
from dustpost.samplers.frame import Frame
from dustpost.samplers.moves import HMC, MOVES

JOINT, APART = ("orbit", "joint", "slope"), ("orbit", "dust", "host", "slope")
SLICES = ("grey", "slope")
EXACT = ("orbit", "joint", "grey", "slope")  # where both priors have densities


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
    curve : grey.Curve or None
        Of the grey move.
    frames : dict of str to Frame
        In the place of the mass, for those moves that have one; see `retune`.
    aim : Aim or None
        How much dust the chain is held to, see `dustpost.priors.strata`.
    """

    step: dict[str, Array]
    precision: dict[str, Any]
    direction: Array
    curve: grey.Curve | None = None
    frames: dict[str, Frame] = {}
    aim: Aim | None = None


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
        Points that the moves of `SLICES` tried on their ellipses; 0 where the scan has none.
    """

    acceptance: dict[str, Array]
    curl_defect: Array
    slope_tries: Array


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
    steps = {name: step for name in moves}
    fixed = {name: precision[name] for name in moves}, direction
    one = jax.tree.map(lambda x: x[None], position)
    return Tuning(steps, *fixed, grey.curve(target, one, galaxy.transmission[None]))


def retune(key: Array, states: State, target: Target, tuning: Tuning, rank: int) -> Tuning:
    """Fit the frames of the HMC moves, the orbit's line and the grey curve to where chains are.

    Parameters
    ----------
    key : Array
        Random key.
    states : State
        Of all chains of one galaxy, (chain, ...).
    target : Target
        Of that galaxy.
    tuning : Tuning
        Of one chain; its step sizes are kept.
    rank : int
        Directions of a frame.
    """
    like = states.position.dust[0]
    one = jnp.ones_like(states.position.slope[0])
    spread = jnp.sqrt(target.slope_prior.variance) * one
    sigmas = target.sigma_host, target.sigma_dust
    scale = Position(*(jnp.full_like(like, sigma) for sigma in sigmas), spread)
    known = Position(jnp.zeros_like(like), jnp.zeros_like(like), one)
    curve = grey.curve(target, states.position, states.galaxy.transmission)
    brighter = Position(_brighter(curve.host), jnp.zeros_like(like), jnp.zeros_like(one))
    of_flux = partial(curvature.flux_precision, target)
    frames = {}
    for name, move in HMC.items():
        if name in tuning.step:
            at = lambda state, move=move: move.at(target, state.position, state.galaxy.host)  # noqa: E731
            given = at, target.observation, move.part(scale), move.part(known)
            frames[name] = directions.fit(key, states, *given, move.part(brighter), of_flux, rank)
    host, depth, slope_now = (
        jnp.mean(x, axis=0)
        for x in (states.galaxy.host, jnp.log(states.galaxy.transmission), states.position.slope)
    )
    _, galaxy = target.explicit(host, jnp.exp(depth), slope_now)
    line = orbit.direction(target, galaxy.transmission)
    of_dust, _ = curvature.dust_precision(target, galaxy, slope_now)
    precision = dict(tuning.precision)
    if "orbit" in precision:
        precision["orbit"] = jnp.sum(of_dust * line**2)
    return tuning._replace(precision=precision, direction=line, curve=curve, frames=frames)


def _brighter(image: Array) -> Array:
    """dz0/d ln(peak), (y, x), of a host as an image.

    The likelihood sees hosts of unit sum, and a tenth in their peak is a dozen noise levels of z.
    """
    one = jnp.ones((), image.dtype)
    return jax.jvp(lambda peak: clean_from_image(peak * image), (one,), (one,))[1]


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
        Names of `MOVES`, in order; `EXACT`, `JOINT` or `APART`, as the target is, where empty.

    Returns
    -------
    state : State
    info : Info
    """
    names = scan_of(target, scan)
    target = target.replace(aim=tuning.aim)
    acceptance, defects, kept, tries = {}, [], [], jnp.zeros((), int)
    for name, move_key in zip(names, jax.random.split(key, len(names)), strict=True):
        state, info, stood = _with_flux(
            move_key, state, target, MOVES[name], tuning, steps, measure_curl
        )
        kept.append(stood)
        if name in SLICES:
            tries = tries + info.tries
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
        If a move is unknown, `joint` is asked of a cut posterior, or `grey` where no density is.
    """
    known = target.joint and target.joint_block().log_prior is not None
    names = tuple(scan) or (EXACT if known else JOINT if target.joint else APART)
    for name in names:
        if name not in MOVES:
            raise DustpostError(f"scan: {name!r} is none of the moves {', '.join(MOVES)}")
    if "joint" in names and not target.joint:
        raise DustpostError(
            "scan: 'joint' moves host and dust at once, which a cut posterior has no "
            "Metropolis ratio for; use cross_term = 'anchored', or 'dust' and 'host' in turn"
        )
    if "grey" in names and not known:
        raise DustpostError("scan: 'grey' asks for priors that have a joint density")
    return names


def _with_flux(key, state, target, move, *rest) -> tuple[State, Any, Array]:
    """A move of the collapsed target, and the draw of F that makes it exact."""
    move_key, draw_key, accept_key = jax.random.split(key, 3)
    position, galaxy, info = move(move_key, state, target, *rest)
    drawn = flux.draw(draw_key, galaxy, target.flux_prior)
    accepted = flux.accept(accept_key, drawn, state.flux)
    proposed = State(position, galaxy, drawn)
    state = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposed, state)
    return state, info, accepted.astype(drawn.value.dtype)
