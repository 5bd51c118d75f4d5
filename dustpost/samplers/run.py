"""Chains side by side, in chunks of a fixed number of sweeps.

One chunk is one jitted call over all chains; between chunks the host keeps the scalars of
every sweep, one map per chunk, and the progress. Nothing is compiled again for another
galaxy of the same shape. The chains first relax by Langevin dynamics of all latents at once,
which has no acceptance and is no part of the draws. Warm-up adapts each chain's two step
sizes by dual averaging (Hoffman & Gelman 2014), as BlackJAX has it, and ends by fixing them.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from jax import Array

from dustpost import coordinates
from dustpost.likelihood import log_likelihood
from dustpost.posterior import Position, Target
from dustpost.samplers import gibbs, langevin

ACCEPTANCE = 0.8  # the rate that the step sizes are adapted to
CURL_EVERY = 5  # sweeps; the curl defect costs as much as a third of a sweep
FIRST_STEP = 0.3
RELAX_CHUNK = 25


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
    info : gibbs.Info
        Every sweep; `curl_defect` is that of the latest sweep in which it was measured.
    host, transmission : ndarray, (chain, kept, y, x)
        The last sweep of every chunk.
    model : ndarray, (band, y, x)
        Mean of the model cube over those sweeps.
    """

    scalars: Scalars
    info: gibbs.Info
    host: np.ndarray
    transmission: np.ndarray
    model: np.ndarray


def relax(
    key: Array,
    positions: Position,
    target: Target,
    tuning: gibbs.Tuning,
    steps: int,
    advance: Callable[[int], None] = lambda done: None,
) -> Position:
    """Bring the chains near the posterior by unadjusted Langevin dynamics.

    Parameters
    ----------
    key : Array
        Random key.
    positions : Position
        (chain, ...) each.
    target : Target
    tuning : gibbs.Tuning
        (chain, ...) each; its masses are used.
    steps : int
        Rounded up to chunks of `RELAX_CHUNK`.
    advance : callable
        Told the number of steps done after each chunk.
    """
    mass = Position(tuning.precision_host, *tuning.precision_dust)
    start_key, key = jax.random.split(key)
    keys = jax.random.split(start_key, positions.slope.shape[0])
    states = jax.jit(jax.vmap(langevin.init, in_axes=(0, 0, None, 0)))(
        keys, positions, target, mass
    )
    for chunk_key in jax.random.split(key, -(-steps // RELAX_CHUNK)):
        states = jax.block_until_ready(_relax_chunk(chunk_key, _strong(states), target, mass))
        advance(RELAX_CHUNK)
    return states.position


@jax.jit
def _relax_chunk(key, states, target, mass):
    def step(states, key):
        keys = jax.random.split(key, mass.slope.shape[0])
        kernel = jax.vmap(langevin.kernel, in_axes=(0, 0, None, 0))
        return kernel(keys, states, target, mass), None

    return jax.lax.scan(step, states, jax.random.split(key, RELAX_CHUNK))[0]


@jax.jit
def start(keys: Array, positions: Position, target: Target) -> gibbs.State:
    """States of all chains at their positions, (chain, ...) each."""
    return _strong(jax.vmap(gibbs.init, in_axes=(0, 0, None))(keys, positions, target))


def warm_up(
    key: Array,
    states: gibbs.State,
    target: Target,
    tuning: gibbs.Tuning,
    sweeps: int,
    steps: int,
    chunk: int,
    advance: Callable[[int], None] = lambda done: None,
) -> tuple[gibbs.State, gibbs.Tuning]:
    """Move the chains towards the posterior and settle their step sizes.

    Parameters
    ----------
    key : Array
        Random key.
    states : gibbs.State
        (chain, ...) each.
    target : Target
    tuning : gibbs.Tuning
        (chain, ...) each; its step sizes are where the adaptation starts.
    sweeps, steps, chunk : int
        Sweeps in all (rounded up to chunks), leapfrog steps, sweeps a chunk.
    advance : callable
        Told the number of sweeps done after each chunk.
    """
    adaptation = _begin_adaptation(tuning)
    for chunk_key in jax.random.split(key, -(-sweeps // chunk)):
        states, adaptation, _, _ = _chunk(
            chunk_key, states, target, tuning, adaptation, True, steps, chunk
        )
        jax.block_until_ready(states)
        advance(chunk)
    dust, host = _strong(tuple(_ADAPT.final(a) for a in adaptation))
    return states, tuning._replace(step_dust=dust, step_host=host)


def run(
    key: Array,
    states: gibbs.State,
    target: Target,
    tuning: gibbs.Tuning,
    sweeps: int,
    steps: int,
    chunk: int,
    advance: Callable[[int], None] = lambda done: None,
) -> tuple[gibbs.State, Trace]:
    """Sample with everything fixed; parameters as in `warm_up`."""
    adaptation = _begin_adaptation(tuning)  # carried along unused: one compilation for both
    pieces, hosts, transmissions, models = [], [], [], []
    for chunk_key in jax.random.split(key, -(-sweeps // chunk)):
        states, _, record, model = _chunk(
            chunk_key, states, target, tuning, adaptation, False, steps, chunk
        )
        pieces.append(jax.tree.map(np.asarray, record))
        hosts.append(np.asarray(states.galaxy.host))
        transmissions.append(np.asarray(states.galaxy.transmission))
        models.append(np.asarray(model))
        advance(chunk)
    scalars, info = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *pieces)
    info = info._replace(curl_defect=_hold(info.curl_defect))
    maps = (np.stack(x, axis=1) for x in (hosts, transmissions))
    return states, Trace(scalars, info, *maps, np.mean(models, axis=0))


@partial(jax.jit, static_argnames=("steps", "chunk"))
def _chunk(key, states, target, tuning, adaptation, adapt, steps, chunk):
    """`chunk` sweeps of all chains: states, adaptation, record of every sweep, model cube."""
    chains = states.position.slope.shape[0]
    kernel = jax.vmap(gibbs.kernel, in_axes=(0, 0, None, 0, None, None))

    def sweep(carry, inputs):
        states, adaptation = carry
        key, index = inputs
        dust, host = (jnp.exp(a.log_step_size) for a in adaptation)
        now = tuning._replace(
            step_dust=jnp.where(adapt, dust, tuning.step_dust),
            step_host=jnp.where(adapt, host, tuning.step_host),
        )
        keys = jax.random.split(key, chains)
        curl = (index % CURL_EVERY == 0) & ~adapt
        states, info = kernel(keys, states, target, now, steps, curl)
        rates = info.acceptance_dust, info.acceptance_host
        adaptation = tuple(map(_ADAPT.update, adaptation, rates))
        return (states, adaptation), (_scalars(states, target), info)

    adapt = jnp.asarray(adapt)
    inputs = jax.random.split(key, chunk), jnp.arange(chunk)
    (states, adaptation), record = jax.lax.scan(sweep, (states, adaptation), inputs)
    record = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), record)
    model = states.flux.value[:, :, None, None] * states.galaxy.templates
    return states, adaptation, record, jnp.mean(model, axis=0)


def _begin_adaptation(tuning):
    return _strong(tuple(map(jax.vmap(_ADAPT.init), (tuning.step_dust, tuning.step_host))))


def _strong(tree):
    # a weakly typed array is another type to jit: the same function would compile twice
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), tree)


@partial(jax.vmap, in_axes=(0, None))
def _scalars(state: gibbs.State, target: Target) -> Scalars:
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


def _hold(measured: np.ndarray) -> np.ndarray:
    """Carry each chain's last measured value forward; the first sweep is measured."""
    last = np.maximum.accumulate(np.where(np.isnan(measured), 0, np.arange(measured.shape[1])), 1)
    return np.take_along_axis(measured, last, axis=1)
