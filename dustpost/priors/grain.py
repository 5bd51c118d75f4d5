"""A factor that keeps the grain of hosts at what galaxies have.

    ln g(S) = - sum_j lambda_j sum_pixels m_j [rho(u_j / s_j) - mu_j],

    c_0 = S,  c_j = S blurred by w_j,  u_j = (c_{j-1} - c_j) / (c_j + e),
    m_j = c_j^2 / (c_j^2 + e^2),  e = 0.02 sum S^2 / sum S,  rho(t) = (nu + 1)/2 ln(1 + t^2/nu).

A network that learnt to denoise at one level takes grain of a few noise levels for signal: at
tau = 0.14 it leaves 0.65 to 0.8 of it. Its energy then hardly tells such hosts from galaxies, there
are many more of them, and chains go there: without data the light of single pixels scatters by
40 % after 20 sweeps where galaxies' does by 10 (`benchmarks/host_holds.py`). Data do not stop
it. Under a PSF they say nothing of single pixels, and a host that may be anything there can
undo any dust whose curve is grey, so that A and delta run away.

The remedy is that of Zhu, Wu & Mumford (1997, Neural Computation 9, 1627): of all densities with
the mean response of galaxies to some filters, the one nearest to p(z) is p(z) times the
exponential of their potentials, weighted by lambda. u_j are two octaves of S relative to what is
below them, whose scatter hardly depends on brightness; rho is the potential of a Student t, as
heavy-tailed as they are: arms, edges and knots of galaxies cost little more than none. mu_j is
its mean over simulated hosts, so that the factor favours neither large nor small ones; lambda
was set by chains without data. It depends on S alone, not on its scale. An energy that learnt from
its own chains (`dustpost.networks.contrast`), such as the one that ships, holds without it.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.ndimage import gaussian_filter1d

WIDTHS = (0.7, 1.4)  # of the blurs, pixels
SCALES = (0.03, 0.06)  # s_j
MEANS = (0.630, 0.535)  # mu_j, of 400 hosts of the simulator, by `benchmarks/host_holds.py`
WEIGHTS = (0.2, 0.04)  # lambda_j
TAIL = 1.5  # nu
FLOOR = 0.02


def log_factor(host: Array) -> Array:
    """ln g of a host S, (y, x), of any scale; 0 in the mean over galaxies."""
    return -sum(
        weight * jnp.sum(mask * (potential - mean))
        for weight, mean, (mask, potential) in zip(WEIGHTS, MEANS, responses(host), strict=True)
    )


def responses(host: Array) -> list[tuple[Array, Array]]:
    """m_j and rho(u_j / s_j) of every pixel, (y, x) each, of each octave j."""
    floor = FLOOR * jnp.sum(jnp.square(host)) / jnp.sum(host)
    finer, found = host, []
    for width, scale in zip(WIDTHS, SCALES, strict=True):
        down, along = (jnp.asarray(_blur(size, width), host.dtype) for size in host.shape)
        smooth = down @ host @ along.T
        relative = (finer - smooth) / (smooth + floor)
        potential = 0.5 * (TAIL + 1) * jnp.log1p(jnp.square(relative / scale) / TAIL)
        found.append((jnp.square(smooth) / (jnp.square(smooth) + jnp.square(floor)), potential))
        finer = smooth
    return found


@lru_cache
def _blur(size: int, width: float) -> np.ndarray:
    """A Gaussian blur of `size` pixels in a row as a matrix; what lies beyond is the last one."""
    return gaussian_filter1d(np.eye(size), width, axis=0, mode="nearest", truncate=3.5)
