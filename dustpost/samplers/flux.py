"""The band fluxes: collapsed out of every move, drawn with every move.

A move acts on the collapsed target pi^(q) = L(F^) * evidence(q), reversibly. Beside it
F' is drawn from q(F | q'), nearly the conditional, and the pair is accepted with
min(1, w'/w),

    w = p(F) exp(-sum P (F - F^)^2 / 2) / (evidence q(F)),

so that the pair (q, F) has the exact posterior even where the evidence is only Laplace's
(a surrogate transition: Liu 2001, section 9.4.3). For a conjugate prior w = 1 always. As F
is redrawn with every collapsed move, the order of the moves is free (van Dyk & Jiao 2013).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.galaxy import Galaxy
from dustpost.priors.spectrum import FluxPrior


class Flux(NamedTuple):
    """A draw of the fluxes (band,) and its log w, in nats."""

    value: Array
    log_weight: Array


def draw(key: Array, galaxy: Galaxy, prior: FluxPrior) -> Flux:
    """Draw F given the rest of the galaxy, and weigh it."""
    _, proposal = prior.collapse(galaxy.estimate, galaxy.precision)
    return weigh(proposal.sample(key), galaxy, prior)


def weigh(value: Array, galaxy: Galaxy, prior: FluxPrior) -> Flux:
    """Fluxes (band,) with their log w given the rest of the galaxy."""
    log_evidence, proposal = prior.collapse(galaxy.estimate, galaxy.precision)
    log_fit = -0.5 * jnp.sum(galaxy.precision * jnp.square(value - galaxy.estimate))
    exact = prior.log_density(value) + log_fit
    return Flux(value, exact - log_evidence - proposal.log_prob(value))


def accept(key: Array, proposed: Flux, current: Flux) -> Array:
    """Whether a move and the flux drawn with it stand; bool, ()."""
    log_ratio = proposed.log_weight - current.log_weight
    return jnp.log(jax.random.uniform(key)) < log_ratio
