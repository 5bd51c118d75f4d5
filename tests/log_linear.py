"""A log-linear world: the package's target with its physics replaced by one that is linear.

In band i and pixel p the data are

    y_ip = ln F_i + s_p - k_i u_p + e_ip,   e ~ N(0, noise^2),

with s the log of the host's light and u = -ln D, both from their prior means, and k_i fixed;
ln F is normal. Each prior is a product over the modes of the cosine transform, or a mixture of
such products, and known by its score alone unless it says otherwise. All images here are the
modes themselves: the transform is orthonormal, which leaves the noise white, and a kernel of
equal masses does not see it. delta does not enter: its posterior is its prior.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array
from scipy.fft import dct

from dustpost.galaxy import Galaxy, Host
from dustpost.networks.diffusion import score_from_denoised, variance_exploding
from dustpost.observation import Observation
from dustpost.posterior import Target
from dustpost.priors.slope import slope_prior

SIDE = 64
K = np.array([1.0, 0.75, 0.5])
NOISE = 0.3
LEVEL = np.log([2.0, 3.0, 4.0])  # of the fluxes
COLOUR, TOTAL = 0.01, 0.3  # sd of ln F, per band and in common
HOST_SIGMA, DUST_SIGMA = 0.1, 0.1
EULER, GUMBEL = np.euler_gamma, np.pi / 6**0.5
FLUX = np.diag(np.full(3, COLOUR**2)) + TOTAL**2


def basis(side: int) -> np.ndarray:
    """Q, orthonormal: row m is the m-th cosine."""
    return dct(np.eye(side), axis=0, norm="ortho")


def spectrum(side: int, screen: float, highest: float, lowest: float) -> np.ndarray:
    """Sd of each mode: falling with frequency, and `screen` sd of the mean itself."""
    frequency = np.hypot(*np.mgrid[:side, :side]) / side
    sd = lowest + (highest - lowest) / (1 + (4 * frequency) ** 2)
    sd[0, 0] = screen * side
    return sd


@flax.struct.dataclass
class LogFlux:
    """ln F ~ N(mean, covariance): conjugate to log-linear data; `value` is ln F."""

    mean: Array
    covariance: Array

    def log_density(self, value: Array) -> Array:
        """Log p(ln F)."""
        return dist.MultivariateNormal(self.mean, self.covariance).log_prob(value)

    def collapse(self, estimate: Array, precision: Array) -> tuple[Array, dist.Distribution]:
        """Log of int exp(-sum P (f - f^)^2 / 2) p(f) df, and the conditional of f."""
        inverse = jnp.linalg.inv(self.covariance)
        total = inverse + jnp.diag(precision)
        middle = jnp.linalg.solve(total, inverse @ self.mean + precision * estimate)
        peak = self.log_density(middle) - 0.5 * jnp.sum(precision * (middle - estimate) ** 2)
        log_mass = peak - 0.5 * jnp.linalg.slogdet(total)[1]
        return log_mass, dist.MultivariateNormal(middle, precision_matrix=total)


@flax.struct.dataclass
class LogLinear(Target):
    """The target, its physics replaced by the log-linear; `host` images are s."""

    sees_host: bool = flax.struct.field(pytree_node=False, default=True)

    def host_of(self, latent: Array) -> tuple[Host, Array]:
        """S and the score of p_sigma(z)."""
        clean = self.host_prior.denoise(latent, self.sigma_host, None)
        score = score_from_denoised(latent, clean, self.host_prior.level(self.sigma_host))
        return Host(latent, clean if self.kind == "denoised" else latent), score

    def explicit(self, host: Array, transmission: Array, slope: Array) -> tuple[Array, Galaxy]:
        """Likelihood with ln F integrated out; templates are the log's."""
        seen = self.observation
        light = host if self.sees_host else jnp.zeros_like(host)
        k = jnp.asarray(K, host.dtype)[:, None, None]
        unit = light[None] + k * jnp.log(transmission)[None]
        away = seen.data - unit
        # a constant image is all in the lowest mode
        side = host.shape[-1]
        estimate, precision = away[:, 0, 0] / side, side**2 * seen.ivar[:, 0, 0]
        chi2 = jnp.sum((away.at[:, 0, 0].set(0.0)) ** 2 * seen.ivar)
        log_mass, _ = self.flux_prior.collapse(estimate, precision)
        return log_mass - 0.5 * chi2, Galaxy(
            host, transmission, unit, estimate, precision, log_mass
        )


class Depth:
    """Convention of all dust priors here: the latent is an optical depth."""

    coordinate = "optical_depth"
    log_density = None
    normalised = True

    def level(self, sigma: Array) -> Any:
        """Variance exploding."""
        return variance_exploding(sigma)

    def transmission(self, clean: Array) -> Array:
        """D of u; nothing is cut off."""
        return jnp.exp(-clean)

    def latent(self, transmission: Array) -> Array:
        """u of D."""
        return -jnp.log(transmission)

    def denoise(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Tweedie's formula: x + sigma^2 score."""
        return latent + sigma**2 * self.score(latent, sigma)


@flax.struct.dataclass
class Normal(Depth):
    """Normal modes of variance `power`."""

    power: Array

    def score(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Score of p_sigma."""
        return -latent / (self.power + sigma**2)


@flax.struct.dataclass
class Tied(Depth):
    """Dust given the host: v = tie z0 + e in each mode; `conditional`."""

    power: Array
    host_power: Array
    tie: Array

    def parts(self, tau: Array, sigma: Array) -> tuple[Array, Array, Array]:
        """d E[v | z] / dz, and variances of v and x given z, in each mode."""
        gain = self.host_power / (self.host_power + tau**2)
        own = self.tie**2 * self.host_power * (1 - gain) + self.power
        return self.tie * gain, own, own + sigma**2

    def conditional(self, z: Array, x: Array, tau: Array, sigma: Array) -> tuple[Array, Array]:
        """Cross term, and E[v | z, x]."""
        drag, own, total = self.parts(tau, sigma)
        middle = drag * z
        away = x - middle
        return drag * away / total, middle + own / total * away


@flax.struct.dataclass
class Mixture(Depth):
    """x of one of two kinds, each of normal modes; p_sigma itself, whatever sigma.

    Attributes
    ----------
    weight : Array, (kind,)
    mean, sd : Array, (kind, y, x)
        Of the modes.
    exact : bool
        Whether the density is offered too.
    """

    weight: Array
    mean: Array
    sd: Array
    exact: bool = flax.struct.field(pytree_node=False, default=False)

    def logs(self, coefficients: Array) -> Array:
        """Log of weight times density, of each kind."""
        away = (coefficients[None] - self.mean) / self.sd
        return jnp.log(self.weight) - jnp.sum(0.5 * away**2 + jnp.log(self.sd), axis=(1, 2))

    def score(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Score of the mixture."""
        share = jax.nn.softmax(self.logs(latent))
        pull = (self.mean - latent[None]) / self.sd**2
        return jnp.sum(share[:, None, None] * pull, axis=0)

    def density(self, latent: Array) -> Array:
        """Log p(x) up to a constant; for the checks."""
        return jax.nn.logsumexp(self.logs(latent))

    @property
    def log_density(self) -> Any:
        """`density`, if it is offered."""
        return (lambda latent, sigma, condition=None: self.density(latent)) if self.exact else None


@flax.struct.dataclass
class Skewed(Depth):
    """Gumbel modes of mean 0 and given sd, (y, x): skewness 1.14; p_sigma itself."""

    sd: Array

    def reduced(self, coefficients: Array) -> Array:
        """t, of log density -t - e^-t."""
        return EULER + GUMBEL * coefficients / self.sd

    def score(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Score of the product."""
        t = self.reduced(latent)
        return (jnp.exp(-t) - 1.0) * GUMBEL / self.sd

    def density(self, latent: Array) -> Array:
        """Log p(x) up to a constant; for the checks."""
        t = self.reduced(latent)
        return -jnp.sum(t + jnp.exp(-t))


def observe(rng: np.random.Generator, light: np.ndarray, depth: np.ndarray) -> Observation:
    """Draw data of given s and u, fluxes from their prior; all of them modes."""
    data = light - K[:, None, None] * depth
    data[:, 0, 0] += light.shape[-1] * rng.multivariate_normal(LEVEL, FLUX)
    data = data + NOISE * rng.standard_normal(data.shape)
    waves = np.array([[0.4754], [0.62], [0.89]])
    parts = data, np.full(data.shape, NOISE**-2), np.ones((3, 1, 1)), waves, np.ones((3, 1))
    return Observation(*(jnp.asarray(p, float) for p in parts))


def target_of(observation: Observation, host: Any, dust: Any, **options: Any) -> LogLinear:
    """Target of the log-linear world."""
    return LogLinear(
        observation=observation,
        host_prior=host,
        dust_prior=dust,
        flux_prior=LogFlux(jnp.asarray(LEVEL, float), jnp.asarray(FLUX, float)),
        slope_prior=slope_prior(),
        sigma_host=jnp.asarray(HOST_SIGMA, float),
        sigma_dust=jnp.asarray(DUST_SIGMA, float),
        **options,
    )
