"""The few directions of a frame: where the precision of a block is not that of the noise.

In units of the noise level, w = q/s, the precision of a block at a place is

    P = 1 - J + M^T (C^{-1} - T (T^T T + Q)^{-1} T^T) M,
    J = d(denoised)/dw = 1 + d(s score)/dw,    M = ivar^{1/2} dm/dw,    T = ivar^{1/2} dm/dln F,

J of the prior's denoiser (Tweedie; Manor & Michaeli 2024), M and T of the model cube (Gauss and
Newton's approximation), the fluxes integrated out over their prior's precision Q; C is 1, or in
units of the noise that of a colour field (`colour_covariance`), which has no part along T. A
variable whose prior is explicit has s = its sd, hence 1, and no J. Whatever the data know of a
latent reaches them through the denoiser, so that J and M have the same rows. Random probes
(Halko, Martinsson & Tropp 2011) find the range of J, whose softest directions the prior leaves
free, and, most of them, that of P - 1 by the target's own gradient, whose stiffest the data hold.
Two directions are known: an explicit variable, and the host's brightness, of which the likelihood
knows nothing. P is projected on all of them and its eigenvectors are the basis.

The chains' places are averaged over: the precision at any one of them may be negative in some
direction, their mean is what a chain meets on its way. Derivatives are differences over
`REACH` noise levels.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from dustpost.colour_covariance import hidden_by_colour
from dustpost.colour_of_dust import follow_dust
from dustpost.observation import Observation
from dustpost.samplers import hmc
from dustpost.samplers.frame import Frame

REACH = 0.5  # of the differences, in noise levels spread over all pixels
SOFT = 8  # one probe in so many is for the soft directions, which are few
PASSES = 2  # of the probes through J
LEAST = 0.05  # precision; a direction is not taken for longer than 4.5 noise levels
BATCH = 4  # directions side by side


def fit(
    key: Array,
    states: Any,
    at: Callable,
    observation: Observation,
    scale: Any,
    known: Any,
    brighter: Any,
    fluxes: Callable,
    rank: int,
) -> Frame:
    """Fit a frame to the places of some chains.

    Parameters
    ----------
    key : Array
        Random key.
    states : pytree
        Of the chains, (chain, ...).
    at : callable
        state -> (block, moving) of one chain.
    observation : Observation
        Its weights.
    scale : pytree
        s, of the structure of the moving variables.
    known : pytree
        The same; 1 for a variable whose prior is explicit, 0 for a latent.
    brighter : pytree
        The same; how the latents change as all of the host brightens.
    fluxes : callable
        ln F (band,) -> Q (band, band).
    rank : int
        Directions; no more than there are variables.

    Returns
    -------
    Frame
    """
    ivar = observation.ivar
    size, unravel = ravel_pytree(scale)
    explicit, _ = ravel_pytree(known)
    chains, rank = len(jax.tree.leaves(states)[0]), min(rank, size.size)

    def near(look, start, vectors):
        """`look` at the place itself, and as far as `REACH` along unit vectors, in turn."""
        # whole batches compile once
        fill = jnp.zeros((1 + -(len(vectors) + 1) % BATCH, size.size), vectors.dtype)
        moves = jnp.concatenate([fill, vectors])
        reach = lambda v: look(start + REACH * size * v)  # noqa: E731
        looks = jax.lax.map(reach, moves, batch_size=BATCH)
        return (jax.tree.map(lambda x, at=at: x[at], looks) for at in (0, slice(len(fill), None)))

    def derivatives(state, vectors):
        """J v, M v, T^T M v and what C hides of M v, of unit vectors v; T^T T + Q."""
        block, moving = at(state)

        def look(place):
            found = block.evaluate(unravel(place))
            # where there is a density its gradient is not kept apart
            score = block.score(unravel(place)) if found.score is None else found.score
            return size * hmc.flat(score), found.galaxy

        here, there = near(look, hmc.flat(moving), vectors)
        (score, galaxy), (moved, shifted) = here, there
        estimate = galaxy.estimate
        flux = estimate[:, None, None]
        model = flux * galaxy.templates
        slopes = (flux[None] * shifted.templates - model[None]) / REACH
        passed = jnp.where(explicit[None] > 0, 0.0, vectors + (moved - score[None]) / REACH)
        of_flux = jnp.sum(slopes * (model * ivar)[None], axis=(-2, -1))
        norm = jnp.diag(jnp.sum(model**2 * ivar, axis=(-2, -1)))
        # a flux of no weight would leave nothing to invert
        norm = norm + fluxes(jnp.log(jnp.maximum(estimate, 1e-30))) + 1e-6 * norm
        seen = follow_dust(observation, galaxy.host, galaxy.transmission)
        taken = jax.vmap(hidden_by_colour(seen, galaxy.templates))(slopes)
        weighted = (slopes * jnp.sqrt(ivar)[None]).reshape(len(slopes), -1)
        return passed, weighted, of_flux, taken, norm

    def curvature(state, vectors):
        """(P - 1) v by the target's own gradient, of unit vectors v."""
        block, moving = at(state)
        force = lambda place: size * hmc.flat(block.evaluate(unravel(place)).force)  # noqa: E731
        here, there = near(force, hmc.flat(moving), vectors)
        return (here[None] - there) / REACH - vectors

    def probe(inputs):
        state, key = inputs

        def again(_, vectors):
            soft, stiff = (_orthonormal(part) for part in vectors)
            return derivatives(state, soft)[0], curvature(state, stiff)

        begin = jax.random.normal(key, (-(-rank // chains), size.size))
        soft = -(-len(begin) // SOFT)
        return jnp.concatenate(jax.lax.fori_loop(0, PASSES, again, (begin[:soft], begin[soft:])))

    def project(state):
        passed, slopes, of_flux, taken, norm = derivatives(state, basis)
        inner = basis @ passed.T
        lost = of_flux @ jnp.linalg.solve(norm, of_flux.T)
        known = slopes @ slopes.T - taken @ taken.T
        return jnp.eye(rank) - 0.5 * (inner + inner.T) + known - 0.5 * (lost + lost.T)

    probes = jax.lax.map(probe, (states, jax.random.split(key, chains)))
    # of all chains in turn, should some not be wanted
    probes = jnp.swapaxes(probes, 0, 1).reshape(-1, size.size)[:rank]
    # these are directions of their own, in the place of one probe each, where they move at all
    own = jnp.stack([explicit, hmc.flat(brighter)])[:rank]
    moving = jnp.any(own != 0, axis=-1, keepdims=True)
    basis = _orthonormal(probes.at[: len(own)].set(jnp.where(moving, own, probes[: len(own)])))
    precision, turn = jnp.linalg.eigh(jnp.mean(jax.lax.map(project, states), axis=0))
    return Frame(scale, turn.T @ basis, jnp.maximum(precision, LEAST))


def _orthonormal(rows: Array) -> Array:
    return jnp.linalg.qr(rows.T)[0].T
