"""Chains of one galaxy or of many side by side, in chunks of a fixed number of sweeps.

One chunk is one jitted call over all chains of all galaxies (`side_by_side`); between chunks
the host keeps the scalars of every sweep, one map per chunk, and the progress. Nothing is
compiled again for another galaxy of the same shape. Warm-up adapts each chain's step sizes
by dual averaging (Hoffman & Gelman 2014), as BlackJAX has it, and ends by fixing them: when
the averaged step sizes and the likelihood have come to rest (`settled`), or the sweeps are
spent. Memory does not grow with the run: where more than `MOST_MAPS` maps of a chain are
kept, every other one is dropped and half as many are taken from there on.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from jax import Array

from dustpost.galaxy import Position
from dustpost.posterior import Target
from dustpost.priors import strata
from dustpost.samplers import turns
from dustpost.samplers.choice import Sampler
from dustpost.samplers.scalars import Scalars, fine_map, model_cube, scalars_of
from dustpost.samplers.side_by_side import axes, of_chains, split, strong

ACCEPTANCE = 0.8  # the rate that the step sizes are adapted to
CURL_EVERY = 5  # sweeps; the curl defect costs as much as a third of a sweep
MOST_MAPS = 200  # a chain; 3 MB of 64x64 pixels
# gamma of dual averaging, whose customary 0.05 lets log steps jump by 0.5 from sweep to sweep still
# after 40: acceptance then is a mean of those near 1 and near 0, and the averaged step too small
CALM = 0.2
STEP_CHANGE = 0.1  # relative, of the averaged step sizes over a chunk of a settled warm-up


class _DualAveraging(NamedTuple):
    init: Callable
    update: Callable
    final: Callable


_ADAPT = _DualAveraging(*dual_averaging_adaptation(ACCEPTANCE, gamma=CALM))


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
        The last sweeps of evenly spaced chunks; D with its fine structure.
    kept : ndarray, (kept,), int
        Which sweeps those are.
    share : ndarray, (chain, sweep), int
        Whose tuning, of the galaxy's chains, each had (`dustpost.samplers.turns`).
    model : ndarray, (chain, band, y, x)
        Mean of the model cube over the last sweep of every chunk.
    """

    scalars: Scalars
    info: Any
    host: np.ndarray
    transmission: np.ndarray
    kept: np.ndarray
    share: np.ndarray
    model: np.ndarray


@partial(jax.jit, static_argnames="sampler")
def start(key: Array, positions: Position, target: Target, sampler: Sampler) -> Any:
    """States of all chains at their positions, (chain, ...) each."""
    keys = of_chains(key, positions.slope.size)
    init = jax.vmap(sampler.init, in_axes=(0, 0, axes(target)))
    return strong(init(keys, positions, target))


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
) -> tuple[Any, Any, np.ndarray]:
    """Move the chains towards the posterior, settle their step sizes and where they are held.

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

    Returns
    -------
    states, tuning : NamedTuple
    energy : ndarray, (chain,)
        -ln of the posterior density where each chain ends, see `Target.energy`.
    """
    adaptation = _begin_adaptation(tuning)
    pieces, course = [], []
    for chunk_key in split(key, -(-sweeps // chunk)):
        before = adaptation
        states, adaptation, record, _ = _chunk(
            chunk_key, states, target, tuning, adaptation, True, sampler, steps, chunk
        )
        pieces.append(np.asarray(record[0].log_likelihood))
        if _aimed(tuning):
            tuning = tuning._replace(aim=strata.steered(tuning.aim, record[0].mean_attenuation))
            course.append(tuning.aim)
        advance(chunk)
        if settled(pieces, before, adaptation):
            break
    final = {name: _ADAPT.final(one) for name, one in adaptation.items()}
    if course:
        tuning = tuning._replace(aim=strata.settled(course))
    return states, tuning._replace(step=strong(final)), np.asarray(record[0].energy[:, -1])


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
    watch: Callable[[int, Scalars, np.ndarray], bool] = lambda done, scalars, share: False,
) -> tuple[Any, Trace]:
    """Sample with everything fixed, in turns where chains are held to shares of an amount.

    Parameters as in `warm_up`, and

    Parameters
    ----------
    watch : callable
        Told after every chunk of draws their number, and of all so far the scalars,
        (chain, sweep, ...), and `Trace.share`; the run ends early where it says yes, with turns
        once every chain has been in every share.
    """
    adaptation = _begin_adaptation(tuning)  # carried along unused: one compilation for both
    galaxies, chains = key.size, states.position.slope.size // key.size
    in_turns = _aimed(tuning)
    chunks = turns.plan(sweeps, chunk, chains) if in_turns else turns.straight(sweeps, chunk)
    pieces, maps, shares, model, stride = [], [], [], 0.0, 1
    for chunk_key, now in zip(split(key, len(chunks)), chunks, strict=True):
        order = turns.order(now.turn, chains, galaxies)
        held = jax.tree.map(lambda x, order=order: x[order], tuning) if now.turn else tuning
        states, _, record, (seen, cube) = _chunk(
            chunk_key, states, target, held, adaptation, False, sampler, steps, chunk
        )
        if not now.kept:
            continue
        number = len(pieces)
        pieces.append(jax.tree.map(np.asarray, record))
        shares.append(np.repeat(order[:, None] % chains, chunk, axis=1))
        model = model + np.asarray(cube, float)
        if number % stride == 0:
            maps.append((number, np.asarray(states.galaxy.host), np.asarray(seen)))
        if len(maps) > MOST_MAPS:
            maps, stride = maps[::2], 2 * stride
        so_far = _joined([scalars for scalars, _ in pieces]), np.concatenate(shares, axis=1)
        if watch(chunk, *so_far) and now.whole:
            break
    scalars, info = _joined(pieces)
    if hasattr(info, "curl_defect"):
        info = info._replace(curl_defect=_hold(info.curl_defect))
    numbers, *images = zip(*maps, strict=True)
    host, transmission = (np.stack(x, axis=1) for x in images)
    kept = (np.array(numbers) + 1) * chunk - 1
    share = np.concatenate(shares, axis=1)
    return states, Trace(scalars, info, host, transmission, kept, share, model / len(pieces))


def _aimed(tuning: Any) -> bool:
    """Whether chains are held to an amount of dust."""
    return getattr(tuning, "aim", None) is not None


def _joined(pieces: list):
    return jax.tree.map(lambda *x: np.concatenate(x, axis=1), *pieces)


@partial(jax.jit, static_argnames=("sampler", "steps", "chunk"))
def _chunk(key, states, target, tuning, adaptation, adapt, sampler, steps, chunk):
    """`chunk` sweeps of all chains: states, adaptation, record of every sweep, images.

    The images are the maps D of the last sweep (`Target.fine`) and its model cubes.
    """
    chains = states.position.slope.size
    where = axes(target)
    kernel = jax.vmap(sampler.kernel, in_axes=(0, 0, where, 0, None, None))
    scalars = jax.vmap(scalars_of, in_axes=(0, 0, 0, where))
    fine = jax.vmap(fine_map, in_axes=(0, 0, where))

    def fine_of(keys, states):
        """Maps D that the chains' latents stand for; while they warm up, their means.

        Where chains are held to amounts of dust, which are those of such maps, the maps at once.
        """
        mean, means_do = states.galaxy.transmission, adapt & (not _aimed(tuning))
        return jax.lax.cond(means_do, lambda: mean, lambda: fine(keys, states, target))

    def sweep(carry, inputs):
        states, adaptation, _ = carry
        key, index = inputs
        step = {
            name: jnp.where(adapt, jnp.exp(one.log_step_size), tuning.step[name])
            for name, one in adaptation.items()
        }
        now = tuning._replace(step=step)
        keys = of_chains(key, chains)
        curl = (index % CURL_EVERY == 0) & ~adapt
        states, info = kernel(keys, states, target, now, steps, curl)
        adaptation = {
            name: _ADAPT.update(one, info.acceptance[name]) for name, one in adaptation.items()
        }
        seen = fine_of(keys, states)
        return (states, adaptation, seen), (scalars(keys, states, seen, target), info)

    adapt = jnp.asarray(adapt)
    inputs = split(key, chunk), jnp.arange(chunk)
    begin = states, adaptation, states.galaxy.transmission
    (states, adaptation, seen), record = jax.lax.scan(sweep, begin, inputs)
    record = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), record)
    model = jax.vmap(model_cube, in_axes=(0, where))(states, target)
    return states, adaptation, record, (seen, model)


def _begin_adaptation(tuning):
    """Dual averaging from the steps as they are, and drawn to them (not to 10 times as much)."""
    begun = {name: jax.vmap(_ADAPT.init)(step) for name, step in tuning.step.items()}
    return strong({name: one._replace(mu=one.log_step_size) for name, one in begun.items()})


def _hold(measured: np.ndarray) -> np.ndarray:
    """Carry each chain's last measured value forward; the first sweep is measured."""
    last = np.maximum.accumulate(np.where(np.isnan(measured), 0, np.arange(measured.shape[1])), 1)
    return np.take_along_axis(measured, last, axis=1)
