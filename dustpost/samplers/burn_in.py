"""Burn-in: chains come near the posterior, which is no part of the draws.

By Langevin dynamics of all latents at once (`relax`), or down a ladder of noise levels
(`descend`; Song & Ermon 2019).
"""

from collections.abc import Callable
from functools import partial

import jax
from jax import Array

from dustpost.galaxy import Position
from dustpost.likelihood import temper
from dustpost.posterior import Target
from dustpost.samplers import annealed, langevin
from dustpost.samplers.choice import FIRST_STEP, Sampler
from dustpost.samplers.side_by_side import axes, of_chains, split, strong

RELAX_CHUNK = 25


def relax(
    key: Array,
    positions: Position,
    target: Target,
    mass: Position,
    steps: int,
    advance: Callable[[int], None] = lambda done: None,
) -> Position:
    """Bring the chains near the posterior by unadjusted Langevin dynamics.

    Parameters
    ----------
    key : Array
        Random key, or one of each galaxy.
    positions : Position
        (chain, ...) each; all chains of the first galaxy, then of the next.
    target : Target
        Of one galaxy, or of several as `stack` gives it.
    mass : Position
        Diagonal masses, (chain, ...) each.
    steps : int
        Rounded up to chunks of `RELAX_CHUNK`.
    advance : callable
        Told the number of steps done after each chunk.
    """
    start_key, *keys = split(key, 1 - (-steps // RELAX_CHUNK))
    states = _relax_start(start_key, positions, target, mass)
    for chunk_key in keys:
        states = jax.block_until_ready(_relax_chunk(chunk_key, states, target, mass))
        advance(RELAX_CHUNK)
    return states.position


@jax.jit
def _relax_start(key, positions, target, mass):
    keys = of_chains(key, positions.slope.size)
    init = jax.vmap(langevin.init, in_axes=(0, 0, axes(target), 0))
    return strong(init(keys, positions, target, mass))


@jax.jit
def _relax_chunk(key, states, target, mass):
    def step(states, key):
        keys = of_chains(key, mass.slope.size)
        kernel = jax.vmap(langevin.kernel, in_axes=(0, 0, axes(target), 0))
        return kernel(keys, states, target, mass), None

    return jax.lax.scan(step, states, split(key, RELAX_CHUNK))[0]


def descend(
    key: Array,
    positions: Position,
    target: Target,
    sampler: Sampler,
    ladder: annealed.Ladder,
    sweeps: int,
    steps: int,
    advance: Callable[[int], None] = lambda done: None,
) -> Position:
    """Bring the chains down a ladder of noise levels by a sampler's own sweeps.

    What noise hides, the data may not decide: at each level the pixel noise is wider by
    the dust's noise over that of the last level (as in Jalal et al. 2021).

    Parameters
    ----------
    key : Array
        Random key, or one of each galaxy.
    positions : Position
        (chain, ...) each, at the ladder's first level.
    target : Target
        Of one galaxy or several.
    sampler : Sampler
    ladder : annealed.Ladder
    sweeps, steps : int
        Sweeps at each level, and steps of a sweep.
    advance : callable
        Told of the sweeps done after each level.
    """
    before = ladder.host[0]
    for level_key, host, dust in zip(split(key, len(ladder.host)), *ladder, strict=True):
        positions = annealed.rescale(positions, target, before, host)
        seen = temper(target.observation, (ladder.dust[-1] / dust) ** 2)
        now = target.replace(observation=seen, sigma_host=host, sigma_dust=dust)
        positions = jax.block_until_ready(_level(level_key, positions, now, sampler, sweeps, steps))
        before = host
        advance(sweeps)
    return positions


@partial(jax.jit, static_argnames=("sampler", "sweeps", "steps"))
def _level(key, positions, target, sampler, sweeps, steps):
    def one(key, position, target):
        start_key, key = jax.random.split(key)
        tuning = sampler.tune(target, position, FIRST_STEP)

        def sweep(state, key):
            return sampler.kernel(key, state, target, tuning, steps)[0], None

        begin = strong(sampler.init(start_key, position, target))
        return jax.lax.scan(sweep, begin, jax.random.split(key, sweeps))[0].position

    keys = of_chains(key, positions.slope.size)
    return jax.vmap(one, in_axes=(0, 0, axes(target)))(keys, positions, target)
