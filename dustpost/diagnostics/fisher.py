"""Fisher (Cramer-Rao) bound for log_screen, the spatial priors included.

In theta = (z, x, delta, ln F),

    I = J^T C^-1 J - d score/d theta - d^2 ln p(F, delta),   sd = (g^T I^-1 g)^{1/2},

J the derivative of the model cube, C the data's covariance (`dustpost.likelihood`), g the
gradient of log_screen (van Trees 1968: averaged over positions it bounds the mean squared error).
The system is solved by conjugate gradients, I is never written out. A network's score is
symmetrised; where I is not positive along the way there is no bound, and the answer is nan.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from dustpost import coordinates
from dustpost.colour_covariance import weighted
from dustpost.galaxy import Host, Position
from dustpost.posterior import Target
from dustpost.priors.slope import precision as slope_precision
from dustpost.samplers import curvature
from dustpost.samplers.curvature import flux_precision

TOLERANCE = 1e-4  # of the residual in the preconditioned norm, relative
MOST_ITERATIONS = 2000


@jax.jit
def bound(target: Target, positions: Position) -> Array:
    """Fisher bound for the sd of log_screen, priors included, ().

    Parameters
    ----------
    target : Target
        Of one galaxy.
    positions : Position
        (n, ...) each; the information is averaged over them.

    Returns
    -------
    Array, ()
        In ln D; nan where the averaged information is not positive.
    """
    fitted = jax.vmap(lambda place: _with_flux(target, place))(positions)
    gradient = _mean(jax.vmap(jax.grad(lambda at: _log_screen(target, at[0])))(fitted))
    scale = _mean(jax.vmap(lambda at: _precision(target, at))(fitted))
    flat_gradient, unravel = ravel_pytree(gradient)

    def information(flat):
        move = unravel(flat)
        return ravel_pytree(_mean(jax.vmap(lambda at: _information(target, at, move))(fitted)))[0]

    variance = _quadratic(information, flat_gradient, ravel_pytree(scale)[0])
    return jnp.sqrt(variance)


def _mean(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), tree)


def _with_flux(target: Target, position: Position) -> tuple[Position, Array]:
    """The position, and ln F at its best."""
    return position, jnp.log(jnp.maximum(target.galaxy(position).estimate, 1e-30))


def _log_screen(target: Target, position: Position) -> Array:
    galaxy = target.galaxy(position)
    return coordinates.log_screen(galaxy.host, galaxy.transmission)


def _information(target: Target, at: tuple[Position, Array], move: tuple[Position, Array]):
    """I times a move, at one place."""
    position, log_flux = at

    def model(moving):
        place, level = moving
        return jnp.exp(level)[:, None, None] * target.galaxy(place).templates

    _, pull = jax.vjp(model, at)
    pushed = _push(model, at, move)
    held = jax.lax.stop_gradient(target.galaxy(position))
    (of_data,) = pull(weighted(target.behind(held), held.templates, pushed))
    of_score = _symmetric(_score(target, position), position, move[0])
    of_slope = slope_precision(target.slope_prior, position.slope)
    of_score = of_score._replace(slope=-of_slope * move[0].slope)
    of_prior = (
        jax.tree.map(jnp.negative, of_score),
        flux_precision(target, log_flux) @ move[1],
    )
    return jax.tree.map(jnp.add, of_data, of_prior)


def _score(target: Target, held: Position) -> Callable[[Position], Position]:
    """Scores of the latents; under cut the dust's with the host held."""
    if target.cross_term == "full":
        return target.joint_block().score
    host = target.host_of(held.host)[0]
    host = Host(*jax.lax.stop_gradient(tuple(host)))

    def score(place):
        of_dust = target.dust_of(place.dust, host).score
        return Position(target.host_of(place.host)[1], of_dust, jnp.zeros_like(place.slope))

    return score


def _symmetric(function: Callable, at: Any, move: Any) -> Any:
    """(J + J^T) / 2 times a move."""
    _, pull = jax.vjp(function, at)
    back = pull(move)[0]
    return jax.tree.map(lambda a, b: (a + b) / 2, back, _push(function, at, move))


def _push(function: Callable, at: Any, move: Any) -> Any:
    """J times a move, by transposing the pull-back: the networks have no forward mode."""
    value, pull = jax.vjp(function, at)
    _, push = jax.vjp(lambda cotangent: pull(cotangent)[0], jax.tree.map(jnp.zeros_like, value))
    return push(move)[0]


def _precision(target: Target, at: tuple[Position, Array]) -> tuple[Position, Array]:
    """Diagonal preconditioner: the samplers' masses."""
    position, log_flux = at
    galaxy = target.galaxy(position)
    of_dust = curvature.dust_precision(target, galaxy, position.slope)
    of_host = curvature.host_precision(target, position, galaxy)
    of_flux = galaxy.precision * galaxy.estimate**2
    return Position(of_host, *of_dust), of_flux + jnp.diag(flux_precision(target, log_flux))


def _quadratic(operator: Callable, vector: Array, scale: Array) -> Array:
    """v^T A^-1 v by preconditioned conjugate gradients; nan unless A is positive on the way."""
    start = vector / scale
    rho = vector @ start
    goal = TOLERANCE**2 * rho

    def go_on(state):
        number, _, _, _, rho, positive = state
        return (number < MOST_ITERATIONS) & (rho > goal) & positive

    def step(state):
        number, solution, residual, direction, rho, _ = state
        image = operator(direction)
        curved = direction @ image
        length = rho / curved
        solution = solution + length * direction
        residual = residual - length * image
        scaled = residual / scale
        after = residual @ scaled
        direction = scaled + (after / rho) * direction
        return number + 1, solution, residual, direction, after, curved > 0

    zero = jnp.zeros((), int)
    state = zero, jnp.zeros_like(vector), vector, start, rho, jnp.asarray(True)
    _, solution, _, _, _, positive = jax.lax.while_loop(go_on, step, state)
    return jnp.where(positive, vector @ solution, jnp.nan)
