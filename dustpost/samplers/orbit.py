"""The orbit move: a screen over the whole galaxy, drawn along its own line.

    D -> c D with F_i -> F_i c^{-k_i}

leaves the likelihood as it is, PSF and masks included; a sampler that moves pixels one by
one hardly finds this direction where dust covers all the light. With F collapsed it is
one-dimensional: x + t d, d = -dv/dln D at one fixed map, so that t is an optical depth.
The direction is fixed beforehand, hence a translation: no Jacobian, and reversible. Along
the line the sampler is score-HMC in the one variable t.

Where v is the optical depth or D is unclipped this is the orbit itself; in another
coordinate, or where the networks denoise x + t d to a map that is not quite c D, the
Metropolis step settles the rest.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.block import Block
from dustpost.posterior import Target

STEPS = 4  # of a trajectory; the line is crossed in one or two trajectories


def direction(target: Target, transmission: Array) -> Array:
    """d = dv/du, (y, x), at a map D; u = -ln D."""

    def dimmed(depth):
        return target.dust_prior.latent(transmission * jnp.exp(-depth))

    zero = jnp.zeros((), transmission.dtype)
    # backwards: a coordinate that ends at D = 1 has no derivative beyond it
    return jax.jvp(dimmed, (zero + 1e-3,), (zero + 1.0,))[1]


def line(block: Block, origin: Any, direction: Any) -> Block:
    """A block's target along origin + t direction; its moving variable is t, ()."""

    def place(t):
        return jax.tree.map(lambda at, along: at + t * along, origin, direction)

    def dot(field):
        return sum(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum(a * b), field, direction)))

    def evaluate(t):
        found = block.evaluate(place(t))
        score = None if found.score is None else dot(found.score)
        return found._replace(score=score, gradient=dot(found.gradient))

    log_prior = None if block.log_prior is None else lambda t: block.log_prior(place(t))
    return Block(lambda t: dot(block.score(place(t))), evaluate, log_prior)
