"""The targets: where the priors and the physics meet.

Latents z (host) and x (dust) live at the noise levels sigma_host and sigma_dust. Under the
target "denoised" the galaxy is what the networks denoise them to, S = S0(z),
D = D(E[v | x, S]), with v the dust network's coordinate; under "smoothed" it is the noisy
latents themselves, S = S(z), D = D(x). The density, with the band fluxes F integrated out, is

    p_sigma(z) p_sigma(x | S) p(delta) int L(Y | F, S, D, delta) p(F) dF.

The networks give the scores of the first two factors; the last two are explicit. The
gradient by z of the second factor is the cross term. Under "cut" it is left out (Siegel &
Melchior 2024, Eq. 3): z is updated as if x told nothing about it but through the data, and
only one of z and x may move at a time. Under "full" it is there and all may move at once: where
p_sigma(x | S) is an energy that knows its factor as a function of S, as its gradient; else from
a prior of both latents, together with the dust given the noisy host, p_sigma(x | z). Under
"anchored" the dust's condition is held at one host S*, an estimate: the factor is
p_sigma(x | S*), there is no cross term, and all may move at once.
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array

from dustpost import coordinates
from dustpost.attenuation import pivot_attenuation
from dustpost.block import Block, Explicit, make_block
from dustpost.colour_of_dust import follow_dust
from dustpost.forward import templates
from dustpost.galaxy import Dust, Galaxy, Host, Position
from dustpost.likelihood import fit_flux
from dustpost.networks.diffusion import score_from_denoised
from dustpost.observation import Observation
from dustpost.priors import fine, grain, strata
from dustpost.priors.prior import CoupledPrior, Prior, TransmissionPrior
from dustpost.priors.spectrum import FluxPrior


@flax.struct.dataclass
class Target:
    """Posterior of one galaxy, as functions of its latents; a pytree.

    Attributes
    ----------
    observation : Observation
    host_prior : Prior
        p(z).
    dust_prior : TransmissionPrior or CoupledPrior
        p(x | S) under cut, p(x | z) with its gradient by z under full.
    flux_prior : FluxPrior
    slope_prior : numpyro distribution
    sigma_host, sigma_dust : Array, ()
        Noise levels of the latents.
    curve, norm : str
        See `dustpost.attenuation`.
    kind : {"denoised", "smoothed"}
        What the likelihood sees.
    cross_term : {"anchored", "cut", "full"}
    covering_threshold : float
        A at 0.4754 micron, mag, above which a pixel counts as covered.
    anchor : Array, (y, x), or None
        S*, the condition of the dust; the host itself where None.
    grain : float
        Weight of the factor for the host's grain (`dustpost.priors.grain`); 0: without it.
    fine_prior : TransmissionPrior or None
        A score network that draws the dust's fine structure, see `fine`; None: without.
    flattening : float
        How much greyer deep dust is, see `dustpost.forward`.
    aim : Aim or None
        How much dust one chain is held to (`dustpost.priors.strata`); None: what the model says.
    """

    observation: Observation
    host_prior: Prior
    dust_prior: TransmissionPrior | CoupledPrior
    flux_prior: FluxPrior
    slope_prior: dist.Distribution
    sigma_host: Array
    sigma_dust: Array
    curve: str = flax.struct.field(pytree_node=False, default="calzetti-noll")
    norm: str = flax.struct.field(pytree_node=False, default="lambda0")
    kind: str = flax.struct.field(pytree_node=False, default="denoised")
    cross_term: str = flax.struct.field(pytree_node=False, default="cut")
    covering_threshold: float = flax.struct.field(pytree_node=False, default=0.05)
    anchor: Array | None = None
    grain: float = flax.struct.field(pytree_node=False, default=0.0)
    fine_prior: TransmissionPrior | None = None
    flattening: float = flax.struct.field(pytree_node=False, default=0.0)
    aim: strata.Aim | None = None

    @property
    def k_pivot(self) -> float:
        """k at 0.4754 micron, by which D becomes an attenuation there."""
        return pivot_attenuation(self.norm)

    @property
    def coupled(self) -> bool:
        """Whether the dust's prior is a `CoupledPrior`, of the noisy host and not of S."""
        return hasattr(self.dust_prior, "conditional")

    @property
    def joint(self) -> bool:
        """Whether z and x have one density, so that they may move at once.

        Before "anchored" has its anchor it is a cut posterior.
        """
        return self.cross_term == "full" or self.anchor is not None

    def galaxy(self, position: Position) -> Galaxy:
        """Galaxy that a position stands for, its fluxes fitted."""
        host, _ = self.host_of(position.host)
        transmission = self.dust_of(position.dust, host).transmission
        return self.explicit(host.image, transmission, position.slope)[1]

    def host_of(self, latent: Array) -> tuple[Host, Array]:
        """S and the score of p_sigma(z): one call of the network."""
        prior, given = self.host_prior, (latent, self.sigma_host, None)
        clean, level = prior.denoise(*given), prior.level(self.sigma_host)
        seen = clean if self.kind == "denoised" else latent / level.scale
        image = coordinates.host_from_clean(seen)
        if prior.log_density is None:
            return Host(latent, image), score_from_denoised(latent, clean, level)
        return Host(latent, image, prior.log_density(*given, clean)), prior.score(*given)

    def dust_of(self, latent: Array, host: Host) -> Dust:
        """D and the score of p_sigma(x | host): one call of the network.

        The cross term is that of a coupled prior; of one with a density it is the density's
        gradient by the host, and 0 here.
        """
        prior, level = self.dust_prior, self.dust_prior.level(self.sigma_dust)
        known, log_density = prior.log_density is not None, 0.0
        if self.coupled:
            scale, noise = self.host_prior.level(self.sigma_host)
            given = host.latent / scale, latent, noise / scale, self.sigma_dust
            cross, clean = prior.conditional(*given)
            cross, score = cross / scale, score_from_denoised(latent, clean, level)
            if known:
                log_density = prior.log_density(*given)
        else:
            given = latent, self.sigma_dust, self.condition(host.image)
            clean, cross = prior.denoise(*given), jnp.zeros_like(host.latent)
            if known:
                log_density, score = prior.log_density(*given, clean), prior.score(*given)
            else:
                score = score_from_denoised(latent, clean, level)
        seen = clean if self.kind == "denoised" else latent / level.scale
        return Dust(prior.transmission(seen), score, cross, log_density)

    def draw_dust(self, key: Array, host: Host) -> Array:
        """Draw x from its prior given the host, (y, x)."""
        if self.coupled:
            scale, noise = self.host_prior.level(self.sigma_host)
            return self.dust_prior.sample_dust(
                key, host.latent / scale, noise / scale, self.sigma_dust
            )
        return self.dust_prior.sample(key, self.sigma_dust, self.condition(host.image))

    def fine(self, key: Array, latent: Array, host: Array, transmission: Array) -> Array:
        """A map D that x may stand for, (y, x); `transmission`, its mean, without `fine_prior`."""
        if self.fine_prior is None:
            return transmission
        return fine.draw(key, self.fine_prior, latent, self.sigma_dust, self.condition(host))

    def condition(self, host: Array) -> Array:
        """What the dust is given, (y, x): the host, or the anchor in its place."""
        return host if self.anchor is None else self.anchor

    def templates(self, host: Array, transmission: Array, slope: Array) -> Array:
        """Model of each band at unit flux, (band, y, x)."""
        law = self.curve, self.norm, self.flattening
        return templates(self.observation, host, transmission, slope, *law)

    def behind(self, galaxy: Galaxy) -> Observation:
        """The observation whose colour field knows where the galaxy's dust is."""
        return follow_dust(self.observation, galaxy.host, galaxy.transmission)

    def explicit(self, host: Array, transmission: Array, slope: Array) -> tuple[Array, Galaxy]:
        """Likelihood with F integrated out, in nats, and the galaxy it belongs to.

        The factors for the host's grain and for the aim, functions of S and D, are counted in.
        """
        unit = self.templates(host, transmission, slope)
        fit = fit_flux(follow_dust(self.observation, host, transmission), unit)
        log_evidence, _ = self.flux_prior.collapse(fit.estimate, fit.precision)
        galaxy = Galaxy(host, transmission, unit, fit.estimate, fit.precision, log_evidence)
        factors = self.grain * grain.log_factor(host) if self.grain else 0.0
        if self.aim is not None:
            amount = coordinates.mean_attenuation(host, transmission, self.k_pivot)
            factors = factors + strata.log_factor(self.aim, amount)
        return fit.log_peak + log_evidence + factors, galaxy

    def dust_block(self, host: Host) -> Block:
        """Block of (x, delta) given z."""

        def score(moving):
            return self.dust_of(moving[0], host).score, jnp.zeros_like(moving[1])

        def explicit(moving):
            latent, slope = moving
            dust = self.dust_of(latent, host)
            log_density, galaxy = self.explicit(host.image, dust.transmission, slope)
            log_density = log_density + self.slope_prior.log_prob(slope)
            of_dust = dust.score, jnp.zeros_like(slope)
            return Explicit(log_density, dust.log_density, galaxy, of_dust)

        def log_prior(moving):
            return self.dust_of(moving[0], host).log_density

        known = self.dust_prior.log_density is not None
        return make_block(score, explicit, log_prior if known else None)

    def host_block(self, dust: Array, slope: Array) -> Block:
        """Block of z given x and delta; D follows the host."""
        block = self.joint_block()
        place = lambda latent: Position(latent, dust, slope)  # noqa: E731

        def score(moving):
            if self.cross_term != "full":  # the dust's network is not needed
                return self.host_of(moving)[1]
            return block.score(place(moving)).host

        density = block.log_prior if self.cross_term == "full" else None
        if self.cross_term != "full" and self.host_prior.log_density is not None:
            density = lambda at: self.host_prior.log_density(at.host, self.sigma_host)  # noqa: E731
        log_prior = None if density is None else lambda moving: density(place(moving))

        def evaluate(moving):
            found = block.evaluate(place(moving))
            of_prior = None if found.score is None else found.score.host
            found = found._replace(score=of_prior, gradient=found.gradient.host)
            if found.score is None or log_prior is None:
                return found
            # of a cut posterior, whose gradient has none of it
            return found._replace(log_prior=log_prior(moving))

        return Block(score, evaluate, log_prior)

    def joint_block(self) -> Block:
        """All latents at once.

        Where they have no joint density its score is no gradient of anything: fit for Adam
        and for Langevin, not for a Metropolis step.
        """
        of_both = self.host_prior.log_density, self.dust_prior.log_density
        known = self.joint and None not in of_both

        def score(position):
            if known:
                return jax.grad(log_prior)(position)
            host, of_host = self.host_of(position.host)
            dust = self.dust_of(position.dust, host)
            return Position(of_host + dust.cross, dust.score, jnp.zeros_like(position.slope))

        def log_prior(position):
            host, _ = self.host_of(position.host)
            return host.log_density + self.dust_of(position.dust, host).log_density

        return make_block(score, self.whole, log_prior if known else None)

    def whole(self, position: Position) -> Explicit:
        """All factors of the target at a position."""
        host, of_host = self.host_of(position.host)
        dust = self.dust_of(position.dust, host)
        log_density, galaxy = self.explicit(host.image, dust.transmission, position.slope)
        log_density = log_density + self.slope_prior.log_prob(position.slope)
        score = Position(of_host + dust.cross, dust.score, jnp.zeros_like(position.slope))
        return Explicit(log_density, host.log_density + dust.log_density, galaxy, score)

    def energy(self, position: Position) -> Array:
        """-ln of the posterior density, F integrated out, up to a constant; nan if unknown."""
        if self.joint_block().log_prior is None:
            return jnp.asarray(jnp.nan)
        found = self.whole(position)
        return -(found.log_density + found.log_prior)

    def drift(self, position: Position) -> tuple[Position, Galaxy]:
        """Gradient of the whole target (under cut, the paper's Eq. 3), and the galaxy there."""
        found = self.joint_block().evaluate(position)
        return found.force, found.galaxy
