"""Annealed Langevin dynamics (Song & Ermon 2019, Algorithm 1): the baseline, unadjusted.

Down a ladder of noise levels sigma_1 > ... > sigma_L, at each of them T steps

    q <- q + (eps_i / 2) grad ln pi_sigma_i(q) + eps_i^1/2 e,    eps_i = eps sigma_i^2 / sigma_L^2,

of all latents at once, q = (z, x, delta). Here eps_i = step / mass_i: with the mass
1/sigma_i^2 of `noise_mass` that is Algorithm 1 with eps = step sigma_L^2; with the mass of
`likelihood_mass` it is preconditioned, as it must be where the data say much more about
a pixel than the noise level does. There is no accept step: for a normal target of
precision P the variance comes out at 1/P / (1 - step P / 4 mass), and a mode that is much
wider than the noise keeps the width at which the ladder left it behind.

`anneal` runs any kernel down the same ladder.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.errors import DustpostError
from dustpost.galaxy import Position
from dustpost.posterior import Target
from dustpost.samplers import curvature

STEP = 0.1  # a normal whose precision is the mass comes out 1.3 % too wide in sd


class Ladder(NamedTuple):
    """Falling noise levels of both latents, (level,) each; see `ladder`."""

    host: Array
    dust: Array


class State(NamedTuple):
    """Position, and the drift there."""

    position: Position
    drift: Position


class Info(NamedTuple):
    """Rms of the drift's share of a step over its noise; growing beyond 1, it runs away."""

    drift_to_noise: Array


def ladder(host: Any, dust: Any) -> Ladder:
    """Check two lists of noise levels and pair them.

    Parameters
    ----------
    host, dust : sequence of float, (level,)
        `sigma_host` and `sigma_dust` of the targets, noisiest first.

    Raises
    ------
    DustpostError
        If one is not strictly decreasing and positive, or they differ in length.
    """
    for name, levels in (("host", host), ("dust", dust)):
        values = np.asarray(levels, float)
        falling = values.ndim == 1 and values.size > 0 and np.all(np.diff(values) < 0)
        if not (falling and np.all(np.isfinite(values)) and values[-1] > 0):
            raise DustpostError(
                f"noise levels of the {name} {np.array2string(values, separator=', ')}: "
                "give positive numbers, each smaller than the one before."
            )
    if len(host) != len(dust):
        raise DustpostError(
            f"noise levels: {len(host)} of the host and {len(dust)} of the dust; "
            "give as many of one as of the other."
        )
    return Ladder(jnp.asarray(host, float), jnp.asarray(dust, float))


def geometric(highest: tuple[float, float], target: Target, levels: int) -> Ladder:
    """Ladder of even ratios from (host, dust) noise levels down to those of the target."""
    ends = zip(highest, (target.sigma_host, target.sigma_dust), strict=True)
    return ladder(*(np.geomspace(high, float(low), levels) for high, low in ends))


def noise_mass(target: Target, position: Position) -> Position:
    """Masses of Algorithm 1: 1/sigma^2 of each latent, and the prior's 1/sd^2 of delta."""
    host, dust, slope = position
    return Position(
        jnp.full_like(host, target.sigma_host**-2),
        jnp.full_like(dust, target.sigma_dust**-2),
        jnp.full_like(slope, 1.0 / target.slope_prior.variance),
    )


def likelihood_mass(target: Target, position: Position) -> Position:
    """The same plus the likelihood's curvature at a position: a preconditioner."""
    galaxy = target.galaxy(position)
    return Position(
        curvature.host_precision(target, position, galaxy),
        *curvature.dust_precision(target, galaxy, position.slope),
    )


def init(position: Position, target: Target) -> State:
    """State at a position."""
    return State(position, target.drift(position)[0])


def kernel(
    key: Array, state: State, target: Target, mass: Position, step: Array | float = STEP
) -> tuple[State, Info]:
    """One step; costs one drift.

    Parameters
    ----------
    key : Array
        Random key.
    state : State
    target : Target
    mass : Position
        eps_i = step / mass, see `noise_mass` and `likelihood_mass`.
    step : float
    """
    keys = Position(*jax.random.split(key, len(state.position)))
    pull = jax.tree.map(lambda g, m: 0.5 * step * g / m, state.drift, mass)
    shake = jax.tree.map(
        lambda k, m: jnp.sqrt(step / m) * jax.random.normal(k, m.shape, m.dtype), keys, mass
    )
    position = jax.tree.map(lambda q, a, b: q + a + b, state.position, pull, shake)
    squares = jax.tree.map(lambda a, m: jnp.sum(a**2 * m / step), pull, mass)
    size = sum(leaf.size for leaf in jax.tree.leaves(mass))
    return init(position, target), Info(jnp.sqrt(sum(jax.tree.leaves(squares)) / size))


def rescale(
    position: Position, target: Target, before: Array | float, after: Array | float
) -> Position:
    """Take the host's latent from one noise level to another, its noise left as it is.

    A variance-preserving latent shrinks as its noise grows.
    """
    level = target.host_prior.level
    shrink = level(jnp.asarray(after)).scale / level(jnp.asarray(before)).scale
    return position._replace(host=position.host * shrink)


def anneal(begin: Callable[[Array, Position, Target], tuple[Any, Callable]]) -> Callable:
    """Run a kernel down a ladder of targets.

    Parameters
    ----------
    begin : callable
        (key, position, target) -> (state, advance), with advance(key, state) ->
        (state, info) one step at this level; called anew at each level, so that masses
        and step sizes may follow it. The state has a `position`.

    Returns
    -------
    callable
        run(key, position, target, ladder, steps) -> (state, info): from a position at the
        ladder's first level, the state at its last and the infos (level, step).
    """

    def run(key, position, target, ladder, steps):
        def level(carry, inputs):
            position, before = carry
            key, sigma_host, sigma_dust = inputs
            now = target.replace(sigma_host=sigma_host, sigma_dust=sigma_dust)
            first, rest = jax.random.split(key)
            position = rescale(position, target, before, sigma_host)
            state, advance = begin(first, position, now)
            keys = jax.random.split(rest, steps)
            state, info = jax.lax.scan(lambda state, key: advance(key, state), state, keys)
            return (state.position, sigma_host), (state, info)

        start = position, ladder.host[0]
        keys = jax.random.split(key, ladder.host.shape[0])
        _, (states, info) = jax.lax.scan(level, start, (keys, *ladder))
        return jax.tree.map(lambda x: x[-1], states), info

    return run


def langevin(
    mass: Callable[[Target, Position], Position] = noise_mass, step: float = STEP
) -> Callable:
    """Annealed Langevin dynamics, a run as `anneal` returns it."""

    def begin(key, position, target):
        held = mass(target, position)
        return init(position, target), lambda key, state: kernel(key, state, target, held, step)

    return anneal(begin)
