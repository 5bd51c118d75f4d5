"""How much the Milky Way's own dust dims each band.

A_i = R_i E(B-V), with E(B-V) on the scale of Schlegel, Finkbeiner & Davis 1998 (SFD) and R_i
as in Schlafly & Finkbeiner 2011 (ApJ 737, 103), Table 6, R_V = 3.1: the curve of Fitzpatrick
1999 (PASP 111, 63, Table 3) scaled to A(1 micron) = 0.78 x 1.32 E(B-V), averaged over the
photons that the filter passes from a 7000 K source. Their values for the DECam, SDSS and
LSST bands come out to 1 %. No redshift enters: this dust is at rest with us.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from dustpost.bands import filter_names, photon_measure, resolve_wavelengths, throughput
from dustpost.errors import DustpostError

INVERSE_MICRON = (0.0, 0.377, 0.820, 1.667, 1.828, 2.141, 2.433, 3.704, 3.846)
ANCHORS = (0.0, 0.265, 0.829, 2.688, 3.055, 3.806, 4.315, 6.265, 6.591)
"""Fitzpatrick 1999, Table 3: A / E(B-V) for R_V = 3.1, joined by a cubic spline."""

AT_ONE_MICRON = 0.78 * 1.32
"""A(1 micron) / E(B-V) of the SFD map, Schlafly & Finkbeiner 2011."""


def milky_way_coefficients(names: Sequence[str], wavelengths: Sequence[float]) -> np.ndarray:
    """Extinction per band in mag for E(B-V) = 1 mag.

    Parameters
    ----------
    names : sequence of str, (band,)
    wavelengths : sequence of float, (band,)
        Observed wavelengths in micron, used where speclite does not know the name.

    Returns
    -------
    ndarray, (band,)
        R_i = A_i / E(B-V), E(B-V) being that of the SFD map.

    Raises
    ------
    DustpostError
        Unknown bands, or one bluer than 0.26 micron, where the tabulated curve ends.
    """
    known = set(filter_names())
    observed = resolve_wavelengths(names, wavelengths)
    return np.array(
        [
            _average(name) if name in known else float(_curve(np.array(value)))
            for name, value in zip(names, observed, strict=True)
        ]
    )


@lru_cache(maxsize=128)
def _average(name: str) -> float:
    points, mass = photon_measure(*throughput(name))
    planck = points**-5 / np.expm1(14387.77 / (7000.0 * points))  # f_lambda of 7000 K
    used = mass > 1e-6 * mass.max()
    return float(np.average(_curve(points[used]), weights=(mass * planck)[used]))


def _curve(wavelength: np.ndarray) -> np.ndarray:
    from scipy.interpolate import CubicSpline  # slow to import, and seldom needed

    shortest = float(np.min(wavelength))
    if shortest < 1.0 / INVERSE_MICRON[-1]:
        raise DustpostError(
            "the Milky Way's extinction is tabulated down to 0.26 micron, and a band reaches "
            f"{shortest:.3f} micron: correct this band yourself and leave --ebv out"
        )
    spline = CubicSpline(INVERSE_MICRON, ANCHORS)
    return spline(1.0 / wavelength) / spline(1.0) * AT_ONE_MICRON
