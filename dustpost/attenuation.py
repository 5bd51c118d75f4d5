"""The attenuation curve: how deep the dust is at each wavelength, for one slope.

With l in micron, l0 = 0.4754 micron (`PIVOT`) and the slope delta,

    k(l) = K(l) / 4.05 * (l / l0)^delta,
    K(l) = 2.659 (-2.156 + 1.509/l - 0.198/l^2 + 0.011/l^3) + 4.05,  l < 0.63   (blue)
    K(l) = 2.659 (-1.857 + 1.040/l) + 4.05,                          l >= 0.63  (red)

K is the starburst law of Calzetti et al. 2000 (ApJ 533, 682), Eq. 4, R_V = 4.05; the
power law is that of Noll et al. 2009 (A&A 507, 1793) without the 2175 A bump. Siegel &
Melchior 2024, Eq. 5, take the blue branch everywhere: ``curve="paper"``; the default
``curve="calzetti-noll"`` keeps both.

The transmission at l is D^k(l) [their Eq. 8], with D the transmission at l0: that asks for
k(l0) = 1, but Eq. 5 has k(l0) = 1.1605. ``norm="lambda0"`` (default) divides by it,
``norm="paper"`` does not.

Calzetti's law was fitted between 0.12 and 2.2 micron (`VALID_RANGE`). Beyond 2.2 micron
both polynomials fall towards zero and then below it; k is floored at 0 there, so that dust
never brightens. `dustpost.bands` refuses filters that lie outside.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from dustpost.errors import DustpostError

PIVOT = 0.4754
"""Wavelength in micron at which the transmission D is defined (l0)."""

BRANCH = 0.63
"""Wavelength in micron at which Calzetti's red branch takes over."""

VALID_RANGE = (0.12, 2.2)
"""Rest-frame wavelengths in micron for which Calzetti's law was fitted."""

CURVES = ("calzetti-noll", "paper")
NORMS = ("lambda0", "paper")

_R_V = 4.05


def _blue(wavelength: ArrayLike) -> Array:
    x = 1.0 / wavelength
    return 2.659 * (-2.156 + x * (1.509 + x * (-0.198 + x * 0.011))) + _R_V


def _red(wavelength: ArrayLike) -> Array:
    return 2.659 * (-1.857 + 1.040 / wavelength) + _R_V


PIVOT_VALUE = float(_blue(PIVOT) / _R_V)
"""k(l0) of the paper's Eq. 5 as printed: 1.1605."""


def attenuation_curve(
    wavelength: ArrayLike,
    slope: ArrayLike,
    curve: str = "calzetti-noll",
    norm: str = "lambda0",
) -> Array:
    """Attenuation at `wavelength` over attenuation at 0.4754 micron: k(lambda, delta).

    Parameters
    ----------
    wavelength : array, any shape
        Rest-frame wavelength in micron, > 0.
    slope : array, scalar or of the shape of `wavelength`
        Power-law slope delta; positive is greyer than Calzetti's law, negative steeper.
    curve : {"calzetti-noll", "paper"}
        Both branches of Calzetti et al. 2000 times the power law, or the blue branch
        everywhere (Siegel & Melchior 2024, Eq. 5).
    norm : {"lambda0", "paper"}
        Divided by its value at 0.4754 micron, so that k is 1 there; or literal.

    Returns
    -------
    Array, of the shape of `wavelength`
        k, never negative; differentiable in `slope`.

    Raises
    ------
    DustpostError
        `curve` or `norm` is not one of those.
    """
    check_choice(curve, norm)
    wavelength = jnp.asarray(wavelength)
    if curve == "paper":
        law = _blue(wavelength)
    else:
        law = jnp.where(wavelength < BRANCH, _blue(wavelength), _red(wavelength))
    scale = _R_V * PIVOT_VALUE if norm == "lambda0" else _R_V
    return jnp.maximum(law, 0.0) / scale * (wavelength / PIVOT) ** slope


def band_attenuation(
    wavelength: ArrayLike,
    weight: ArrayLike,
    slope: ArrayLike,
    curve: str = "calzetti-noll",
    norm: str = "lambda0",
) -> Array:
    """Filter-averaged attenuation k_i(delta), one number per band.

    Parameters
    ----------
    wavelength, weight : array, (band, node)
        Nodes in micron (rest frame) and their weights, each row summing to one, from
        `dustpost.bands.filter_nodes`.
    slope : array, scalar
        Power-law slope delta.
    curve, norm : str
        As in `attenuation_curve`.

    Returns
    -------
    Array, (band,)
        sum over nodes of weight * k(wavelength, slope).
    """
    return jnp.sum(weight * attenuation_curve(wavelength, slope, curve, norm), axis=-1)


def pivot_attenuation(norm: str) -> float:
    """k at 0.4754 micron, by which D becomes an attenuation there: 1 unless norm="paper"."""
    return PIVOT_VALUE if norm == "paper" else 1.0


def check_choice(curve: str, norm: str) -> None:
    """Refuse an unknown curve or normalisation, naming those there are.

    Raises
    ------
    DustpostError
        `curve` is not in `CURVES` or `norm` not in `NORMS`.
    """
    if curve not in CURVES:
        raise DustpostError(f"curve={curve!r} is unknown: choose one of {', '.join(CURVES)}")
    if norm not in NORMS:
        raise DustpostError(f"norm={norm!r} is unknown: choose one of {', '.join(NORMS)}")
