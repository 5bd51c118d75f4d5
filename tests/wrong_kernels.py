"""Kernels that must fail: score-HMC by leapfrogs, one thing wrong, of the form of `hmc.kernel`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from dustpost.block import Block
from dustpost.samplers import hmc
from dustpost.samplers.hmc import flat

NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)


def trapezoid(block: Block, path: Array, scores: Array, unravel: Callable) -> Array:
    """Prior change by the trapezoid on the leapfrog nodes, (node, dimension) each."""
    return jnp.sum(0.5 * (scores[1:] + scores[:-1]) * jnp.diff(path, axis=0))


def chord(block: Block, path: Array, scores: Array, unravel: Callable) -> Array:
    """Prior change along the straight line, 4 nodes of Gauss and Legendre."""
    move = path[-1] - path[0]
    nodes = [flat(block.score(unravel(path[0] + 0.5 * (n + 1) * move))) for n in NODES]
    return sum(0.5 * w * (s @ move) for w, s in zip(WEIGHTS, nodes, strict=True))


def even_chord(block: Block, path: Array, scores: Array, unravel: Callable) -> Array:
    """Prior change along the straight line, 4 even nodes (Simpson's 3/8 rule)."""
    move = path[-1] - path[0]
    nodes = [flat(block.score(unravel(path[0] + t * move))) @ move for t in np.linspace(0, 1, 4)]
    return sum(w * s for w, s in zip((0.125, 0.375, 0.375, 0.125), nodes, strict=True))


def simpson_chord(block: Block, path: Array, scores: Array, unravel: Callable) -> Array:
    """Prior change along the straight line, Simpson's rule on 4 intervals (jax-lensing)."""
    move = path[-1] - path[0]
    weights = np.array([1, 4, 2, 4, 1]) / 12
    nodes = [flat(block.score(unravel(path[0] + t * move))) @ move for t in np.linspace(0, 1, 5)]
    return sum(w * s for w, s in zip(weights, nodes, strict=True))


def with_ratio(rule: Callable, always: bool = False) -> Callable:
    """Score-HMC with another rule for the prior's change; `always` takes every proposal."""

    def kernel(key, state, block, step_size, precision, steps, measure_curl=False):
        momentum_key, jitter_key, accept_key = jax.random.split(key, 3)
        start, unravel = ravel_pytree(state.moving)
        mass = flat(precision)
        # no short steps, which would hide some of what is wrong
        step = step_size * hmc.near_one(jitter_key, start.dtype)
        momentum = jnp.sqrt(mass) * jax.random.normal(momentum_key, start.shape, start.dtype)

        def leapfrog(carry, _):
            place, momentum, found = carry
            momentum = momentum + 0.5 * step * flat(found.force)
            place = place + step * momentum / mass
            found = block.evaluate(unravel(place))
            momentum = momentum + 0.5 * step * flat(found.force)
            return (place, momentum, found), (place, flat(found.score))

        begin = start, momentum, state.evaluation
        (end, last, found), (path, scores) = jax.lax.scan(leapfrog, begin, length=steps)
        path = jnp.concatenate([start[None], path])
        scores = jnp.concatenate([flat(state.evaluation.score)[None], scores])
        work = rule(block, path, scores, unravel)
        kinetic = 0.5 * jnp.sum((momentum**2 - last**2) / mass)
        log_ratio = work + found.log_density - state.evaluation.log_density + kinetic
        log_ratio = jnp.where(jnp.isfinite(log_ratio), log_ratio, -jnp.inf)
        accepted = always | (jnp.log(jax.random.uniform(accept_key)) < log_ratio)
        proposed = hmc.State(unravel(end), found)
        state = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposed, state)
        acceptance = jnp.exp(jnp.minimum(log_ratio, 0.0))
        return state, hmc.Info(acceptance, accepted, work, jnp.full_like(work, jnp.nan))

    return kernel


def moving_mass(mass_of: Callable) -> Callable:
    """Score-HMC whose mass is `mass_of(moving)`, of the very variables that it moves."""

    def kernel(key, state, block, step_size, precision, steps, measure_curl=False):
        mass = mass_of(state.moving)
        return hmc.kernel(key, state, block, step_size, mass, steps, measure_curl)

    return kernel
