"""The samplers by name, in the one form that `dustpost.samplers.run` takes them.

gibbs        `dustpost.samplers.gibbs`, exact for what the networks define
split-gibbs  `dustpost.samplers.split_gibbs` at the target's levels; the galaxy is the prior's copy
langevin     `dustpost.samplers.annealed` at the target's levels: no acceptance, a bias instead

The last two come down a ladder of noise levels before that; see `burn_in.descend`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.galaxy import Galaxy, Position
from dustpost.posterior import Target
from dustpost.samplers import annealed, flux, gibbs, split_gibbs

FIRST_STEP = 0.3  # of an adapted move, where its adaptation begins
SPLIT_STEP = 0.5  # of a first HMC move of the likelihood half


class Sampler(NamedTuple):
    """Three functions of one chain, and one of all chains of a galaxy.

    Attributes
    ----------
    tune : callable
        (target, position, step_size) -> tuning; a NamedTuple with `step`, a dict of the
        step sizes that are adapted, by the name of the move.
    init : callable
        (key, position, target) -> state with `position`, `galaxy` and `flux`.
    kernel : callable
        (key, state, target, tuning, steps, measure_curl) -> (state, info), a sweep; the
        info is a NamedTuple with `acceptance`, a dict by the name of the move.
    retune : callable or None
        (key, states, target, tuning, rank) -> tuning, from where all chains are; see
        `gibbs.retune`. None where a sampler has nothing to learn there.
    """

    tune: Callable
    init: Callable
    kernel: Callable
    retune: Callable | None = None


class State(NamedTuple):
    """What a run reads of a sampler's state, and that state itself, `own`."""

    position: Position
    galaxy: Galaxy
    flux: flux.Flux
    own: Any


class Tuning(NamedTuple):
    """Adapted step sizes by move, and masses where a sampler keeps them."""

    step: dict[str, Array]
    mass: Any = None


class LangevinInfo(NamedTuple):
    """No acceptance; rms of the drift's share of a step over its noise, see `annealed`."""

    acceptance: dict[str, Array]
    drift_to_noise: Array


class SplitInfo(NamedTuple):
    """Acceptance of the likelihood half, and rms (w - v)/rho."""

    acceptance: dict[str, Array]
    gap: Array


def _langevin_tune(target: Target, position: Position, step_size: float) -> Tuning:
    return Tuning({}, annealed.likelihood_mass(target, position))


def _langevin_state(key: Array, own: annealed.State, target: Target) -> State:
    galaxy = target.galaxy(own.position)
    return State(own.position, galaxy, flux.draw(key, galaxy, target.flux_prior), own)


def _langevin_init(key: Array, position: Position, target: Target) -> State:
    return _langevin_state(key, annealed.init(position, target), target)


def _langevin_kernel(
    key: Array, state: State, target: Target, tuning: Tuning, steps: int, measure_curl: Any = False
) -> tuple[State, LangevinInfo]:
    flux_key, key = jax.random.split(key)

    def step(own, key):
        return annealed.kernel(key, own, target, tuning.mass)

    own, info = jax.lax.scan(step, state.own, jax.random.split(key, steps))
    drift = jnp.mean(info.drift_to_noise)
    return _langevin_state(flux_key, own, target), LangevinInfo({}, drift)


def _split_tune(target: Target, position: Position, step_size: float) -> Tuning:
    return Tuning({"likelihood": jnp.asarray(SPLIT_STEP, position.slope.dtype)})


def _split_state(own: split_gibbs.State, target: Target) -> State:
    return State(own.position, split_gibbs.galaxy(own, target), own.flux, own)


def _split_init(key: Array, position: Position, target: Target) -> State:
    return _split_state(split_gibbs.init(key, position, target), target)


def _split_kernel(
    key: Array, state: State, target: Target, tuning: Tuning, steps: int, measure_curl: Any = False
) -> tuple[State, SplitInfo]:
    own, info = split_gibbs.kernel(key, state.own, target, tuning.step["likelihood"], steps)
    acceptance = {"likelihood": info.acceptance, "flux": info.acceptance_flux}
    return _split_state(own, target), SplitInfo(acceptance, info.gap)


SAMPLERS = {
    "gibbs": Sampler(gibbs.tune, gibbs.init, gibbs.kernel, gibbs.retune),
    "langevin": Sampler(_langevin_tune, _langevin_init, _langevin_kernel),
    "split-gibbs": Sampler(_split_tune, _split_init, _split_kernel),
}
