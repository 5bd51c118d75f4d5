"""Chains of one galaxy or of many side by side, in chunks of a fixed number of sweeps.

One chunk is one jitted call over all chains of all galaxies (`stack`); between chunks the
host keeps the scalars of every sweep, one map per chunk, and the progress. Nothing is
compiled again for another galaxy of the same shape. The chains first come near: by Langevin
dynamics of all latents at once (`relax`) or down a ladder of noise levels (`descend`), which
is no part of the draws. Warm-up adapts each chain's step sizes by dual averaging (Hoffman &
Gelman 2014), as BlackJAX has it, and ends by fixing them: when the averaged step sizes and
the likelihood have come to rest (`settled`), or the sweeps are spent. Memory does not grow
with the run: where more than `MOST_MAPS` maps of a chain are kept, every other one is
dropped and half as many are taken from there on.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from jax import Array

from dustpost import coordinates
from dustpost.likelihood import expected_cube, log_likelihood, temper
from dustpost.posterior import Position, Target
from dustpost.samplers import annealed, langevin
from dustpost.samplers.choice import Sampler

ACCEPTANCE = 0.8  # the rate that the step sizes are adapted to
CURL_EVERY = 5  # sweeps; the curl defect costs as much as a third of a sweep
FIRST_STEP = 0.3
RELAX_CHUNK = 25
MOST_MAPS = 200  # a chain; 3 MB of 64x64 pixels
STEP_CHANGE = 0.1  # relative, of the averaged step sizes over a chunk of a settled warm-up


class _DualAveraging(NamedTuple):
    init: Callable
    update: Callable
    final: Callable


_ADAPT = _DualAveraging(*dual_averaging_adaptation(ACCEPTANCE))


class Scalars(NamedTuple):
    """Numbers of one sweep; (chain, sweep, ...) once gathered."""

    flux: Array
    slope: Array
    mean_attenuation: Array
    covering_fraction: Array
    log_screen: Array
    log_likelihood: Array


class Trace(NamedTuple):
    """All that is kept of a run, numpy, chains first.

    Attributes
    ----------
    scalars : Scalars
        Every sweep.
    info : NamedTuple
        The sampler's own, every sweep; `curl_defect`, where it has one, is that of the
        latest sweep in which it was measured.
    host, transmission : ndarray, (chain, kept, y, x)
        The last sweeps of evenly spaced chunks.
    kept : ndarray, (kept,), int
        Which sweeps those are.
    model : ndarray, (chain, band, y, x)
        Mean of the model cube over the last sweep of every chunk.
    """

    scalars: Scalars
    info: Any
    host: np.ndarray
    transmission: np.ndarray
    kept: np.ndarray
    model: np.ndarray


def stack(targets: list[Target], chains: int) -> Target:
    """One target for the chains of several galaxies, which share their priors' networks.

    Parameters
    ----------
    targets : list of Target
        Alike but for the observation and the prior of the fluxes.
    chains : int
        Of each galaxy.

    Returns
    -------
    Target
        Its observation, prior of the fluxes and anchor have an axis of galaxies x chains in
        front.
    """

    def gather(*leaves):
        return jnp.repeat(jnp.stack(leaves), chains, axis=0)

    return targets[0].replace(
        observation=jax.tree.map(gather, *[target.observation for target in targets]),
        flux_prior=jax.tree.map(gather, *[target.flux_prior for target in targets]),
        anchor=jax.tree.map(gather, *[target.anchor for target in targets]),
    )


def axes(target: Target) -> Target | None:
    """Where `stack` has put the axis of chains, for vmap; None for one galaxy."""
    if target.observation.data.ndim == 3:
        return None
    shared = dict.fromkeys(("host_prior", "dust_prior", "slope_prior"))
    shared |= dict.fromkeys(("sigma_host", "sigma_dust"))
    anchor = None if target.anchor is None else 0
    return target.replace(observation=0, flux_prior=0, anchor=anchor, **shared)


def _split(key: Array, number: int) -> Array:
    """Keys (number, galaxy) from one key, or one of each galaxy."""
    return jnp.swapaxes(jax.vmap(lambda one: jax.random.split(one, number))(key.reshape(-1)), 0, 1)


def _of_chains(key: Array, chains: int) -> Array:
    """A key for each chain of all galaxies: those of a galaxy depend on its own key alone."""
    key = key.reshape(-1)
    return jax.vmap(lambda one: jax.random.split(one, chains // key.size))(key).reshape(-1)


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
    start_key, *keys = _split(key, 1 - (-steps // RELAX_CHUNK))
    states = _relax_start(start_key, positions, target, mass)
    for chunk_key in keys:
        states = jax.block_until_ready(_relax_chunk(chunk_key, states, target, mass))
        advance(RELAX_CHUNK)
    return states.position


@jax.jit
def _relax_start(key, positions, target, mass):
    keys = _of_chains(key, positions.slope.size)
    init = jax.vmap(langevin.init, in_axes=(0, 0, axes(target), 0))
    return _strong(init(keys, positions, target, mass))


@jax.jit
def _relax_chunk(key, states, target, mass):
    def step(states, key):
        keys = _of_chains(key, mass.slope.size)
        kernel = jax.vmap(langevin.kernel, in_axes=(0, 0, axes(target), 0))
        return kernel(keys, states, target, mass), None

    return jax.lax.scan(step, states, _split(key, RELAX_CHUNK))[0]


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
    for level_key, host, dust in zip(_split(key, len(ladder.host)), *ladder, strict=True):
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

        begin = _strong(sampler.init(start_key, position, target))
        return jax.lax.scan(sweep, begin, jax.random.split(key, sweeps))[0].position

    keys = _of_chains(key, positions.slope.size)
    return jax.vmap(one, in_axes=(0, 0, axes(target)))(keys, positions, target)


@partial(jax.jit, static_argnames="sampler")
def start(key: Array, positions: Position, target: Target, sampler: Sampler) -> Any:
    """States of all chains at their positions, (chain, ...) each."""
    keys = _of_chains(key, positions.slope.size)
    init = jax.vmap(sampler.init, in_axes=(0, 0, axes(target)))
    return _strong(init(keys, positions, target))


def warm_up(
    key: Array,
    states: Any,
    target: Target,
    sampler: Sampler,
    tuning: Any,
    sweeps: int,
    steps: int,
    chunk: int,
    advance: Callable[[int], None] = lambda done: None,
) -> tuple[Any, Any]:
    """Move the chains towards the posterior and settle their step sizes.

    Parameters
    ----------
    key : Array
        Random key, or one of each galaxy.
    states : NamedTuple
        The sampler's, (chain, ...) each; all chains of a galaxy, then of the next.
    target : Target
        Of one galaxy, or of several as `stack` gives it.
    sampler : Sampler
    tuning : NamedTuple
        The sampler's, (chain, ...) each; its step sizes are where the adaptation starts.
    sweeps, steps, chunk : int
        Sweeps in all (rounded up to chunks), steps of a trajectory, sweeps a chunk.
    advance : callable
        Told the number of sweeps done after each chunk.
    """
    adaptation = _begin_adaptation(tuning)
    pieces = []
    for chunk_key in _split(key, -(-sweeps // chunk)):
        before = adaptation
        states, adaptation, record, _ = _chunk(
            chunk_key, states, target, tuning, adaptation, True, sampler, steps, chunk
        )
        pieces.append(np.asarray(record[0].log_likelihood))
        advance(chunk)
        if settled(pieces, before, adaptation):
            break
    final = {name: _ADAPT.final(one) for name, one in adaptation.items()}
    return states, tuning._replace(step=_strong(final))


def settled(log_likelihood: list[np.ndarray], before: dict, after: dict) -> bool:
    """Whether warm-up may end.

    Over the latest chunk no averaged step size has changed by more than `STEP_CHANGE`, and
    the likelihood of the last third of the sweeps is, chain by chain, that of the third
    before to within its own scatter.

    Parameters
    ----------
    log_likelihood : list of ndarray, (chain, sweep)
        One of each chunk.
    before, after : dict
        Dual averaging of each move, a chunk ago and now.
    """
    series = np.concatenate(log_likelihood, axis=1)
    third = series.shape[1] // 3
    if len(log_likelihood) < 6 or third < 5:
        return False
    last, previous = series[:, -third:], series[:, -2 * third : -third]
    rest = np.abs(last.mean(axis=1) - previous.mean(axis=1)) <= last.std(axis=1)
    change = [
        np.max(np.abs(after[name].log_step_size_avg - before[name].log_step_size_avg))
        for name in after
    ]
    return bool(np.all(rest)) and max(change, default=0.0) < STEP_CHANGE


def run(
    key: Array,
    states: Any,
    target: Target,
    sampler: Sampler,
    tuning: Any,
    sweeps: int,
    steps: int,
    chunk: int,
    watch: Callable[[int, Scalars], bool] = lambda done, scalars: False,
) -> tuple[Any, Trace]:
    """Sample with everything fixed; parameters as in `warm_up`, and

    Parameters
    ----------
    watch : callable
        Told after every chunk the sweeps just done and the scalars of all so far,
        (chain, sweep, ...); the run ends early where it says yes.
    """
    adaptation = _begin_adaptation(tuning)  # carried along unused: one compilation for both
    pieces, maps, model, stride = [], [], 0.0, 1
    for number, chunk_key in enumerate(_split(key, -(-sweeps // chunk))):
        states, _, record, cube = _chunk(
            chunk_key, states, target, tuning, adaptation, False, sampler, steps, chunk
        )
        pieces.append(jax.tree.map(np.asarray, record))
        model = model + np.asarray(cube, float)
        if number % stride == 0:
            galaxy = states.galaxy
            maps.append((number, np.asarray(galaxy.host), np.asarray(galaxy.transmission)))
        if len(maps) > MOST_MAPS:
            maps, stride = maps[::2], 2 * stride
        if watch(chunk, _joined([scalars for scalars, _ in pieces])):
            break
    scalars, info = _joined(pieces)
    if hasattr(info, "curl_defect"):
        info = info._replace(curl_defect=_hold(info.curl_defect))
    numbers, *images = zip(*maps, strict=True)
    host, transmission = (np.stack(x, axis=1) for x in images)
    kept = (np.array(numbers) + 1) * chunk - 1
    return states, Trace(scalars, info, host, transmission, kept, model / len(pieces))


def _joined(pieces: list):
    return jax.tree.map(lambda *x: np.concatenate(x, axis=1), *pieces)


@partial(jax.jit, static_argnames=("sampler", "steps", "chunk"))
def _chunk(key, states, target, tuning, adaptation, adapt, sampler, steps, chunk):
    """`chunk` sweeps of all chains: states, adaptation, record of every sweep, model cubes."""
    chains = states.position.slope.size
    where = axes(target)
    kernel = jax.vmap(sampler.kernel, in_axes=(0, 0, where, 0, None, None))
    scalars = jax.vmap(_scalars, in_axes=(0, where))

    def sweep(carry, inputs):
        states, adaptation = carry
        key, index = inputs
        step = {
            name: jnp.where(adapt, jnp.exp(one.log_step_size), tuning.step[name])
            for name, one in adaptation.items()
        }
        now = tuning._replace(step=step)
        keys = _of_chains(key, chains)
        curl = (index % CURL_EVERY == 0) & ~adapt
        states, info = kernel(keys, states, target, now, steps, curl)
        adaptation = {
            name: _ADAPT.update(one, info.acceptance[name]) for name, one in adaptation.items()
        }
        return (states, adaptation), (scalars(states, target), info)

    adapt = jnp.asarray(adapt)
    inputs = _split(key, chunk), jnp.arange(chunk)
    (states, adaptation), record = jax.lax.scan(sweep, (states, adaptation), inputs)
    record = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), record)
    model = jax.vmap(_model, in_axes=(0, where))(states, target)
    return states, adaptation, record, model


def _begin_adaptation(tuning):
    return _strong({name: jax.vmap(_ADAPT.init)(step) for name, step in tuning.step.items()})


def _strong(tree):
    # a weakly typed array is another type to jit: the same function would compile twice
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), tree)


def _scalars(state: Any, target: Target) -> Scalars:
    host, transmission = state.galaxy.host, state.galaxy.transmission
    return Scalars(
        flux=state.flux.value,
        slope=state.position.slope,
        mean_attenuation=coordinates.mean_attenuation(host, transmission, target.k_pivot),
        covering_fraction=coordinates.covering_fraction(
            host, transmission, target.k_pivot, target.covering_threshold
        ),
        log_screen=coordinates.log_screen(host, transmission),
        log_likelihood=log_likelihood(target.observation, state.galaxy.templates, state.flux.value),
    )


def _model(state: Any, target: Target) -> Array:
    return expected_cube(target.observation, state.galaxy.templates, state.flux.value)


def _hold(measured: np.ndarray) -> np.ndarray:
    """Carry each chain's last measured value forward; the first sweep is measured."""
    last = np.maximum.accumulate(np.where(np.isnan(measured), 0, np.arange(measured.shape[1])), 1)
    return np.take_along_axis(measured, last, axis=1)
