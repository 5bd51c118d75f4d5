"""The peer without a spatial prior: attenuation from the colours of each pixel by itself.

What tools such as piXedfit do, reduced to the model of this package so that only the spatial
prior differs: every pixel has its own A and slope, and the package's own prior of stellar
colours on its dust-free fluxes,

    Y_i ~ Normal(f_i 10^(-0.4 k_i(delta) A), 1 / ivar_i),   ln f ~ colours of `StellarFlux`,
    A ~ Exponential(0.3 mag),   delta ~ the package's own prior,

with f integrated out (Laplace, as in the sampler), A on a grid of `DEPTHS` and delta at the
`SLOPES` nodes of Gauss and Hermite: the posterior of each pixel is exact but for the grid.
First all bands are brought to the broadest PSF by the ratio of the Fourier transforms; the
noise is propagated, its correlation is not. S is the dust-free r light as it is then, still
blurred. Draws take pixels as independent, as such tools do.
"""

import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.attenuation import band_attenuation
from dustpost.io.cutout import Cutout
from dustpost.io.read import to_observation
from dustpost.priors import slope as of_slope
from dustpost.priors.spectrum import StellarFlux, stellar_flux
from dustpost.reproduce import fit
from dustpost.reproduce.exposure import RED, blur
from dustpost.reproduce.fit import Fit
from dustpost.simulate.survey import noise_area

DEPTHS = 4.0 * np.linspace(0.0, 1.0, 49) ** 2  # mag
SCALE = 0.3  # mag, mean of the prior of A
SLOPES = 5
DRAWS = 100
FAINTEST = 1e-3  # of the Fourier transform of a PSF, below which its ratio is cut off


def fit_pixels(cutout: Cutout, seed: int = 0) -> Fit:
    """Fit every pixel by itself.

    Parameters
    ----------
    cutout : Cutout
        With its truth.
    seed : int
        Of the draws.
    """
    begin = time.perf_counter()
    seen = match_psf(cutout)
    depth, slope, mass = _grid(seen)
    flux, log_mass = _collapse(seen, depth, slope)  # (grid, pixel, band), (grid, pixel)
    log_mass = log_mass + np.log(mass)[:, None]
    weight = np.exp(log_mass - log_mass.max(axis=0))
    weight /= weight.sum(axis=0)
    chosen = _choose(weight, np.random.default_rng(seed))  # (draw, pixel)
    pixels = np.arange(weight.shape[1])
    drawn = flux[chosen, pixels]  # (draw, pixel, band)
    red = int(np.argmin(np.abs(seen.wavelength - RED)))
    side = seen.data.shape[1:]
    light = drawn[..., red] / drawn[..., red].sum(axis=1, keepdims=True)
    maps = depth[chosen]
    means = np.tensordot(weight, np.stack([depth, 10 ** (-0.4 * depth)], axis=1), (0, 0))
    spread = (weight * (10 ** (-0.4 * depth))[:, None] ** 2).sum(axis=0) - means[:, 1] ** 2
    scores = fit.map_scores(maps.reshape(-1, *side), fit.known(cutout))
    truth = fit.known(cutout)
    best = fit.correlation(
        means[:, 0].reshape(side), fit.attenuation(truth.transmission), truth.host
    )
    scores["correlation"][0] = best
    return Fit(
        flux=drawn.sum(axis=1),
        attenuated_flux=seen.data.sum(axis=(1, 2), dtype=float),
        slope=(light * slope[chosen]).sum(axis=1),
        mean_attenuation=(light * maps).sum(axis=1),
        covering_fraction=(light * (maps > 0.05)).sum(axis=1),
        transmission=means[:, 1].reshape(side),
        transmission_sd=np.sqrt(np.maximum(spread, 0.0)).reshape(side),
        attenuation=means[:, 0].reshape(side),
        host=light.mean(axis=0).reshape(side),
        **scores,
        chi2=np.asarray(np.nan),
        rhat=np.asarray(np.nan),
        ess=np.asarray(float(DRAWS)),
        seconds=np.asarray(time.perf_counter() - begin),
    )


def match_psf(cutout: Cutout) -> Cutout:
    """All bands with the PSF of the broadest one; `ivar` that of the smoothed noise."""
    widest = int(np.argmax(noise_area(cutout.psf)))
    if cutout.psf.shape[-2:] == (1, 1):
        return cutout
    goal = np.fft.fft2(np.fft.ifftshift(cutout.psf[widest]))
    kernels = []
    for number, psf in enumerate(cutout.psf):
        if number == widest:
            kernel = np.zeros_like(psf)
            kernel[psf.shape[0] // 2, psf.shape[1] // 2] = 1.0
        else:
            own = np.fft.fft2(np.fft.ifftshift(psf))
            ratio = np.where(np.abs(own) > FAINTEST, goal / own, 0.0)
            kernel = np.fft.fftshift(np.fft.ifft2(ratio).real)
        kernels.append(kernel / kernel.sum())
    kernels = np.array(kernels, np.float32)
    area = (kernels**2).sum(axis=(1, 2))[:, None, None]
    psf = np.broadcast_to(cutout.psf[widest], cutout.psf.shape)
    return replace(cutout, data=blur(cutout.data, kernels), ivar=cutout.ivar / area, psf=psf)


def _grid(cutout: Cutout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, delta and prior mass of every node, (grid,)."""
    node, mass = np.polynomial.hermite_e.hermegauss(SLOPES)
    width = np.gradient(DEPTHS)
    width[[0, -1]] /= 2
    of_depth = width * np.exp(-DEPTHS / SCALE)
    slopes = of_slope.MEAN + of_slope.SD * node
    mass = mass * np.exp(of_slope.slope_prior().log_wall(slopes))
    depth, slope = np.meshgrid(DEPTHS, slopes, indexing="ij")
    joint = of_depth[:, None] * mass[None, :]
    return depth.ravel(), slope.ravel(), (joint / joint.sum()).ravel()


def _collapse(cutout: Cutout, depth, slope) -> tuple[np.ndarray, np.ndarray]:
    """Dust-free flux (grid, pixel, band) and log of its integral (grid, pixel)."""
    seen = to_observation(cutout)
    data, ivar = (x.reshape(x.shape[0], -1).T for x in (seen.data, seen.ivar))
    red = int(np.argmin(np.abs(cutout.wavelength - RED)))
    prior = stellar_flux(cutout.wavelength / (1 + cutout.redshift), np.ones(len(cutout.bands)))
    noise = jnp.where(ivar > 0, ivar, 1.0) ** -0.5
    # a pixel's own level: the prior is about colours
    level = jnp.log(jnp.maximum(data[:, red], noise[:, red]))
    return tuple(
        np.asarray(x, float)
        for x in _on_grid(data, ivar, level - prior.mean[red], prior, seen, depth, slope)
    )


@jax.jit
def _on_grid(data, ivar, level, prior: StellarFlux, seen, depth, slope):
    def node(place):
        depth, slope = place
        k = band_attenuation(seen.wavelength, seen.weight, slope)
        dimmed = 10 ** (-0.4 * k * depth)

        def pixel(flux, weight, level):
            here = prior.replace(mean=prior.mean + level)
            precision = weight * dimmed**2 + jnp.finfo(flux.dtype).tiny
            log_mass, q = here.collapse(flux / dimmed, precision)
            return jnp.exp(q.base_dist.mean), log_mass

        return jax.vmap(pixel)(data, ivar, level)

    return jax.lax.map(node, (jnp.asarray(depth, data.dtype), jnp.asarray(slope, data.dtype)))


def _choose(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nodes drawn by their weight, (draw, pixel)."""
    rising = np.cumsum(weight, axis=0)
    uniform = rng.random((DRAWS, weight.shape[1]))
    chosen = [(rising < one).sum(axis=0) for one in uniform]
    return np.minimum(np.array(chosen), len(weight) - 1)
