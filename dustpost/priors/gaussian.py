"""Stationary Gaussian random field: the prior whose every answer has a closed form.

    clean ~ N(mean, C), C diagonal in Fourier space with power P(k);
    p_sigma = N(scale * mean, scale^2 C + sigma^2).

It is the oracle of the samplers' tests: score, denoiser, density and draws are exact.
"""

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from dustpost.coordinates import transmission_from_clean
from dustpost.networks.diffusion import Level, score_from_denoised, variance_exploding


@flax.struct.dataclass
class GaussianPrior:
    """Gaussian field on a periodic (y, x) grid, in the variance-exploding convention.

    Attributes
    ----------
    mean : Array, (y, x)
    power : Array, (y, x)
        Eigenvalues of the covariance, in the order of `jnp.fft.fft2`.
    """

    mean: Array
    power: Array

    def level(self, sigma: Array) -> Level:
        """Scale and noise of the latent at `sigma`."""
        return variance_exploding(sigma)

    @property
    def coordinate(self) -> str:
        """As a prior of the dust, its latent is the transmission itself."""
        return "transmission"

    @property
    def normalised(self) -> bool:
        """True: `log_density` is the density itself."""
        return True

    def transmission(self, clean: Array) -> Array:
        """D of a clean latent, in [1e-4, 1]."""
        return transmission_from_clean(clean)

    def latent(self, transmission: Array) -> Array:
        """Clean latent of a transmission."""
        return transmission

    def denoise(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Wiener filter: mean + C (C + sigma^2)^-1 (latent - mean)."""
        gain = self.power / (self.power + jnp.square(sigma))
        return self.mean + _filter(latent - self.mean, gain)

    def score(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """-(C + sigma^2)^-1 (latent - mean)."""
        denoised = self.denoise(latent, sigma, condition)
        return score_from_denoised(latent, denoised, self.level(sigma))

    def log_density(
        self,
        latent: Array,
        sigma: Array,
        condition: Array | None = None,
        clean: Array | None = None,
    ) -> Array:
        """Log of N(latent; mean, C + sigma^2)."""
        variance = self.power + jnp.square(sigma)
        modes = jnp.abs(jnp.fft.fft2(latent - self.mean, norm="ortho")) ** 2
        return -0.5 * jnp.sum(modes / variance + jnp.log(2 * jnp.pi * variance))

    def sample(self, key: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Draw from N(mean, C + sigma^2)."""
        white = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + _filter(white, jnp.sqrt(self.power + jnp.square(sigma)))


def matern_power(shape: tuple[int, int], variance: float, scale: float) -> Array:
    """Power of a field of the given pixel variance and correlation length in pixels.

    P(k) is proportional to (1 + (k scale)^2)^-2, the Matern-like spectrum of order 1.
    """
    ky, kx = (2 * jnp.pi * jnp.fft.fftfreq(side) for side in shape)
    power = (1.0 + (ky[:, None] ** 2 + kx[None, :] ** 2) * scale**2) ** -2
    return variance * power / jnp.mean(power)


def _filter(image: Array, gain: Array) -> Array:
    return jnp.fft.ifft2(jnp.fft.fft2(image) * gain).real
