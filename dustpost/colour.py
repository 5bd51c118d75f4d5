"""The host's colour field: one spectrum for the whole host is not exactly true.

Eq. 6 of Siegel & Melchior (2024) gives every pixel of the host one spectrum. Bulges are redder
than discs and arms are bluer, and what is redder than the rest looks like dust. Here the tilt g
of the host's spectrum varies over the image,

    model_i = F_i m_i exp(g(y, x) r_i),   g ~ GP(c mu, c^2 K),

with r_i half way between ln lambda_i, a power law, and the ratio of an old to a young population's
spectrum (its break at 0.4 micron), of mean 0 over the bands. To first order g is integrated out:
the noise gets the mean c T nu and the covariance c^2 T T^T,

    T_k = psi_k r_i (PSF * Y)+,   K = sum_k psi_k psi_k^T,   mu = sum_k nu_k psi_k,

the light as the data have it, so that T is no function of the parameters (as the model error,
`dustpost.model_error`). psi are gradients: smooth functions of the elliptical radius rho and angle
of the observed light, powers of ln rho and their first and second harmonics, for a bulge of another
colour, shape or place than the disc; orthonormal under the light. Arms and clumps have colours of
their own as well: patches, round Gaussians on a grid over the light, whose sum of squares is all
but even. Without them arms that are bluer than what lies between are thinner dust in a screen
that is not there.

Means and sds are those of simulated galaxies (`benchmarks/colour_field.py`). Some have one colour,
some a red bulge: g is a mixture of Gaussian fields, whose c is one of `SCALES`. Most are redder in
the middle, and the more so the more their colours vary: the first function, which grows with rho,
has a mean. To a field without one, half of what bulges are redder by would be worth some dust.
"""

import numpy as np
from numpy.typing import NDArray

from dustpost.colour_covariance import with_colour
from dustpost.model_error import smoothed
from dustpost.observation import Observation
from dustpost.priors.spectrum import old_over_young

# sd of the tilt in each function: harmonic -> power of ln rho -> sd; the harmonics have two phases
SPREAD = {0: (0.060, 0.033, 0.020), 1: (0.033, 0.017, 0.016), 2: (0.060, 0.026, 0.022)}
CENTRE = -0.10  # mean of the tilt in the first function
TILT = 0.164  # rms of all of these together
SCALES = (0.2, 0.6, 1.6)  # c: about the 16, 50, 84 % of simulated galaxies' tilt, over its rms
CORE = 0.15  # added to rho in the logarithm, in sd of the light
REACH = (-2.0, 1.2)  # of ln(rho + CORE), outside which nothing changes
RAMP = 0.5  # rho below which harmonics fade
FAINT = 0.05  # of the peak; fainter light has no say in the functions
# sd of the tilt in patches, of a galaxy whose smooth tilt is `TILT`; simulated galaxies have 0.13
# before any PSF and 0.05 behind HSC's (`benchmarks/model_error.py`)
PATCH = 0.09
PATCHES = 12  # along each side of the light
NARROWEST = 3.3  # pixels from patch to patch: the PSF makes no smaller ones
OVERLAP = 1.5  # their distance over their sd


def add_colour_field(observation: Observation, tilt: float, along_dust: float = 0.0) -> Observation:
    """Widen the covariance of the noise by the host's colour field.

    Parameters
    ----------
    observation : Observation
        Its `ivar` as the likelihood will use it.
    tilt : float
        Light-weighted rms of g, mean and scatter; 0 for a host of one colour, which returns the
        observation as it is. Simulated galaxies have `TILT`.
    along_dust : float
        Rms of g along the dust, see `dustpost.colour_of_dust`; 0: nothing that follows the dust.

    Returns
    -------
    Observation
        With `colour`.
    """
    if not tilt or len(observation.data) == 1:
        return observation
    light = np.asarray(smoothed(observation.data, observation.ivar, observation.psf), float)
    light = np.maximum(light, 0.0)
    wavelength = np.asarray((observation.wavelength * observation.weight).sum(axis=1), float)
    spectrum = reddening(wavelength)
    redder = spectrum[:, None, None] * light
    total = np.maximum(light.sum(axis=(1, 2), keepdims=True), 1e-30)
    mean = (light / total).mean(axis=0)
    smooth = spreads()[:, None, None] * functions(mean)
    psi = tilt / TILT * np.concatenate([smooth, PATCH * patches(mean)])
    expected = np.zeros(len(psi))
    expected[0] = CENTRE / SPREAD[0][0]
    follows = along_dust * spectrum if along_dust else None
    return with_colour(observation, psi, redder, SCALES, expected, follows)


def reddening(wavelength: NDArray) -> NDArray:
    """r of bands at rest-frame wavelengths in micron, (band,); its slope in ln lambda is 1."""
    power_law = np.log(wavelength) - np.log(wavelength).mean()
    older = old_over_young(wavelength)
    older = older - older.mean()
    along = power_law @ older
    if not along > 0:  # bands of one wavelength, or beyond the last knot of the spectra
        return power_law
    return 0.5 * (power_law + older * (power_law @ power_law) / along)


def functions(light: NDArray) -> NDArray:
    """Gradients, (k, y, x), orthonormal under light (y, x) and orthogonal to a constant."""
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
    # its rows' signs are arbitrary: each function grows with what it is made of
    triangle = triangle * np.where(np.diag(triangle) < 0, -1.0, 1.0)[:, None]
    diagonal = np.diag(triangle)
    usable = np.abs(diagonal) > 1e-6 * np.abs(diagonal).max()
    triangle = triangle + np.diag(np.where(usable, 0.0, 1.0))
    normal = np.linalg.solve(triangle.T, matrix.T) * usable[:, None]
    return normal[1:].reshape(-1, *light.shape)


def patches(light: NDArray) -> NDArray:
    """Patches over light (y, x), (`PATCHES`^2, y, x), whose squares add up to about 1 there."""
    lit = np.nonzero(light > FAINT * light.max())
    if not lit[0].size:
        return np.zeros((PATCHES**2, *light.shape))
    low, high = (np.array([end(axis) for axis in lit], float) for end in (np.min, np.max))
    step = np.maximum((high - low).max() / (PATCHES - 1), NARROWEST)
    places = (np.arange(PATCHES) - 0.5 * (PATCHES - 1)) * step
    sd = step / OVERLAP
    bumps = [
        np.exp(-0.5 * np.square((np.arange(size) - middle - places[:, None]) / sd))
        for size, middle in zip(light.shape, 0.5 * (low + high), strict=True)
    ]
    # a sum over a grid is the integral of exp(-r^2 / sd^2) over its cells: pi sd^2 / step^2
    level = OVERLAP / np.sqrt(np.pi)
    return level * np.einsum("jy,kx->jkyx", *bumps).reshape(-1, *light.shape)


def spreads() -> NDArray:
    """Sds in the order of `functions`, (k,), as simulated galaxies have them."""
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
