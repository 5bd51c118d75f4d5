"""The few directions of a frame: where the precision of a block is not that of the noise.

In units of the noise level, w = q/s, the precision of a block at a place is

    P = 1 - J + M^T (C^{-1} - T (T^T T + Q)^{-1} T^T) M,
    J = d(denoised)/dw = 1 + d(s score)/dw,    M = ivar^{1/2} dm/dw,    T = ivar^{1/2} dm/dln F,

J of the prior's denoiser (Tweedie; Manor & Michaeli 2024), M and T of the model cube (Gauss and
Newton's approximation), the fluxes integrated out over their prior's precision Q; C is 1, or in
units of the noise that of a colour field (`dustpost.likelihood`), which has no part along T. A
variable whose prior is explicit has s = its sd, hence 1, and no J. Whatever the data know of a
latent reaches them through the denoiser, so that J and M have the same rows. Random probes
(Halko, Martinsson & Tropp 2011) find the range of J, whose softest directions the prior leaves
free, and, the other half of them, that of P - 1 by the target's own gradient, whose stiffest the
data hold; P is projected on both and its eigenvectors are the basis.

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

from dustpost.likelihood import hidden_by_colour
from dustpost.observation import Observation
from dustpost.samplers import hmc
from dustpost.samplers.frame import Frame

REACH = 0.5  # of the differences, in noise levels spread over all pixels
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

    def derivatives(state):
        """J v, M v, T^T M v and what C hides of M v, of unit vectors v in turn; T^T T + Q."""
        block, moving = at(state)
        start = ravel_pytree(moving)[0]

        def seen(place):
            found = block.evaluate(unravel(place))
            # where there is a density its gradient is not kept apart
            score = found.score if block.log_prior is None else block.score(unravel(place))
            return size * ravel_pytree(score)[0], found.galaxy

        score, galaxy = seen(start)
        flux = galaxy.estimate[:, None, None]
        model = flux * galaxy.templates
        hidden = hidden_by_colour(observation, galaxy.templates)

        def one(v):
            moved, shifted = seen(start + REACH * size * v)
            slope = (flux * shifted.templates - model) / REACH
            passed = jnp.where(explicit > 0, 0.0, v + (moved - score) / REACH)
            of_flux = jnp.sum(slope * model * ivar, axis=(-2, -1))
            return passed, (slope * jnp.sqrt(ivar)).ravel(), of_flux, hidden(slope)

        norm = jnp.diag(jnp.sum(model**2 * ivar, axis=(-2, -1)))
        # a flux of no weight would leave nothing to invert
        norm = norm + fluxes(jnp.log(jnp.maximum(galaxy.estimate, 1e-30))) + 1e-6 * norm
        return lambda vectors: jax.lax.map(one, vectors, batch_size=BATCH), norm

    def curvature(state):
        """(P - 1) v by the target's own gradient, of unit vectors v in turn."""
        block, moving = at(state)
        start = ravel_pytree(moving)[0]

        def force(place):
            return size * hmc.force(block.evaluate(unravel(place)))

        here = force(start)
        one = lambda v: (here - force(start + REACH * size * v)) / REACH - v  # noqa: E731
        return lambda vectors: jax.lax.map(one, vectors, batch_size=BATCH)

    def probe(inputs):
        state, key = inputs
        vectors = jax.random.normal(key, (2, -(-rank // (2 * chains)), size.size))
        passed, curved = derivatives(state)[0], curvature(state)
        for _ in range(PASSES):
            soft, stiff = (_orthonormal(part) for part in vectors)
            vectors = jnp.stack([passed(soft)[0], curved(stiff)])
        return vectors

    def project(state):
        along, norm = derivatives(state)
        passed, slopes, of_flux, taken = along(basis)
        inner = basis @ passed.T
        lost = of_flux @ jnp.linalg.solve(norm, of_flux.T)
        known = slopes @ slopes.T - taken @ taken.T
        return jnp.eye(rank) - 0.5 * (inner + inner.T) + known - 0.5 * (lost + lost.T)

    probes = jax.lax.map(probe, (states, jax.random.split(key, chains)))
    # of both kinds, should some not be wanted
    probes = jnp.swapaxes(probes, 1, 2).reshape(-1, size.size)[:rank]
    # an explicit variable is a direction of its own, in the place of one probe
    alone = (jnp.arange(rank) == 0)[:, None] & jnp.any(explicit > 0)
    basis = _orthonormal(jnp.where(alone, explicit, probes))
    precision, turn = jnp.linalg.eigh(jnp.mean(jax.lax.map(project, states), axis=0))
    return Frame(scale, turn.T @ basis, jnp.maximum(precision, LEAST))


def _orthonormal(rows: Array) -> Array:
    return jnp.linalg.qr(rows.T)[0].T
