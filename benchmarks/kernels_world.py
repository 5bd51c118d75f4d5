"""The world of kernels.py: host and dust tied normal fields, all of the light behind dust.

The physics is the package's own (`dustpost.forward`), without a PSF; target "smoothed", so
that every kernel, split Gibbs and NUTS too, has one and the same law of its latents.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost import coordinates
from dustpost.galaxy import Position
from dustpost.observation import Observation
from dustpost.posterior import Target
from dustpost.priors.gaussian import GaussianPrior, matern_power
from dustpost.priors.slope import slope_prior
from dustpost.priors.spectrum import stellar_flux

MEAN, SCREEN = 0.65, 0.03  # of D; sd of its mean over the frame
NAMES = ("slope", "ln F first", "ln F last", "log_screen", "mean attenuation")
NAMES += ("dust pixel", "host pixel", "S pixel", "D pixel")


def modes(image: Array) -> Array:
    """Fourier modes of unit variance for unit white noise."""
    return jnp.fft.fft2(image, norm="ortho")


def image_of(coefficients: Array) -> Array:
    """Inverse of `modes`."""
    return jnp.fft.ifft2(coefficients, norm="ortho").real


@flax.struct.dataclass
class Tied(GaussianPrior):
    """Dust tied to the host: v = mean + tie (z0 - host_mean) + e, e of `power`; Fourier modes."""

    host_mean: Array
    host_power: Array
    tie: Array

    def parts(self, tau: Array, sigma: Array) -> tuple[Array, Array, Array]:
        """d E[v | z] / dz, and variances of v and x given z, of each mode."""
        gain = self.host_power / (self.host_power + tau**2)
        own = self.tie**2 * self.host_power * (1 - gain) + self.power
        return self.tie * gain, own, own + sigma**2

    def conditional(self, z: Array, x: Array, tau: Array, sigma: Array) -> tuple[Array, Array]:
        """Cross term, and E[v | z, x]."""
        drag, own, total = self.parts(tau, sigma)
        middle = drag * modes(z - self.host_mean)
        away = modes(x - self.mean) - middle
        return image_of(drag * away / total), self.mean + image_of(middle + own / total * away)

    def log_density(self, z: Array, x: Array, tau: Array, sigma: Array) -> Array:
        """log p_sigma(x | z)."""
        drag, _, total = self.parts(tau, sigma)
        away = modes(x - self.mean) - drag * modes(z - self.host_mean)
        return -0.5 * jnp.sum(jnp.abs(away) ** 2 / total + jnp.log(2 * jnp.pi * total))

    def sample_dust(self, key: Array, z: Array, tau: Array, sigma: Array) -> Array:
        """Draw x given z."""
        drag, _, total = self.parts(tau, sigma)
        white = modes(jax.random.normal(key, z.shape))
        middle = drag * modes(z - self.host_mean)
        return self.mean + image_of(middle + jnp.sqrt(total) * white)


@flax.struct.dataclass
class ScoreOnly(GaussianPrior):
    """A prior whose density is withheld."""

    log_density = None


@flax.struct.dataclass
class ScoreOnlyTied(Tied):
    """Likewise."""

    log_density = None


def target(side: int = 64, bands: int = 3, density: bool = False) -> Target:
    """The world before any data."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    light = jnp.asarray(np.log1p(np.exp(-np.hypot(y, x) / (side / 4))) / 0.1 + 1.0, float)
    host_power = matern_power((side, side), 0.3, 2.0)
    own = matern_power((side, side), 0.002, 2.0).at[0, 0].set((side * SCREEN) ** 2)
    waves = np.geomspace(0.4754, 0.98, bands)[:, None]
    # about 5 in the brightest pixels of each band
    ivar = np.full((bands, side, side), (0.3 / side**2) ** -2)
    parts = np.zeros_like(ivar), ivar, np.ones((bands, 1, 1)), waves, np.ones_like(waves)
    host, dust = (GaussianPrior, Tied) if density else (ScoreOnly, ScoreOnlyTied)
    tie = jnp.full((side, side), -0.1)
    return Target(
        observation=Observation(*(jnp.asarray(p, float) for p in parts)),
        host_prior=host(light, host_power),
        dust_prior=dust(jnp.full((side, side), MEAN), own, light, host_power, tie),
        flux_prior=stellar_flux(waves[:, 0], np.ones(bands)),
        slope_prior=slope_prior(),
        sigma_host=jnp.asarray(0.2),
        sigma_dust=jnp.asarray(0.03),
        kind="smoothed",
        cross_term="full",
    )


def observed(key: Array, before: Target) -> tuple[Target, Position]:
    """Data of a galaxy from the prior, its fluxes 1 to 3, and where it truly is."""
    host_key, dust_key, noise_key = jax.random.split(key, 3)
    host = before.host_prior.sample(host_key, before.sigma_host)
    dust = before.draw_dust(dust_key, before.host_of(host)[0])
    position = Position(host, dust, jnp.asarray(0.1))
    seen = before.observation
    flux = jnp.linspace(1.0, 3.0, len(seen.data))
    model = flux[:, None, None] * before.galaxy(position).templates
    data = model + jax.random.normal(noise_key, model.shape) * seen.ivar**-0.5
    return before.replace(observation=seen._replace(data=data)), position


def functionals(target: Target, position: Position, galaxy: Any, flux: Array) -> Array:
    """The scalars that are compared, of `NAMES`."""
    side = position.dust.shape[-1]
    images = galaxy.host, galaxy.transmission
    at = side // 2 + 2, side // 2 - 3
    numbers = [position.slope, jnp.log(flux[0]), jnp.log(flux[-1]), coordinates.log_screen(*images)]
    numbers += [coordinates.mean_attenuation(*images, 1.0), position.dust[at], position.host[at]]
    return jnp.stack([*numbers, side**2 * galaxy.host[at], galaxy.transmission[at]])
