"""Prior of the dust-free band fluxes F, and the flux integrated out of the likelihood.

With Gaussian noise the likelihood of F_i alone is normal, N(F_i; F^_i, 1/P_i) (see
`dustpost.likelihood`). A prior on F offers

    collapse(F^, P) -> (log of the integral of N-shaped likelihood times prior, q(F))

where q is a distribution to draw F from. `FlatFlux` is conjugate: the integral and q are
exact. `StellarFlux` is not: its integral is Laplace's, and q only nearly the conditional;
the samplers then weight every draw by p/q (`dustpost.samplers.flux`), so that their
target is exact all the same.

Colours of `StellarFlux`: mean and covariance over the E, Sbc, Scd and Im spectra of
Coleman, Wu & Weedman (1980), extended to the infrared by Bolzonella et al. (2000), as
GalSim ships them. These are galaxies as observed, late types with some dust of their own,
so the mean is slightly red for a dust-free one; the template error below is wider than that.
"""

from typing import Protocol

import flax.struct
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array
from jax.scipy.linalg import cho_solve
from jax.scipy.special import log_ndtr

# ln f_nu relative to 0.62 micron, averaged over +-8 % in wavelength
_KNOTS = np.array([0.2, 0.25, 0.3, 0.36, 0.42, 0.4754, 0.55, 0.62, 0.7, 0.77, 0.89, 0.98, 1.25, 1.65, 2.05])  # fmt: skip # noqa: E501
_TEMPLATES = np.array(
    [
        [-5.714, -5.166, -3.328, -2.376, -1.31, -0.659, -0.285, 0.0, 0.225, 0.359, 0.601, 0.764, 0.933, 1.153, 0.981],  # noqa: E501
        [-3.105, -2.738, -2.302, -1.45, -0.74, -0.412, -0.179, 0.0, 0.196, 0.355, 0.602, 0.762, 0.901, 1.076, 0.905],  # noqa: E501
        [-2.188, -2.077, -1.735, -1.196, -0.6, -0.298, -0.144, 0.0, 0.119, 0.207, 0.326, 0.4, 0.497, 0.648, 0.477],  # noqa: E501
        [-1.285, -1.197, -1.096, -0.718, -0.344, -0.108, -0.114, 0.0, 0.121, 0.225, 0.398, 0.504, 0.514, 0.571, 0.389],  # noqa: E501
    ]
)  # fmt: skip
TEMPLATE_ERROR = 0.10  # in ln flux, smooth over TEMPLATE_LENGTH in ln wavelength
TEMPLATE_LENGTH = 0.25
BAND_ERROR = 0.02  # in ln flux, independent: zero points
TOTAL_ERROR = 3.0  # in ln flux, common to all bands
NEWTON_STEPS = 6


class FluxPrior(Protocol):
    """A prior of F (band,), in the unit of the input; a pytree."""

    def log_density(self, flux: Array) -> Array:
        """Log p(F)."""

    def collapse(self, estimate: Array, precision: Array) -> tuple[Array, dist.Distribution]:
        """Log of int exp(-sum P (F - F^)^2 / 2) p(F) dF, and q(F) to draw from."""

    def distribution(self, bands: int) -> dist.Distribution:
        """p(F) itself, of event shape (band,)."""


@flax.struct.dataclass
class FlatFlux:
    """p(F) = 1 for F > 0: the paper's choice. Improper; exact integral."""

    def log_density(self, flux: Array) -> Array:
        """0 where every flux is positive, -inf elsewhere."""
        return jnp.where(jnp.all(flux > 0), 0.0, -jnp.inf)

    def collapse(self, estimate: Array, precision: Array) -> tuple[Array, dist.Distribution]:
        """Mass of the normal above 0, and the truncated normal itself."""
        sd = precision**-0.5
        log_mass = jnp.sum(jnp.log(sd) + 0.5 * jnp.log(2 * jnp.pi) + log_ndtr(estimate / sd))
        return log_mass, dist.TruncatedNormal(estimate, sd, low=0.0).to_event(1)

    def distribution(self, bands: int) -> dist.ImproperUniform:
        """p(F) itself; it cannot be drawn from."""
        return dist.ImproperUniform(dist.constraints.positive, (), (bands,))


@flax.struct.dataclass
class StellarFlux:
    """ln F ~ Normal(mean, covariance): broad in total flux, stellar in colour.

    Attributes
    ----------
    mean : Array, (band,)
    scale_tril, precision : Array, (band, band)
        Cholesky factor and inverse of the covariance, both made in float64: the common
        level is so much broader than the colours that float32 would lose them.
    """

    mean: Array
    scale_tril: Array
    precision: Array

    def log_density(self, flux: Array) -> Array:
        """Log p(F), Jacobian of the logarithm included; -inf outside F > 0."""
        inside = jnp.all(flux > 0)
        safe = jnp.where(inside, flux, 1.0)
        return jnp.where(inside, self.distribution().log_prob(safe), -jnp.inf)

    def collapse(self, estimate: Array, precision: Array) -> tuple[Array, dist.Distribution]:
        """Laplace's integral in y = ln F about its mode, found by Newton's method."""
        # where the data say little, the prior's own range keeps exp(y) from overflowing
        reach = 4.0 * jnp.linalg.norm(self.scale_tril, axis=1)
        start = jnp.log(jnp.maximum(estimate, precision**-0.5))
        start = jnp.clip(start, self.mean - reach, self.mean + reach)

        def curvature(y):
            # Fisher's: always positive definite, and exact where exp(y) = estimate
            return self.precision + jnp.diag(precision * jnp.exp(2 * y))

        mode = start
        for _ in range(NEWTON_STEPS):
            flux = jnp.exp(mode)
            slope = precision * (flux - estimate) * flux + self.precision @ (mode - self.mean)
            step = cho_solve((jnp.linalg.cholesky(curvature(mode)), True), slope)
            # a step of more than a factor e would leave the region where Newton is right
            mode = mode - jnp.clip(step, -1.0, 1.0)
        hessian = curvature(mode)
        proposal = dist.TransformedDistribution(
            dist.MultivariateNormal(mode, precision_matrix=hessian),
            dist.transforms.ExpTransform(),
        )
        misfit = precision * jnp.square(jnp.exp(mode) - estimate)
        peak = self._normal().log_prob(mode) - 0.5 * jnp.sum(misfit)
        volume = 0.5 * mode.size * jnp.log(2 * jnp.pi) - 0.5 * jnp.linalg.slogdet(hessian)[1]
        return peak + volume, proposal

    def distribution(self, bands: int | None = None) -> dist.TransformedDistribution:
        """p(F) itself: log-normal."""
        return dist.TransformedDistribution(self._normal(), dist.transforms.ExpTransform())

    def _normal(self) -> dist.MultivariateNormal:
        return dist.MultivariateNormal(self.mean, scale_tril=self.scale_tril)


def old_over_young(wavelength: np.ndarray) -> np.ndarray:
    """ln of an elliptical's spectrum over an irregular's, at rest-frame wavelengths in micron."""
    return np.interp(np.log(wavelength), np.log(_KNOTS), _TEMPLATES[0] - _TEMPLATES[-1])


def stellar_flux(wavelength: np.ndarray, total: np.ndarray) -> StellarFlux:
    """The default prior for bands at given rest-frame wavelengths.

    Parameters
    ----------
    wavelength : ndarray, (band,)
        Rest-frame effective wavelengths in micron.
    total : ndarray, (band,)
        Summed flux of the cutout per band, in its unit; only the median level over the
        bands is used, to centre a scale of `TOTAL_ERROR` e-folds.

    Returns
    -------
    StellarFlux
    """
    wavelength = np.asarray(wavelength, float)
    log_wave = np.log(wavelength)
    colours = np.array([np.interp(log_wave, np.log(_KNOTS), row) for row in _TEMPLATES])
    mean = colours.mean(axis=0)
    lag = (log_wave[:, None] - log_wave[None, :]) / TEMPLATE_LENGTH
    covariance = (
        np.atleast_2d(np.cov(colours, rowvar=False))
        + TEMPLATE_ERROR**2 * np.exp(-0.5 * lag**2)
        + BAND_ERROR**2 * np.eye(wavelength.size)
        + TOTAL_ERROR**2
    )
    positive = np.maximum(np.asarray(total, float), 1e-30)
    level = np.median(np.log(positive) - mean)
    factor, inverse = np.linalg.cholesky(covariance), np.linalg.inv(covariance)
    return StellarFlux(*(jnp.asarray(x, float) for x in (mean + level, factor, inverse)))
