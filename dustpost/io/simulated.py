"""What is true of a simulated galaxy that was seen with and without its dust.

From the cubes dusty_i and free_i (band, y, x), with S the dust-free r and D at g:

    S = free_r / sum free_r,                 F_i = sum free_i,
    A_i = -2.5 log10(dusty_i / free_i),      D = min(dusty_g / free_g, 1),
    COVFRAC = sum S [A(D) > 0.05 mag],       MEANA = sum S A(D),   A(D) = -2.5 log10 D.

Where free_i is below 1e-4 of its peak there is no light to speak of: A = 0 and D = 1. A is
negative where more light is scattered into the line of sight than dust takes out of it.
DELTA is the slope of Eq. 5 of Siegel & Melchior 2024, literal (``curve="paper"``) and
averaged over the filters, whose curve times a free amplitude is nearest to sum S A_i
(least squares). The weight is S in all bands: weights of their own would put the host's
colour gradients into the curve.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from dustpost.attenuation import PIVOT, attenuation_curve
from dustpost.bands import filter_nodes
from dustpost.io.cutout import Truth

FAINT = 1e-4
"""Share of the peak of the dust-free light below which there is no attenuation to measure."""

LEAST = 1e-6
"""Smallest transmission (15 mag)."""

COVERED = 0.05
"""Attenuation in mag at 0.4754 micron from which light counts as covered."""

SLOPES = (-3.0, 3.0)
"""Range in which the slope is sought."""


def attenuation_of(dusty: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Attenuation of each pixel.

    Parameters
    ----------
    dusty, free : ndarray, (..., y, x)
        Flux with and without dust.

    Returns
    -------
    ndarray, (..., y, x)
        Magnitudes; 0 where there is less than 1e-4 of the peak's dust-free light.
    """
    bright = free > FAINT * free.max(axis=(-2, -1), keepdims=True)
    ratio = np.where(bright, dusty / np.where(bright, free, 1.0), 1.0)
    return -2.5 * np.log10(np.maximum(ratio, LEAST))


def transmission_of(attenuation: np.ndarray) -> np.ndarray:
    """Transmission in (0, 1] of an attenuation in mag; 1 where light is gained."""
    return np.minimum(10 ** (-0.4 * attenuation), 1.0)


def remove_gradients(
    dusty: np.ndarray, free: np.ndarray, host: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give the host one colour, and leave the attenuation of each pixel and band as it is.

    Parameters
    ----------
    dusty, free : ndarray, (band, y, x)
        Flux with and without dust.
    host : ndarray, (y, x)
        S, unit sum.

    Returns
    -------
    dusty, free : ndarray, (band, y, x)
        F_i S 10^(-0.4 A_i) and F_i S.
    """
    grey = free.sum(axis=(1, 2))[:, None, None] * host
    return grey * 10 ** (-0.4 * attenuation_of(dusty, free)), grey


def truth_of(
    dusty: np.ndarray,
    free: np.ndarray,
    bands: Sequence[str],
    wavelength: np.ndarray,
    host: np.ndarray,
    transmission: np.ndarray,
) -> Truth:
    """Collect the truth of one view.

    Parameters
    ----------
    dusty, free : ndarray, (band, y, x)
        Flux with and without dust.
    bands : sequence of str, (band,)
        Speclite names, or free ones.
    wavelength : ndarray, (band,)
        Effective wavelengths in micron.
    host : ndarray, (y, x)
        S, unit sum.
    transmission : ndarray, (y, x)
        D at 0.4754 micron.

    Returns
    -------
    Truth
        `slope` is None where `fit_slope` has nothing to fit.
    """
    attenuation = attenuation_of(dusty, free)
    flux = free.sum(axis=(1, 2))
    depth = -2.5 * np.log10(transmission)
    return Truth(
        host=host,
        attenuation=attenuation,
        transmission=transmission,
        flux=flux,
        covering_fraction=float((host * (depth > COVERED)).sum()),
        mean_attenuation=float((host * depth).sum()),
        slope=fit_slope((host * attenuation).sum(axis=(1, 2)), bands, wavelength),
    )


def fit_slope(mean: np.ndarray, bands: Sequence[str], wavelength: np.ndarray) -> float | None:
    """Slope of Eq. 5 nearest to the attenuations of the bands.

    Parameters
    ----------
    mean : ndarray, (band,)
        Light-weighted attenuation in mag.
    bands : sequence of str, (band,)
    wavelength : ndarray, (band,)
        Micron.

    Returns
    -------
    float or None
        None for a single band, or where the bands are not attenuated on the whole. Below a
        mean of about 0.03 mag it says little.
    """
    if len(mean) < 2 or mean.sum() <= 0:
        return None
    nodes, weight = filter_nodes(bands, wavelength)
    law = weight * np.asarray(attenuation_curve(nodes, 0.0, curve="paper"), np.float64)

    def misfit(slope: float) -> float:
        k = (law * (nodes / PIVOT) ** slope).sum(axis=1)
        return float(((mean - (k @ mean) / (k @ k) * k) ** 2).sum())

    grid = np.linspace(*SLOPES, 61)
    best = grid[np.argmin([misfit(slope) for slope in grid])]
    step = grid[1] - grid[0]
    bounds = max(best - step, SLOPES[0]), min(best + step, SLOPES[1])
    return float(minimize_scalar(misfit, bounds=bounds, options={"xatol": 1e-7}).x)
