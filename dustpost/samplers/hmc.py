"""Hamiltonian Monte Carlo whose prior is known only by its score.

The target is pi(q) = p(q) L(q), with grad log p = s(q) known and log p not. A trajectory
of steps q_0 ... q_n is accepted with

    ln r = int s . dq  +  ln L(q_n) - ln L(q_0)  +  K(p_0) - K(p_n),

the integral taken along the trajectory, Simpson's rule on each straight segment between
two nodes:

    int over a segment = (s(q_k) + 4 s((q_k + q_k+1)/2) + s(q_k+1)) . (q_k+1 - q_k) / 6.

It costs one more score per step. The straight chord from q_0 to q_n needs far more nodes
for the same accuracy (compare Remy et al. 2023), and the trapezoid on the nodes is blind to
its own error. Where the block has a density (an energy, a Gaussian) the first term is its
difference, exact, and costs no score. For a score that is a gradient field all paths agree;
`curl defect`, the difference between trajectory and chord, says how far it is from one.

Steps are taken in pairs by McLachlan's (1995) rule of two stages, whose error is a tenth of
the leapfrog's at the same cost: in thousands of dimensions they are twice as long. An odd
number of steps are leapfrogs. Where the curvature is not that of the places where steps were
adapted, a chain would stay for long: one trajectory in five has steps of a third.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.mcmc.integrators import mclachlan_coefficients
from jax import Array
from jax.flatten_util import ravel_pytree

from dustpost.block import Block, Evaluation

JITTER = 0.2  # relative; breaks the resonances of a fixed trajectory length
SELDOM, SHORT = 0.2, 0.3  # how often steps are short, and how short: they leave narrow places
_FIRST = mclachlan_coefficients[0]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


class State(NamedTuple):
    """Moving variables and the target there; None where the next trajectory is to evaluate it."""

    moving: Any
    evaluation: Evaluation | None


class Info(NamedTuple):
    """What one proposal did.

    Attributes
    ----------
    acceptance : Array, ()
        min(1, r).
    accepted : Array, (), bool
    prior_change : Array, ()
        ln p(q_n) - ln p(q_0) in nats, by the integral along the trajectory or exactly.
    curl_defect : Array, ()
        |trajectory - chord| in nats; 0 where the block has a density, nan where it was not
        asked for.
    """

    acceptance: Array
    accepted: Array
    prior_change: Array
    curl_defect: Array


def init(moving: Any, block: Block) -> State:
    """State at a position."""
    return State(moving, block.evaluate(moving))


def begin(moving: Any, block: Block) -> State:
    """State at a position whose one evaluation waits for the trajectory's loop, where it may.

    The loop has the networks in it, and a second copy of them would take as long to compile.
    Where the prior is known by its score the loop's turns cost more than one evaluation.
    """
    return init(moving, block) if block.log_prior is None else State(moving, None)


def kernel(
    key: Array,
    state: State,
    block: Block,
    step_size: Array,
    precision: Any,
    steps: int,
    measure_curl: Array | bool = False,
) -> tuple[State, Info]:
    """One proposal.

    Parameters
    ----------
    key : Array
        Random key.
    state : State
    block : Block
        Target of the moving variables.
    step_size : Array, ()
        In units of the scale that `precision` sets.
    precision : pytree
        Diagonal mass, of the structure of the moving variables. It must not depend on
        where they are, or the proposal is not reversible.
    steps : int
        Of the trajectory, each of which evaluates the block once.
    measure_curl : bool
        Spend eight more scores on the curl defect.

    Returns
    -------
    state : State
    info : Info
    """
    momentum_key, jitter_key, accept_key = jax.random.split(key, 3)
    start, unravel = ravel_pytree(state.moving)
    mass, _ = ravel_pytree(precision)
    step = step_size * jitter(jitter_key, start.dtype)
    momentum = jnp.sqrt(mass) * jax.random.normal(momentum_key, start.shape, start.dtype)

    def advance(carry, inputs):
        place, momentum, evaluation, first, work = carry
        kick, step = inputs
        momentum = momentum + kick * step * flat(evaluation.force)
        move = step * momentum / mass
        after = block.evaluate(unravel(place + move))
        if block.log_prior is None:
            middle = flat(block.score(unravel(place + 0.5 * move)))
            simpson = (flat(evaluation.score) + 4.0 * middle + flat(after.score)) / 6.0
            work = work + simpson @ move
        momentum = momentum + (1.0 - kick) * step * flat(after.force)
        first = jax.tree.map(lambda old, new: jnp.where(step == 0, new, old), first, after)
        return (place + move, momentum, after, first, work), None

    first, parts = state.evaluation, kicks(steps)
    lengths = jnp.full(len(parts), step)
    if first is None:  # a step of length 0 evaluates the start
        empty = jax.eval_shape(block.evaluate, state.moving)
        first = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), empty)
        parts, lengths = np.append(parts[:1], parts), jnp.append(0.0, lengths)
    before = (start, momentum, first, first, jnp.zeros((), start.dtype))
    after, _ = jax.lax.scan(advance, before, (jnp.asarray(parts, start.dtype), lengths))
    end, last_momentum, evaluation, first, work = after

    if block.log_prior is not None:
        work = evaluation.log_prior - first.log_prior
    kinetic = 0.5 * jnp.sum((momentum**2 - last_momentum**2) / mass)
    log_ratio = work + evaluation.log_density - first.log_density + kinetic
    log_ratio = jnp.where(jnp.isfinite(log_ratio), log_ratio, -jnp.inf)
    accepted = jnp.log(jax.random.uniform(accept_key)) < log_ratio
    proposed, stay = State(unravel(end), evaluation), State(state.moving, first)
    state = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposed, stay)
    defect = jax.lax.cond(
        measure_curl,
        lambda: _curl_defect(block, work, start, end, unravel),
        lambda: jnp.full_like(work, jnp.nan),
    )
    acceptance = jnp.exp(jnp.minimum(log_ratio, 0.0))
    return state, Info(acceptance, accepted, work, defect)


def kicks(steps: int) -> np.ndarray:
    """Share of each step's kick that comes before its drift, (steps,); a palindrome."""
    if steps % 2:
        return np.full(steps, 0.5, np.float32)
    return np.tile(np.array([2 * _FIRST, 1 - 2 * _FIRST], np.float32), steps // 2)


def near_one(key: Array, dtype: Any) -> Array:
    """Factor of a step size that breaks resonances."""
    return jax.random.uniform(key, dtype=dtype, minval=1 - JITTER, maxval=1 + JITTER)


def jitter(key: Array, dtype: Any) -> Array:
    """Factor of a trajectory's step size: near one, or short."""
    near, seldom = jax.random.split(key)
    factor = near_one(near, dtype)
    return jnp.where(jax.random.uniform(seldom) < SELDOM, SHORT * factor, factor)


def _curl_defect(block: Block, work: Array, start: Array, end: Array, unravel) -> Array:
    if block.log_prior is not None:  # a gradient has none
        return jnp.zeros_like(work)
    return jnp.abs(work - _chord(block, start, end, unravel))


def _chord(block: Block, start: Array, end: Array, unravel) -> Array:
    """Integral of the score along the straight line, Gauss-Legendre."""
    move = end - start

    def node(total, inputs):
        place, weight = inputs
        score = flat(block.score(unravel(start + place * move)))
        return total + weight * (score @ move), None

    nodes = jnp.asarray((_NODES + 1) / 2, move.dtype), jnp.asarray(_WEIGHTS / 2, move.dtype)
    return jax.lax.scan(node, jnp.zeros((), move.dtype), nodes)[0]


def flat(tree: Any) -> Array:
    """All leaves in one vector."""
    return ravel_pytree(tree)[0]
