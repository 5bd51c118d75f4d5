"""The analytic rungs: one disc, its dust behind a mask of known outline.

    z ~ Gaussian about an exponential disc,   u = m (A_f / (2.5 log10 e) + v),   A_f = A / f

m covers the share f of the light from one side on, A is the mean attenuation that all rungs
of a depth have, v is a uniform offset of `SCREEN` times the depth behind the mask plus a texture
of `TEXTURE`. Priors, data and draws are exact, so that what is left is the degeneracy.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.bands import effective_wavelength, filter_nodes
from dustpost.forward import templates
from dustpost.galaxy import Position
from dustpost.observation import Observation
from dustpost.posterior import Target
from dustpost.priors import spectrum
from dustpost.priors.gaussian import GaussianPrior, matern_power
from dustpost.priors.screen import ScreenPrior, covered, uniform_power
from dustpost.priors.slope import slope_prior

BANDS = ("hsc2017-g", "hsc2017-r", "hsc2017-z")
SIZE = 16
SCALE_LENGTH = 2.5  # pixels
HOST_VARIANCE, HOST_LENGTH = 0.3, 2.0
SCREEN, TEXTURE, TEXTURE_LENGTH = 0.3, 0.15, 3.0
SIGMA_HOST = 0.3
SIGMA_DUST = 0.5  # of the depth behind the mask
PSF_SIGMA = 1.0  # pixels
FLUX = 100.0
LEVEL_ERROR = 0.2  # in ln flux, common to all bands, of the prior of colours
FLAT_ERROR = 3.0  # in ln flux, of each band, of the prior called flat
MAGNITUDE = 2.5 / np.log(10.0)  # mag of an optical depth of 1


@lru_cache
def disc() -> Array:
    """Mean of the host's clean latent z0, (y, x)."""
    radius = np.hypot(*(np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2))
    return jnp.asarray(np.log1p(np.exp(-radius / SCALE_LENGTH)) / 0.1, float)


def rung(fraction: float, depth: float, signal_to_noise: float, flux_prior: str) -> Target:
    """Target of one rung, its data missing.

    Parameters
    ----------
    fraction : float
        Share of the mean host's light behind dust, in (0, 1].
    depth : float
        Light-weighted mean attenuation at 0.4754 micron, mag.
    signal_to_noise : float
        Of the brightest pixel of the dust-free galaxy in each band.
    flux_prior : {"flat", "colours"}
        Flat in ln F (a factor of 20 either way in every band), or the package's colours.

    Returns
    -------
    Target
        With a full cross term, which is zero: the host does not tell the dust.
    """
    wavelength = np.array([effective_wavelength(band) for band in BANDS])
    shape = (SIZE, SIZE)
    image = jnp.expm1(0.1 * disc())
    light = image / image.sum()
    behind = depth / fraction / MAGNITUDE
    power = uniform_power(shape, SCREEN * behind)
    power = power + matern_power(shape, (TEXTURE * behind) ** 2, TEXTURE_LENGTH)
    radius = np.hypot(*np.mgrid[-3:4, -3:4])
    psf = np.exp(-0.5 * (radius / PSF_SIGMA) ** 2)
    psf = jnp.asarray(np.repeat((psf / psf.sum())[None], len(BANDS), axis=0), float)
    fluxes = fluxes_of(flux_prior)
    nodes = [jnp.asarray(x, float) for x in filter_nodes(BANDS, wavelength, average=False)]
    cube = jnp.zeros((len(BANDS), *shape))
    seen = Observation(cube, cube, psf, *nodes)
    clean = templates(seen, light, jnp.ones(shape), jnp.zeros(()))
    noise = jnp.exp(fluxes.mean) * jnp.max(clean, axis=(1, 2)) / signal_to_noise
    seen = seen._replace(ivar=cube + noise[:, None, None] ** -2)
    return Target(
        observation=seen,
        host_prior=GaussianPrior(disc(), matern_power(shape, HOST_VARIANCE, HOST_LENGTH)),
        dust_prior=ScreenPrior(
            jnp.zeros(shape), power, covered(light, fraction), jnp.asarray(behind, float)
        ),
        flux_prior=fluxes,
        slope_prior=slope_prior(),
        sigma_host=jnp.asarray(SIGMA_HOST),
        sigma_dust=jnp.asarray(SIGMA_DUST * behind, float),
        cross_term="full",
    )


def fluxes_of(flux_prior: str) -> spectrum.StellarFlux:
    """The prior of the fluxes by its name, see `rung`."""
    wavelength = np.array([effective_wavelength(band) for band in BANDS])
    stellar = spectrum.stellar_flux(wavelength, np.full(len(BANDS), FLUX))
    if flux_prior == "flat":
        spread = FLAT_ERROR**2 * np.eye(len(BANDS))
    else:
        spread = np.linalg.inv(np.asarray(stellar.precision, float))
        spread += LEVEL_ERROR**2 - spectrum.TOTAL_ERROR**2
    factors = np.linalg.cholesky(spread), np.linalg.inv(spread)
    return spectrum.StellarFlux(stellar.mean, *(jnp.asarray(f, float) for f in factors))


@partial(jax.jit, static_argnames="flux_prior")
def draw(
    key: Array, target: Target, flux_prior: str, level: Array | None = None
) -> tuple[Position, Target]:
    """A galaxy of the rung's own prior, and the target with its noisy data.

    `level` is the offset of the screen in units of its sd, by default drawn as well. Under the
    flat prior the fluxes are its centre: what a broad prior of scale cannot tell apart it
    judges alike.
    """
    host_key, dust_key, slope_key, flux_key, noise_key = jax.random.split(key, 5)
    dust = target.dust_prior.sample(dust_key, target.sigma_dust)
    if level is not None:
        spread = (target.dust_prior.power[0, 0] + target.sigma_dust**2) ** 0.5 / SIZE
        dust = dust - dust.mean() + level * spread
    position = Position(
        target.host_prior.sample(host_key, target.sigma_host),
        dust,
        target.slope_prior.sample(slope_key),
    )
    flux = jnp.exp(target.flux_prior.mean)
    if flux_prior != "flat":
        flux = target.flux_prior.distribution().sample(flux_key)
    seen = target.observation
    clean = flux[:, None, None] * target.galaxy(position).templates
    noise = jax.random.normal(noise_key, clean.shape) * seen.ivar**-0.5
    return position, target.replace(observation=seen._replace(data=clean + noise))


def prior_sd(target: Target) -> float:
    """Prior sd of mean A in mag, closed form, the host at its mean.

    v0, what the latent is denoised to, has power P^2 / (P + sigma^2).
    """
    prior = target.dust_prior
    host, _ = target.host_of(target.host_prior.mean)
    modes = jnp.abs(jnp.fft.fft2(host.image * prior.mask, norm="ortho")) ** 2
    power = prior.power**2 / (prior.power + target.sigma_dust**2)
    return MAGNITUDE * float(jnp.sqrt(jnp.sum(modes * power)))
