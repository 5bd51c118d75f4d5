"""What a sampler sees of a target: some latents that move, the others held.

A block's density is the product of a prior and an explicit part. The prior may be known by its
score alone (Song & Ermon 2019); then its log is no function that anyone can evaluate, and a
Metropolis step must integrate the score along its path (`dustpost.samplers.hmc`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Evaluation(NamedTuple):
    """A block's target at one position; the samplers see nothing else.

    Attributes
    ----------
    score : pytree or None
        Gradient of the prior known by its score, of the block's shape; 0 for variables whose
        prior is explicit. None where all of it is in `gradient`.
    log_density : Array, ()
        Explicit part: collapsed likelihood and explicit priors.
    gradient : pytree
        Gradient of the explicit part; where there is no score, of `log_prior` as well, for one
        pull-back serves both.
    galaxy : Galaxy
        What the position stands for, see `dustpost.galaxy`.
    log_prior : Array, ()
        Log of the networks' density up to a constant, where the block has a `log_prior`.
    """

    score: Any
    log_density: Array
    gradient: Any
    galaxy: Any
    log_prior: Array | float = 0.0

    @property
    def force(self) -> Any:
        """Gradient of the whole target."""
        if self.score is None:
            return self.gradient
        return jax.tree.map(jnp.add, self.score, self.gradient)


class Block(NamedTuple):
    """Conditional target of some of the latents, the others held.

    Attributes
    ----------
    score : callable
        moving -> score of the prior alone, of the same structure.
    evaluate : callable
        moving -> `Evaluation`; costs one call of each network and one pull-back.
    log_prior : callable or None
        moving -> log of the prior's density up to a constant; None where it is known by
        its score alone.
    """

    score: Callable[[Any], Any]
    evaluate: Callable[[Any], Evaluation]
    log_prior: Callable[[Any], Array] | None = None


class Explicit(NamedTuple):
    """A block at a place: explicit part, log of the prior if it is known, galaxy, prior's score."""

    log_density: Array
    log_prior: Array | float
    galaxy: Any
    score: Any


def make_block(score: Callable, explicit: Callable, log_prior: Callable | None) -> Block:
    """A block whose evaluation is one call and one pull-back.

    Parameters
    ----------
    score : callable
        As `Block` has it.
    explicit : callable
        moving -> `Explicit`.
    log_prior : callable or None
        As `Block` has it; where it is given, one gradient is of the prior as well.
    """
    known = log_prior is not None

    def total(moving):
        found = explicit(moving)
        return found.log_density + (found.log_prior if known else 0.0), found

    def evaluate(moving):
        (_, found), gradient = jax.value_and_grad(total, has_aux=True)(moving)
        of_prior = None if known else found.score
        return Evaluation(of_prior, found.log_density, gradient, found.galaxy, found.log_prior)

    return Block(score, evaluate, log_prior)
