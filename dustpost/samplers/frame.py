"""A frame: coordinates in which a block is nearly isotropic.

    q = q_0 + s P^{-1/2} y,      P = 1 + U^T (Lambda - 1) U

with s the scale of each variable, U (rank, n) a few orthonormal directions and Lambda the
precisions along them. A latent at noise level sigma has the precision 1/sigma^2 in almost
every direction; only along those that the denoiser lets pass do the prior (less) and the data
(more) have a say, and these are few. With s = sigma and Lambda known there (`directions`), HMC
needs no mass of its own, and P costs 2 rank n multiplications.

A frame is fixed before the moves that it serves, so that a move in it is reversible; its
origin is where a move begins, as only differences matter. The map is linear: no Jacobian.
Diagonal plus low rank as in Bales et al. (2019) and nutpie (Seyboldt et al. 2026).
"""

from typing import Any, NamedTuple

from jax import Array
from jax.flatten_util import ravel_pytree

from dustpost.block import Block


class Frame(NamedTuple):
    """Scales of the moving variables, and what is special among their directions.

    Attributes
    ----------
    scale : pytree
        s, of the structure of the moving variables.
    basis : Array, (rank, n)
        U, of all of them in one row; orthonormal.
    precision : Array, (rank,)
        Lambda, in units of 1/s^2.
    """

    scale: Any
    basis: Array
    precision: Array


def place(frame: Frame, origin: Any, y: Array) -> Any:
    """q of y (n,), of the origin's structure."""
    start, unravel = ravel_pytree(origin)
    return unravel(start + ravel_pytree(frame.scale)[0] * _narrowed(frame, y))


def wrap(frame: Frame, origin: Any, block: Block) -> Block:
    """A block as seen in the frame; its moving variable is y (n,), 0 at the origin."""

    def turned(field):
        return _narrowed(frame, ravel_pytree(frame.scale)[0] * ravel_pytree(field)[0])

    def evaluate(y):
        found = block.evaluate(place(frame, origin, y))
        score = None if found.score is None else turned(found.score)
        return found._replace(score=score, gradient=turned(found.gradient))

    log_prior = None
    if block.log_prior is not None:
        log_prior = lambda y: block.log_prior(place(frame, origin, y))  # noqa: E731
    return Block(lambda y: turned(block.score(place(frame, origin, y))), evaluate, log_prior)


def _narrowed(frame: Frame, y: Array) -> Array:
    """P^{-1/2} y; symmetric, so that it serves places and gradients alike."""
    along = frame.basis @ y
    return y + ((frame.precision**-0.5 - 1.0) * along) @ frame.basis
