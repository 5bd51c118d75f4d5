"""Diagonal mass from the curvature of the likelihood, plus that of the noise.

    dust   1/sigma^2 + sum_i (dm_i/dv)^2 ivar,     dm_i/dv = F_i k_i S D^{k_i - 1} dD/dv
    host   1/sigma^2 + sum_i (dm_i/dz)^2 ivar,     dm_i/dz = F_i D^{k_i} dS/dz
    slope  1/sd^2 + sum_i |dm_i/ddelta|^2, the part along m_i taken out, as F is collapsed

The PSF is left out: it only lowers the curvature, and most for the finest structure. The
mass is computed once, at the start of a chain, and held: it may not depend on the moving
variables.
"""

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.attenuation import band_attenuation
from dustpost.coordinates import STRETCH
from dustpost.galaxy import Galaxy, Position
from dustpost.posterior import Target


def dust_precision(target: Target, galaxy: Galaxy, slope: Array) -> tuple[Array, Array]:
    """Mass of (x, delta): (y, x) and ()."""
    observation = target.observation
    k = band_attenuation(
        observation.wavelength, observation.weight, slope, target.curve, target.norm
    )[:, None, None]
    flux = galaxy.estimate[:, None, None]
    clean = target.dust_prior.latent(galaxy.transmission)
    _, slant = jax.jvp(target.dust_prior.transmission, (clean,), (jnp.ones_like(clean),))
    dimming = galaxy.transmission[None] ** (k - 1.0) * slant[None]
    of_dust = jnp.sum((flux * k * galaxy.host[None] * dimming) ** 2 * observation.ivar, axis=0)

    def model(slope):
        _, moved = target.explicit(galaxy.host, galaxy.transmission, slope)
        return moved.templates

    derivative = flux * jax.jvp(model, (slope,), (jnp.ones_like(slope),))[1]
    own = flux * galaxy.templates
    dot = lambda a, b: jnp.sum(a * b * observation.ivar, axis=(-2, -1))  # noqa: E731
    along = dot(derivative, own) ** 2 / jnp.maximum(dot(own, own), 1e-30)
    of_slope = jnp.sum(jnp.maximum(dot(derivative, derivative) - along, 0.0))
    return (
        of_dust + target.sigma_dust**-2,
        of_slope + 1.0 / target.slope_prior.variance,
    )


def host_precision(target: Target, position: Position, galaxy: Galaxy) -> Array:
    """Mass of z, (y, x)."""
    observation = target.observation
    k = band_attenuation(
        observation.wavelength, observation.weight, position.slope, target.curve, target.norm
    )[:, None, None]
    clean = target.host_prior.denoise(position.host, target.sigma_host, None)
    image = jnp.exp(STRETCH * clean)
    total = jnp.sum(jnp.maximum(image - 1.0, 0.0))
    dimmed = galaxy.estimate[:, None, None] * galaxy.transmission[None] ** k
    derivative = dimmed * (STRETCH * image / total)[None]
    return jnp.sum(derivative**2 * observation.ivar, axis=0) + target.sigma_host**-2


def flux_precision(target: Target, log_flux: Array) -> Array:
    """Curvature of -ln p(ln F), (band, band)."""

    def minus_log_prior(level):
        return -target.flux_prior.log_density(jnp.exp(level)) - jnp.sum(level)

    return jax.hessian(minus_log_prior)(log_flux)
