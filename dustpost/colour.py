"""The host's colour field: one spectrum for the whole host is not exactly true.

Eq. 6 of Siegel & Melchior (2024) gives every pixel of the host one spectrum. Bulges are redder
than discs, and what is redder in the middle looks like dust. Here the host's spectrum has a
tilt g that varies over the image,

    model_i = F_i m_i (lambda_i / lambda~)^{g(y, x)},   g = sum_k c_k s_k phi_k,   c ~ N(0, 1),

lambda~ the geometric mean of the bands' rest-frame wavelengths. To first order in g the c are
integrated out: the noise gets the covariance T T^T with

    T_k = s_k phi_k ln(lambda_i / lambda~) (PSF * Y)+,

the light as the data have it, so that T is no function of the parameters (as the model error,
`dustpost.model_error`). phi are smooth functions of the elliptical radius rho and angle of the
observed light: powers of ln rho for gradients, and their first and second harmonics for a
bulge of another shape or place than the disc; orthonormal under the light. Their sds s are
those of simulated galaxies (`benchmarks/colour_field.py`), which RADMC-3D views share.
"""

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dustpost.model_error import smoothed
from dustpost.observation import Observation

# sd of the tilt in each function: harmonic -> power of ln rho -> sd; the harmonics have two phases
SPREAD = {0: (0.18, 0.043, 0.025), 1: (0.040, 0.020, 0.015), 2: (0.062, 0.028, 0.028)}
CORE = 0.15  # added to rho in the logarithm, in sd of the light
REACH = (-2.0, 1.2)  # of ln(rho + CORE), outside which nothing changes
RAMP = 0.5  # rho below which harmonics fade
FAINT = 0.05  # of the peak; fainter light has no say in the functions


def add_colour_field(observation: Observation, tilt: float) -> Observation:
    """Widen the covariance of the noise by the host's colour field.

    Parameters
    ----------
    observation : Observation
        Its `ivar` as the likelihood will use it.
    tilt : float
        Light-weighted rms of g; 0 for a host of one colour, which returns the observation
        as it is.

    Returns
    -------
    Observation
        With `colour`, (k, band, y, x), the T_k.
    """
    if not tilt or len(observation.data) == 1:
        return observation
    light = np.asarray(smoothed(observation.data, observation.ivar, observation.psf), float)
    light = np.maximum(light, 0.0)
    scale = np.maximum(light.sum(axis=(1, 2), keepdims=True), 1e-30)
    phi = functions((light / scale).mean(axis=0))
    log_wave = np.log(np.asarray((observation.wavelength * observation.weight).sum(axis=1)))
    reddening = (log_wave - log_wave.mean())[:, None, None]
    spread = spreads()
    spread = spread * tilt / np.sqrt((spread**2).sum())
    colour = spread[:, None, None, None] * phi[:, None] * (reddening * light)
    colour = np.where(np.asarray(observation.ivar) > 0, colour, 0.0)
    return observation._replace(colour=jnp.asarray(colour, observation.data.dtype))


def functions(light: NDArray) -> NDArray:
    """phi, (k, y, x), orthonormal under light (y, x) and orthogonal to a constant."""
    weight = np.where(light > FAINT * light.max(), light, 0.0)
    weight = weight / max(weight.sum(), 1e-30)
    radius, angle = _ellipse(weight)
    power = np.clip(np.log(radius + CORE), *REACH)
    ramp = np.tanh(radius / RAMP)
    found = [np.ones_like(light)]
    for harmonic, row in SPREAD.items():
        phases = (np.cos, np.sin) if harmonic else (np.cos,)
        for phase in phases:
            turn = ramp**harmonic * phase(harmonic * angle)
            first = 0 if harmonic else 1
            found += [turn * power ** (first + n) for n in range(len(row))]
    matrix = np.stack(found, axis=-1).reshape(-1, len(found))
    # Gram-Schmidt in their order, under the light
    root = np.sqrt(weight).reshape(-1, 1)
    _, triangle = np.linalg.qr(root * matrix)
    diagonal = np.diag(triangle)
    usable = np.abs(diagonal) > 1e-6 * np.abs(diagonal).max()
    triangle = triangle + np.diag(np.where(usable, 0.0, 1.0))
    normal = np.linalg.solve(triangle.T, matrix.T) * usable[:, None]
    return normal[1:].reshape(-1, *light.shape)


def spreads() -> NDArray:
    """s in the order of `functions`, (k,), as simulated galaxies have them."""
    return np.array([s for m, row in SPREAD.items() for s in row * (2 if m else 1)])


def _ellipse(weight: NDArray) -> tuple[NDArray, NDArray]:
    """Radius in sds of the light, and angle, (y, x), where the light is round."""
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]].astype(float)
    y, x = y - (weight * y).sum(), x - (weight * x).sum()
    yy, xx, xy = ((weight * product).sum() for product in (y * y, x * x, x * y))
    # a point source has no extent: half a pixel is the least
    spread = np.array([[yy, xy], [xy, xx]]) + 0.25 * np.eye(2)
    turned = np.stack([y, x], axis=-1) @ np.linalg.cholesky(np.linalg.inv(spread))
    return np.hypot(turned[..., 0], turned[..., 1]), np.arctan2(turned[..., 0], turned[..., 1])
