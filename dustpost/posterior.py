"""The denoised target: where the priors and the physics meet.

Latents z (host) and x (dust) live at the noise levels sigma_host and sigma_dust; the
galaxy is what the networks denoise them to, S = S0(z), D = D0(x, S) = D(E[v | x, S]),
with v the dust network's coordinate. Its density, with the band fluxes F integrated
out, is

    p_sigma(z) p_sigma(x | S0) p(delta) int L(Y | F, S0, D0, delta) p(F) dF.

The networks give the scores of the first two factors; the last two are explicit. The
paper's cross term grad_S log p(x | S) is left out (Siegel & Melchior 2024, Eq. 3), which
makes the result a cut posterior: z is updated as if x told nothing about it but through
the data.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array

from dustpost import coordinates
from dustpost.attenuation import PIVOT_VALUE
from dustpost.forward import templates
from dustpost.likelihood import fit_flux
from dustpost.networks.diffusion import score_from_denoised
from dustpost.observation import Observation
from dustpost.priors.prior import Prior, TransmissionPrior
from dustpost.priors.spectrum import FluxPrior


class Position(NamedTuple):
    """Latents of one galaxy: host z (y, x), dust x (y, x), slope delta ()."""

    host: Array
    dust: Array
    slope: Array


class Galaxy(NamedTuple):
    """What a position stands for, and the flux integral there.

    Attributes
    ----------
    host, transmission : Array, (y, x)
        S and D.
    templates : Array, (band, y, x)
        Model at unit flux.
    estimate, precision : Array, (band,)
        Likelihood of the fluxes: F^ and P.
    log_evidence : Array, ()
        Log of int exp(-sum P (F - F^)^2 / 2) p(F) dF, by Laplace where it must be.
    """

    host: Array
    transmission: Array
    templates: Array
    estimate: Array
    precision: Array
    log_evidence: Array


class Evaluation(NamedTuple):
    """A block's target at one position; the samplers see nothing else.

    Attributes
    ----------
    score : pytree
        Gradient of the prior known by its score, of the block's shape; 0 for variables
        whose prior is explicit.
    log_density : Array, ()
        Explicit part: collapsed likelihood and explicit priors.
    gradient : pytree
        Gradient of the explicit part.
    galaxy : Galaxy
    """

    score: Any
    log_density: Array
    gradient: Any
    galaxy: Galaxy


class Block(NamedTuple):
    """Conditional target of some of the latents, the others held.

    Attributes
    ----------
    score : callable
        moving -> score of the prior alone, of the same structure.
    evaluate : callable
        moving -> `Evaluation`; costs one network call and one pull-back.
    """

    score: Callable[[Any], Any]
    evaluate: Callable[[Any], Evaluation]


@flax.struct.dataclass
class Target:
    """Posterior of one galaxy, as functions of its latents; a pytree.

    Attributes
    ----------
    observation : Observation
    host_prior : Prior
        p(z).
    dust_prior : TransmissionPrior
        p(x | S).
    flux_prior : FluxPrior
    slope_prior : numpyro distribution
    sigma_host, sigma_dust : Array, ()
        Noise levels of the latents.
    curve, norm : str
        See `dustpost.attenuation`.
    covering_threshold : float
        A at 0.4754 micron, mag, above which a pixel counts as covered.
    """

    observation: Observation
    host_prior: Prior
    dust_prior: TransmissionPrior
    flux_prior: FluxPrior
    slope_prior: dist.Distribution
    sigma_host: Array
    sigma_dust: Array
    curve: str = flax.struct.field(pytree_node=False, default="calzetti-noll")
    norm: str = flax.struct.field(pytree_node=False, default="lambda0")
    covering_threshold: float = flax.struct.field(pytree_node=False, default=0.05)

    @property
    def k_pivot(self) -> float:
        """k at 0.4754 micron, by which D becomes an attenuation there."""
        return PIVOT_VALUE if self.norm == "paper" else 1.0

    def galaxy(self, position: Position) -> Galaxy:
        """Denoise a position and fit the fluxes."""
        host = self.host_of(position.host)[0]
        transmission = self.transmission_of(position.dust, host)[0]
        return self.explicit(host, transmission, position.slope)[1]

    def host_of(self, latent: Array) -> tuple[Array, Array]:
        """S (y, x), and the score of p_sigma(z): one call of the network."""
        clean = self.host_prior.denoise(latent, self.sigma_host, None)
        score = score_from_denoised(latent, clean, self.host_prior.level(self.sigma_host))
        return coordinates.host_from_clean(clean), score

    def transmission_of(self, latent: Array, host: Array) -> tuple[Array, Array]:
        """D = D(E[v | x, S]), (y, x), and the score of p_sigma(x | S): one call of the network."""
        clean = self.dust_prior.denoise(latent, self.sigma_dust, host)
        score = score_from_denoised(latent, clean, self.dust_prior.level(self.sigma_dust))
        return self.dust_prior.transmission(clean), score

    def explicit(self, host: Array, transmission: Array, slope: Array) -> tuple[Array, Galaxy]:
        """Likelihood with F integrated out, in nats, and the galaxy it belongs to."""
        unit = templates(self.observation, host, transmission, slope, self.curve, self.norm)
        fit = fit_flux(self.observation, unit)
        log_evidence, _ = self.flux_prior.collapse(fit.estimate, fit.precision)
        galaxy = Galaxy(host, transmission, unit, fit.estimate, fit.precision, log_evidence)
        return fit.log_peak + log_evidence, galaxy

    def dust_block(self, host: Array) -> Block:
        """Block of (x, delta) given S."""

        def score(moving):
            _, of_dust = self.transmission_of(moving[0], host)
            return of_dust, jnp.zeros_like(moving[1])

        def explicit(moving):
            latent, slope = moving
            transmission, of_dust = self.transmission_of(latent, host)
            log_density, galaxy = self.explicit(host, transmission, slope)
            log_density = log_density + self.slope_prior.log_prob(slope)
            return log_density, (galaxy, (of_dust, jnp.zeros_like(slope)))

        return Block(score, _evaluate(explicit))

    def host_block(self, dust: Array, slope: Array) -> Block:
        """Block of z given x and delta; D0(x, S0(z)) follows the host."""

        def score(moving):
            return self.host_of(moving)[1]

        def explicit(moving):
            host, of_host = self.host_of(moving)
            transmission, _ = self.transmission_of(dust, host)
            log_density, galaxy = self.explicit(host, transmission, slope)
            return log_density, (galaxy, of_host)

        return Block(score, _evaluate(explicit))

    def drift(self, position: Position) -> tuple[Position, Galaxy]:
        """Gradient of the whole target but for the cross term (the paper's Eq. 3).

        With the cross term left out it is no gradient of anything: fit for Adam and for
        Langevin, not for a Metropolis step over all latents at once.
        """

        def explicit(position):
            host, of_host = self.host_of(position.host)
            transmission, of_dust = self.transmission_of(position.dust, host)
            log_density, galaxy = self.explicit(host, transmission, position.slope)
            log_density = log_density + self.slope_prior.log_prob(position.slope)
            score = Position(of_host, of_dust, jnp.zeros_like(position.slope))
            return log_density, (galaxy, score)

        evaluation = _evaluate(explicit)(position)
        drift = jax.tree.map(jnp.add, evaluation.score, evaluation.gradient)
        return drift, evaluation.galaxy


def _evaluate(explicit: Callable) -> Callable[[Any], Evaluation]:
    def evaluate(moving):
        value = jax.value_and_grad(explicit, has_aux=True)(moving)
        (log_density, (galaxy, score)), gradient = value
        return Evaluation(score, log_density, gradient, galaxy)

    return evaluate
