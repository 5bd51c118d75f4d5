"""Fisher (Cramer-Rao) bound for log_screen with the host free in every pixel.

Without a PSF, when the data are sharpest, and per band i and pixel p

    ln m_ip = ln F_i + ln S_p - k_i(delta) u_p,   u = -ln D,

each pixel's (ln S, u) is eliminated by itself (Schur complement); what is left are ln F and
delta. The level of F is then also that of S: a flat F leaves log_screen without any bound,
infinity. A colour field is left out: the bound is then lower than it could be. With draws of
the dust's prior u is a Gaussian of their covariance, see `factors`.

In double precision: a good pixel's information is 1e10 times that of the prior of ln F.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.linalg import block_diag

from dustpost.attenuation import band_attenuation
from dustpost.posterior import Target
from dustpost.priors.slope import precision as slope_precision
from dustpost.samplers.curvature import flux_precision

PATTERNS = 8  # common ones of a prior's draws
RIDGE = 1e-12  # of a pixel's information, where one of its two is not seen
UNBOUNDED = 1e3  # sd of ln D above which a bound is called infinite


def pixel_bound(
    target: Target,
    host: Array,
    transmission: Array,
    slope: Array,
    dust_draws: Array | None = None,
) -> float:
    """Fisher bound for the sd of log_screen with S free in every pixel.

    Parameters
    ----------
    target : Target
        Its spatial priors and PSF are not used.
    host, transmission : Array, (y, x)
        Where.
    slope : Array, ()
    dust_draws : Array, (n, y, x), optional
        D drawn from a prior: the dust is then a Gaussian in u, see `factors`. By default u
        is free in every pixel, too.

    Returns
    -------
    float
        In ln D; infinite where the priors of F and delta leave it free.
    """
    of_flux, slope_precision, log_flux, k, steeper, ivar = _seen(target, host, transmission, slope)
    depth, light = (np.asarray(x, float).ravel() for x in (-jnp.log(transmission), host))
    model = np.exp(log_flux)[:, None] * light[None] * np.exp(-k[:, None] * depth[None])
    weight = model**2 * ivar.reshape(model.shape)
    # derivatives of ln model: by ln F and delta in common, (pixel, band + 1, band)
    by_flux = np.broadcast_to(np.eye(k.size), (depth.size, k.size, k.size))
    by_slope = -(depth[:, None] * steeper[None])[:, None, :]
    common = np.concatenate([by_flux, by_slope], axis=1)
    prior = block_diag(of_flux, slope_precision)
    own = np.stack([np.ones_like(k), -k])  # by ln S and u of the pixel itself
    of_own = np.zeros((depth.size, 2))  # their prior precision
    of_screen = np.zeros(k.size + 1)
    if dust_draws is not None:
        draws = -np.log(np.asarray(dust_draws, float)).reshape(len(dust_draws), -1)
        modes, rest = factors(draws, light)
        common = np.concatenate([common, -modes.T[:, :, None] * k[None, None]], axis=1)
        prior = block_diag(prior, np.eye(len(modes)))
        of_own[:, 1] = 1.0 / rest
        of_screen = np.concatenate([of_screen, modes @ light])
    within = np.einsum("ai,ip,bi->pab", own, weight, own)
    ridge = RIDGE * np.trace(within, axis1=1, axis2=2)[:, None] + 1e-20
    inverse = np.linalg.inv(within + (of_own + ridge)[:, :, None] * np.eye(2)[None])
    mixed = np.einsum("ai,ip,pbi->pab", own, weight, common)
    schur = np.einsum("pai,ip,pbi->ab", common, weight, common) + prior
    schur = schur - np.einsum("pac,pab,pbd->cd", mixed, inverse, mixed)
    of_screen = of_screen - np.einsum("p,pa,pab->b", light, inverse[:, 1], mixed)
    alone = np.sum(light**2 * inverse[:, 1, 1])
    values, vectors = np.linalg.eigh(schur)
    along = (vectors.T @ of_screen) ** 2
    # what rounding leaves of a direction without information is no information
    if np.any((values < 1e-11 * values[-1]) & (along > 1e-6 * along.sum())):
        return np.inf
    sd = float(np.sqrt(alone + np.sum(along / np.maximum(values, 1e-30))))
    return sd if sd < UNBOUNDED else np.inf


def factors(draws: np.ndarray, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of draws as few common patterns and a rest that pixels have for themselves.

    All n - 1 patterns that n draws have would let the data tell from a map's texture how
    thick it is, as no prior does.

    Parameters
    ----------
    draws : ndarray, (n, pixel)
    light : ndarray, (pixel,)
        Patterns are those that matter most under it.

    Returns
    -------
    modes : ndarray, (PATTERNS, pixel)
        The covariance is modes^T modes + diag(rest).
    rest : ndarray, (pixel,)
    """
    away = (draws - draws.mean(axis=0)) / (len(draws) - 1) ** 0.5
    _, values, patterns = np.linalg.svd(away * np.sqrt(light), full_matrices=False)
    number = min(PATTERNS, len(draws) // 4)
    modes = (values[:, None] * patterns)[:number] / np.sqrt(np.maximum(light, 1e-12))
    total = np.sum(away**2, axis=0)
    rest = total - np.sum(modes**2, axis=0)
    return modes, np.maximum(rest, 1e-4 * total + 1e-10)


def _seen(*place) -> list[np.ndarray]:
    """What `_known` says, in double precision."""
    return [np.asarray(value, float) for value in _known(*place)]


@jax.jit
def _known(target: Target, host: Array, transmission: Array, slope: Array):
    """Curvature of the priors of ln F and delta, ln F, k, dk/ddelta and ivar."""
    _, galaxy = target.explicit(host, transmission, slope)
    seen, log_flux = target.observation, jnp.log(jnp.maximum(galaxy.estimate, 1e-30))

    def exponent(slope):
        return band_attenuation(seen.wavelength, seen.weight, slope, target.curve, target.norm)

    k, steeper = jax.jvp(exponent, (slope,), (jnp.ones_like(slope),))
    precision = slope_precision(target.slope_prior, slope)
    return flux_precision(target, log_flux), precision, log_flux, k, steeper, seen.ivar
