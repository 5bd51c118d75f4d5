"""Likelihood-tempered sequential Monte Carlo (Del Moral, Doucet & Jasra 2006): weights of modes.

Particles drawn from the prior are led through

    pi_b(q, F) ~ p(q) p(F) L(Y | q, F)^b,    0 < b_1 < ... < 1;

L^b is the likelihood with b times the inverse variance, so that each pi_b is a `Target` of its
own and the package's own sweeps move it. From b to b' a particle draws F' from q_b'(F' | q) and
is weighed by

    pi_b'(q, F') q_b(F | q) / (pi_b(q, F) q_b'(F' | q)) = Z_b'(q) w' / (Z_b(q) w),

Z the likelihood with F integrated out and w as in `dustpost.samplers.flux`: the prior of the
latents cancels, and a prior known by its score alone will do. b' is taken where the effective
number falls to `KEPT` of the particles. All start from the prior, so that a mode has as many
particles as its mass, and not as many as there were starts in its basin. Under the cut cross
term the sweeps, and with them the end, are those of `dustpost.samplers.gibbs`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.smc.ess import log_ess
from blackjax.smc.resampling import systematic
from blackjax.smc.solver import dichotomy
from jax import Array

from dustpost import likelihood
from dustpost.galaxy import Position
from dustpost.posterior import Target
from dustpost.samplers.choice import Sampler

KEPT = 0.9  # effective share of the particles after a step of b
# b that is as good as 0: a S/N of 300 is then one of 0.01. Of less, single precision makes noise
# of the integral over F
LEAST = 1e-9
TOLERANCE = 0.02  # of the log of the effective share
BATCH = 16 * 64 * 64  # pixels of particles side by side
FIRST_STEP = 0.3
ACCEPTANCE = 0.8
STEP_RATE = 1.0  # change of ln step by the ensemble's acceptance less `ACCEPTANCE`, a sweep


class Cloud(NamedTuple):
    """Particles of equal weight, and the powers that led them there.

    Attributes
    ----------
    states : NamedTuple
        The sampler's, (particle, ...) each, at b = 1.
    powers : tuple of float
        b of each step, the last 1.
    acceptance : dict of str to Array, ()
        Of the last sweep, by the name of the move.
    ancestors : int
        How many of the particles that were drawn from the prior have descendants: of few, a
        mode may have been lost on the way.
    """

    states: Any
    powers: tuple[float, ...]
    acceptance: dict[str, Array]
    ancestors: int


def draw_prior(key: Array, target: Target, particles: int) -> Position:
    """Positions drawn from the priors of host, dust and slope, (particle, ...) each."""

    def one(key):
        host_key, dust_key, slope_key = jax.random.split(key, 3)
        latent = target.host_prior.sample(host_key, target.sigma_host)
        host, _ = target.host_of(latent)
        return Position(
            latent, target.draw_dust(dust_key, host), target.slope_prior.sample(slope_key)
        )

    return jax.jit(partial(_each, one))(jax.random.split(key, particles))


def run(
    key: Array,
    positions: Position,
    target: Target,
    sampler: Sampler,
    sweeps: int,
    steps: int,
    last: int = 0,
    advance: Callable[..., None] = lambda done, note="": None,
) -> Cloud:
    """Lead particles from the prior to the posterior.

    Parameters
    ----------
    key : Array
        Random key.
    positions : Position
        Draws of the prior, (particle, ...) each: `draw_prior`.
    target : Target
        Of one galaxy.
    sampler : Sampler
        With a Metropolis step: `samplers.choice.SAMPLERS["gibbs"]`.
    sweeps, steps : int
        Sweeps at each power, steps of a trajectory.
    last : int
        How many times as many sweeps more at the end.
    advance : callable
        (done, note), told after each power how far ln b has come, in per cent.
    """
    start_key, key = jax.random.split(key)
    states = _begin(start_key, positions, temper(target, LEAST), sampler)
    power, powers, done, step = LEAST, [], 0, None
    family = np.arange(positions.slope.size)
    while power < 1.0:
        key, draw_key, move_key = jax.random.split(key, 3)
        further = float(_next(states, target, power, not powers))
        further = 1.0 if further > 1.0 - 1e-3 else further
        before, now = temper(target, power), temper(target, further)
        states, chosen = _resample(draw_key, states, before, now, sampler, not powers)
        family = family[np.asarray(chosen)]
        for round_key in jax.random.split(move_key, 1 + (last if further == 1.0 else 0)):
            states, step, acceptance = _move(round_key, states, now, step, sampler, sweeps, steps)
        come = round(100 * (1 - math.log(further) / math.log(LEAST)))
        advance(come - done, f"likelihood to the power {further:.2g}")
        power, done = further, come
        powers.append(power)
    return Cloud(states, tuple(powers), acceptance, np.unique(family).size)


def temper(target: Target, power: Array | float) -> Target:
    """The target whose likelihood is that of the data to a power."""
    return target.replace(observation=likelihood.temper(target.observation, power))


def _each(function: Callable, *arrays: Any) -> Any:
    """vmap, a batch at a time: networks need memory."""
    largest = max(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(arrays))
    return jax.lax.map(lambda x: function(*x), arrays, batch_size=max(1, BATCH // largest))


@partial(jax.jit, static_argnames="sampler")
def _begin(key: Array, positions: Position, target: Target, sampler: Sampler) -> Any:
    keys = jax.random.split(key, positions.slope.size)
    return _each(lambda key, place: sampler.init(key, place, target), keys, positions)


def _log_evidence(states: Any, target: Target) -> Array:
    """ln Z_b of every particle, (particle,)."""

    def one(galaxy, slope):
        return target.explicit(galaxy.host, galaxy.transmission, slope)[0]

    return _each(one, states.galaxy, states.position.slope)


@jax.jit
def _next(states: Any, target: Target, power: Array, first: Array) -> Array:
    """The power at which `KEPT` of the particles are effective, F's own share left out."""
    start = jnp.where(first, 0.0, _log_evidence(states, temper(target, power)))

    def excess(log_power):
        further = _log_evidence(states, temper(target, jnp.exp(log_power)))
        return log_ess(_finite(further - start)) - jnp.log(KEPT * start.size)

    low = jnp.log(jnp.asarray(power, float))
    found = dichotomy(excess, low, jnp.zeros_like(low), TOLERANCE, 40)
    # at least a little further, whatever the particles say; nan where even `low` is too far
    return jnp.minimum(jnp.exp(jnp.fmax(found, low + 0.05)), 1.0)


def _finite(log_weight: Array) -> Array:
    return jnp.where(jnp.isfinite(log_weight), log_weight, -jnp.inf)


@partial(jax.jit, static_argnames="sampler")
def _resample(
    key: Array, states: Any, before: Target, now: Target, sampler: Sampler, first: Array
) -> tuple[Any, Array]:
    """States at the new power, drawn by their weights, and which they were."""
    draw_key, key = jax.random.split(key)
    known = jnp.where(first, 0.0, _log_evidence(states, before) + states.flux.log_weight)
    states = _begin(key, states.position, now, sampler)
    share = jax.nn.softmax(_finite(_log_evidence(states, now) + states.flux.log_weight - known))
    chosen = systematic(draw_key, share, share.size)
    return jax.tree.map(lambda x: x[chosen], states), chosen


@partial(jax.jit, static_argnames=("sampler", "sweeps", "steps"))
def _move(key, states, target, step, sampler, sweeps, steps):
    """Sweeps of all particles; masses are the ensemble's mean, step sizes follow its acceptance."""
    tuning = _each(lambda place: sampler.tune(target, place, FIRST_STEP), states.position)
    tuning = jax.tree.map(lambda x: jnp.mean(x, axis=0), tuning)
    step = jax.tree.map(jnp.asarray, tuning.step if step is None else step)

    def sweep(carry, key):
        states, step = carry
        keys = jax.random.split(key, states.position.slope.size)
        now = tuning._replace(step=step)
        states, info = _each(
            lambda key, state: sampler.kernel(key, state, target, now, steps), keys, states
        )
        rate = {name: jnp.mean(jnp.nan_to_num(info.acceptance[name])) for name in step}
        step = {
            name: size * jnp.exp(STEP_RATE * (rate[name] - ACCEPTANCE))
            for name, size in step.items()
        }
        return (states, step), rate

    keys = jax.random.split(key, sweeps)
    (states, step), rates = jax.lax.scan(sweep, (states, step), keys)
    return states, step, jax.tree.map(lambda x: x[-1], rates)
