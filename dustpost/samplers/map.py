"""Maximum a posteriori by Adam, the paper's baseline and the chains' start.

Siegel & Melchior (2024) climb grad log L + score(S) + score(D | S) until the band fluxes
change no more from one iteration to the next. Here the fluxes are at their best values
all along (F collapsed), and the climb ends when none of them moved by more than
`TOLERANCE`, relative, in any of `CHUNK` iterations.

Along the grey direction (S against D where the curve is flat) the target hardly falls, and
Adam, whose steps do not shrink with the gradient, walks on for ever: with constant rates a
galaxy of mean A 0.3 mag passes 1.6 mag. The rates therefore halve every `HALF_LIFE`
iterations: early stopping, made smooth.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from dustpost.coordinates import clean_from_image
from dustpost.galaxy import Galaxy, Position
from dustpost.posterior import Target

CHUNK = 20
HALF_LIFE = 50
TOLERANCE = 2e-4
# per latent: z spans 0 to 7, delta about 1; the dust's in units of its noise level
RATES = Position(host=0.08, dust=0.2, slope=0.01)
START_TRANSMISSION = 0.97
FILLING = 40  # smoothings; together as wide as a masked neighbour, 40^0.5 / 2^0.5 pixels


class State(NamedTuple):
    """Position and Adam's moments there."""

    position: Position
    moments: optax.OptState


class Result(NamedTuple):
    """Where the climb ended.

    Attributes
    ----------
    position : Position
    galaxy : Galaxy
    iterations : int
    converged : bool
        False where `most` iterations were spent first.
    """

    position: Position
    galaxy: Galaxy
    iterations: int
    converged: bool


def init(target: Target, position: Position) -> State:
    """State at a position."""
    return State(position, _adam().init(position))


def climb(
    target: Target,
    position: Position,
    most: int = 600,
    advance: Callable[[int], None] = lambda done: None,
) -> Result:
    """Climb to the maximum.

    Parameters
    ----------
    target : Target
    position : Position
        Where to start, see `start`.
    most : int
        Iterations at most.
    advance : callable
        Told the number of iterations done after each chunk.
    """
    state, done, change = init(target, position), 0, np.inf
    while done < most and change > TOLERANCE:
        state, change = _chunk(target, state)
        change, done = float(change), done + CHUNK
        advance(CHUNK)
    galaxy = jax.jit(Target.galaxy)(target, state.position)
    return Result(state.position, galaxy, done, change <= TOLERANCE)


def start(target: Target) -> Position:
    """First guess: the stacked image as host, hardly any dust, the prior's slope.

    Masked pixels are filled in from around them: a hole in the host would look like dust.
    """
    observation = target.observation
    weight = observation.ivar / jnp.maximum(jnp.max(observation.ivar), 1e-30)
    seen = jnp.sum(weight, axis=0)
    stack = jnp.sum(observation.data * weight, axis=0)
    near = far = _smooth(stack), _smooth(seen)
    for _ in range(FILLING):
        far = tuple(map(_smooth, far))
    filled = far[0] / jnp.maximum(far[1], 1e-30)
    image = jnp.where(seen > 0, near[0] / jnp.maximum(near[1], 1e-30), filled)
    noise = jnp.where(seen > 0, (seen * jnp.max(observation.ivar)) ** -0.5, 0.0)
    image = jnp.maximum(image - noise, 0.0)
    image = image / jnp.maximum(jnp.max(image), 1e-30)
    scale = target.host_prior.level(target.sigma_host).scale
    return Position(
        host=scale * clean_from_image(image),
        dust=target.dust_prior.latent(jnp.full_like(image, START_TRANSMISSION)),
        slope=jnp.asarray(target.slope_prior.mean, image.dtype),
    )


def _adam() -> optax.GradientTransformation:
    decay = optax.exponential_decay(1.0, HALF_LIFE, 0.5)
    return optax.chain(optax.scale_by_adam(b1=0.9, b2=0.99), optax.scale_by_schedule(decay))


@jax.jit
def _chunk(target: Target, state: State) -> tuple[State, Array]:
    rates = RATES._replace(dust=RATES.dust * target.sigma_dust)

    def iterate(state, _):
        drift, galaxy = target.drift(state.position)
        step, moments = _adam().update(drift, state.moments)
        position = jax.tree.map(lambda x, d, r: x + r * d, state.position, step, rates)
        return State(position, moments), galaxy.estimate

    state, flux = jax.lax.scan(iterate, state, length=CHUNK)
    change = jnp.abs(jnp.diff(flux, axis=0)) / jnp.maximum(jnp.abs(flux[1:]), 1e-30)
    return state, jnp.max(change)


def _smooth(image: Array) -> Array:
    kernel = jnp.array([0.25, 0.5, 0.25], image.dtype)
    rows = jax.vmap(lambda row: jnp.convolve(row, kernel, mode="same"))
    return rows(rows(image).T).T
