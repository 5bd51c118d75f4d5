"""Warm-up in stages: anchors and frames follow the chains, then step sizes adapt.

A stage fits the dust's condition (where it is held, `cross_term = "anchored"`) and the frames
of the moves (`dustpost.samplers.frame`) to where a galaxy's chains are, and sweeps from there;
the last stage's are those of the draws.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.posterior import Position, Target
from dustpost.progress import Stage, quiet
from dustpost.samplers import run, side_by_side
from dustpost.samplers.choice import SAMPLERS
from dustpost.settings import Settings

STAGES = 3


def warm_up(
    key: Array,
    states: Any,
    targets: list[Target],
    tuning: Any,
    settings: Settings,
    plan: dict[str, int],
    progress: Stage = quiet,
) -> tuple[Any, list[Target], Any]:
    """Fit anchors and frames to where the chains are, settle step sizes; `STAGES` times over.

    Parameters as in `run.warm_up`; `key` is one of each galaxy, `targets` are the galaxies'
    own. A sampler without frames has one stage.

    Returns
    -------
    states : NamedTuple
    targets : list of Target
        With the anchors of the last stage.
    tuning : NamedTuple
    """
    sampler = SAMPLERS[settings.sampler]
    refit = sampler.retune is not None and settings.directions > 0
    stages = STAGES if refit else 1
    sweeps = -(-settings.warmup // (stages * plan["chunk"])) * plan["chunk"]
    advance = progress("warm-up", stages * sweeps)
    for stage_key in jax.vmap(lambda one: jax.random.split(one, stages), out_axes=1)(key):
        fit_key, begin_key, sweep_key = jax.vmap(lambda one: jax.random.split(one, 3), out_axes=1)(
            stage_key
        )
        targets = [
            anchored(target, states.galaxy.host[part], settings)
            for target, part in zip(targets, parts(settings, len(targets)), strict=True)
        ]
        target = together(targets, settings.chains)
        states = run.start(begin_key, states.position, target, sampler)
        if refit:
            tuning = retune(fit_key, states, targets, tuning, settings)
        states, tuning = run.warm_up(
            sweep_key, states, target, sampler, tuning, sweeps, **plan, advance=advance
        )
    return states, targets, tuning


def anchored(target: Target, hosts: Array, settings: Settings) -> Target:
    """The target with the mean of some hosts, (n, y, x), as the dust's condition.

    Where `settings.cross_term` asks for no anchor, the target as it is.
    """
    if settings.cross_term != "anchored":
        return target
    return target.replace(anchor=jnp.mean(hosts, axis=0))


def together(targets: list[Target], chains: int) -> Target:
    """One target for all chains of all galaxies."""
    return targets[0] if len(targets) == 1 else side_by_side.stack(targets, chains)


def parts(settings: Settings, galaxies: int) -> list[slice]:
    """Where each galaxy's chains are among those of all."""
    return [slice(n * settings.chains, (n + 1) * settings.chains) for n in range(galaxies)]


def retune(key: Array, states: Any, targets: list[Target], tuning: Any, settings: Settings) -> Any:
    """Fit the frames of each galaxy to its chains; tuning (chain, ...) of all of them."""
    fit = jax.jit(SAMPLERS[settings.sampler].retune, static_argnames="rank")
    found = []
    for number, part in enumerate(parts(settings, len(targets))):
        mine, first = jax.tree.map(lambda x, part=part: x[part], (states, tuning))
        fitted = fit(
            key[number],
            mine,
            targets[number],
            jax.tree.map(lambda x: x[0], first),
            rank=settings.directions,
        )
        fitted = jax.tree.map(lambda x: jnp.stack([x] * settings.chains), fitted)
        found.append(fitted._replace(step=first.step))
    return jax.tree.map(lambda *x: jnp.concatenate(x), *found)


@jax.jit
def light_of(target: Target, position: Position) -> Array:
    """The host's image S, (y, x), at a position."""
    return target.host_of(position.host)[0].image
