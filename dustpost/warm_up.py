"""Warm-up in stages: anchors and frames follow the chains, then step sizes adapt.

A stage fits the dust's condition (where it is held, `cross_term = "anchored"`) and the frames
of the moves (`dustpost.samplers.frame`) to where a galaxy's chains are, and sweeps from there;
the last stage's are those of the draws. Where the dust is an energy of the transmission the first
stage has at least the noise `settings.SIGMA_ENERGY`: chains leave modes there in which at less
noise they stay, such as dust everywhere but where it is.

A chain that begins far out where the signal is strong may take steps so short that it is still
underway when the draws begin. One that a stage leaves behind goes on as the one ahead (`leaders`).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.galaxy import Position
from dustpost.posterior import Target
from dustpost.progress import Stage, quiet
from dustpost.samplers import run, side_by_side
from dustpost.samplers.choice import SAMPLERS
from dustpost.settings import SIGMA_ENERGY, Settings
from dustpost.starts import exact

STAGES = 3


def warm_up(
    key: Array,
    states: Any,
    targets: list[Target],
    tuning: Any,
    settings: Settings,
    plan: dict[str, int],
    sigma: Array,
    progress: Stage = quiet,
) -> tuple[Any, list[Target], Any, np.ndarray]:
    """Fit anchors and frames to where the chains are, settle step sizes; `STAGES` times over.

    Parameters as in `run.warm_up`; `key` is one of each galaxy, `targets` are the galaxies'
    own, maybe `heated`, `sigma` is the dust's noise from the second stage on. A sampler without
    frames has one stage.

    Returns
    -------
    states : NamedTuple
    targets : list of Target
        With the anchors of the last stage, at the noise of the draws.
    tuning : NamedTuple
    origin : ndarray of int, (chain,)
        The chain that each was in the first stage: its own number, but for those left behind.
    """
    sampler, stages = SAMPLERS[settings.sampler], stages_of(settings)
    sweeps = sweeps_of(settings)
    advance = progress("warm-up", stages * sweeps)
    origin = np.arange(len(targets) * settings.chains)
    stage_keys = jax.vmap(lambda one: jax.random.split(one, stages), out_axes=1)(key)
    for number, stage_key in enumerate(stage_keys):
        fit_key, begin_key, sweep_key = jax.vmap(lambda one: jax.random.split(one, 3), out_axes=1)(
            stage_key
        )
        targets = [
            anchored(target, states.galaxy.host[part], settings)
            for target, part in zip(targets, parts(settings, len(targets)), strict=True)
        ]
        place = states.position
        if number == 1:
            place = place._replace(dust=_less_noisy(states, targets[0], sigma))
            targets = [target.replace(sigma_dust=sigma) for target in targets]
        target = together(targets, settings.chains)
        states = run.start(begin_key, place, target, sampler)
        if stages > 1:
            tuning = retune(fit_key, states, targets, tuning, settings)
        states, tuning, energy = run.warm_up(
            sweep_key, states, target, sampler, tuning, sweeps, **plan, advance=advance
        )
        if number == stages - 1:
            break  # what is left behind now is told by R-hat
        ahead = leaders(energy, settings.chains, place.host[0].size + place.dust[0].size)
        if (ahead != np.arange(len(ahead))).any():
            states, went_on = jax.tree.map(lambda x, ahead=ahead: x[ahead], (states, tuning))
            tuning = tuning._replace(step=went_on.step)
            origin = origin[ahead]
    return states, targets, tuning, origin


def leaders(energy: np.ndarray, chains: int, latents: int) -> np.ndarray:
    """The chain that each goes on as: itself, or the lowest of its galaxy if left behind by it.

    Left behind is a chain whose energy is higher by more than a nat a latent. In equilibrium that
    of n latents is n / 2 above its least, whatever their widths, to sqrt(n / 2): two places
    that differ by n weigh alike only if one is wider by a factor of e along every axis.

    Parameters
    ----------
    energy : ndarray, (chain,)
        Of all chains of a galaxy, then of the next; nan where the target has none.
    chains : int
        Of each galaxy.
    latents : int
        Values that move.
    """
    of_galaxies = energy.reshape(-1, chains)
    known = np.where(np.isnan(of_galaxies), np.inf, of_galaxies)
    lowest = known.argmin(axis=1)[:, None]
    behind = of_galaxies > known.min(axis=1, keepdims=True) + latents
    own = np.arange(chains)[None]
    first = chains * np.arange(len(of_galaxies))[:, None]
    return (first + np.where(behind, lowest, own)).ravel()


def stages_of(settings: Settings) -> int:
    """Number of stages of a warm-up."""
    refit = SAMPLERS[settings.sampler].retune is not None and settings.directions > 0
    return STAGES if refit else 1


def sweeps_of(settings: Settings) -> int:
    """Sweeps of each stage, in whole chunks of `settings.keep`."""
    return -(-settings.warmup // (stages_of(settings) * settings.keep)) * settings.keep


def heated(target: Target, settings: Settings) -> Target:
    """The target of the first stage: with more noise of the dust, where it is an energy."""
    energy = exact(target) and target.dust_prior.coordinate == "transmission"
    if not energy or stages_of(settings) == 1:
        return target
    return target.replace(sigma_dust=jnp.maximum(target.sigma_dust, SIGMA_ENERGY))


def _less_noisy(states: Any, target: Target, sigma: Array) -> Array:
    """Dust of all chains, (chain, y, x), with its noise scaled down to another sigma."""
    clean = target.dust_prior.latent(states.galaxy.transmission)
    return clean + sigma / target.sigma_dust * (states.position.dust - clean)


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
        # without the frames of before, which it has no use for: they would compile it anew
        one = jax.tree.map(lambda x: x[0], first)._replace(frames={})
        fitted = fit(key[number], mine, targets[number], one, rank=settings.directions)
        fitted = jax.tree.map(lambda x: jnp.stack([x] * settings.chains), fitted)
        found.append(fitted._replace(step=first.step, aim=first.aim))
    return jax.tree.map(lambda *x: jnp.concatenate(x), *found)


@jax.jit
def light_of(target: Target, position: Position) -> Array:
    """The host's image S, (y, x), at a position."""
    return target.host_of(position.host)[0].image
