"""Does the model fit the cutout? Standardised residuals, chi2 per pixel, what is left in them.

    r_i = (Y_i - model_i) sqrt(ivar_i) / noise_inflation,    chi2 per pixel = mean r^2

over pixels with ivar > 0. No degrees of freedom are taken off: the priors leave a number of
them that nobody knows. The bright part is chosen on the model, not on the data, since a
choice on the data prefers pixels with positive noise.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import ndimage

from dustpost.findings import Finding
from dustpost.results import settings_of

BRIGHT_SNR = 3.0  # of the model, per pixel and band
CHI2_HIGH, CHI2_WRONG, CHI2_LOW = 1.3, 2.0, 0.7
NEIGHBOURS_HIGH = 0.1  # correlation, where it also is 5 sd from 0
PATCH_LEVEL, PATCH_LARGE = 2.0, 12  # |r|, pixels


class Patch(NamedTuple):
    """The largest group of adjoining pixels whose r exceeds 2 with one sign, in one band."""

    pixels: int
    band: str
    y: float
    x: float
    mean: float  # of r


class Fit(NamedTuple):
    """How well the posterior mean model fits.

    Attributes
    ----------
    residual : ndarray, (band, y, x)
        Standardised; nan where masked.
    bright : ndarray of bool, (band, y, x)
        Pixels whose model exceeds 3 sd of the noise.
    chi2, chi2_bright, chi2_faint : float
        chi2 per pixel over all bands; nan where there is no such pixel.
    chi2_sd : float
        Sd of `chi2` if the noise were white and the model right, sqrt(2 / pixels).
    band_chi2, band_chi2_bright : ndarray, (band,)
    neighbours_bright, neighbours_faint : float
        Correlation of residuals of adjoining pixels; 0 for white noise.
    neighbours_sd : tuple of float
        Their sd under white noise: (bright, faint).
    patch : Patch
    """

    residual: np.ndarray
    bright: np.ndarray
    chi2: float
    chi2_bright: float
    chi2_faint: float
    chi2_sd: float
    band_chi2: np.ndarray
    band_chi2_bright: np.ndarray
    neighbours_bright: float
    neighbours_faint: float
    neighbours_sd: tuple[float, float]
    patch: Patch


def fit(tree: xr.DataTree) -> Fit:
    """Compare the posterior mean model of a tree with its data."""
    observed = tree["observed_data"]
    return fit_arrays(
        observed["data"].values,
        observed["ivar"].values,
        tree["maps"]["model_mean"].values,
        tuple(str(b) for b in observed["band"].values),
        float(settings_of(tree).get("noise_inflation", 1.0)),
    )


def fit_arrays(
    data: np.ndarray,
    ivar: np.ndarray,
    model: np.ndarray,
    bands: tuple[str, ...],
    noise_inflation: float = 1.0,
) -> Fit:
    """Compare a model cube with data.

    Parameters
    ----------
    data, ivar, model : ndarray, (band, y, x)
        In one unit; `ivar` 0 where masked.
    bands : tuple of str
    noise_inflation : float
        Factor on the noise sd that the likelihood used.
    """
    weight = np.sqrt(np.asarray(ivar, dtype=float)) / noise_inflation
    seen = weight > 0
    residual = np.where(seen, (data - model) * weight, np.nan)
    bright = seen & (model * weight > BRIGHT_SNR)
    faint = seen & ~bright
    corr_bright, sd_bright = _neighbours(residual, bright)
    corr_faint, sd_faint = _neighbours(residual, faint)
    return Fit(
        residual=residual,
        bright=bright,
        chi2=_chi2(residual, seen),
        chi2_bright=_chi2(residual, bright),
        chi2_faint=_chi2(residual, faint),
        chi2_sd=float(np.sqrt(2 / max(seen.sum(), 1))),
        band_chi2=np.array([_chi2(r, s) for r, s in zip(residual, seen, strict=True)]),
        band_chi2_bright=np.array([_chi2(r, s) for r, s in zip(residual, bright, strict=True)]),
        neighbours_bright=corr_bright,
        neighbours_faint=corr_faint,
        neighbours_sd=(sd_bright, sd_faint),
        patch=_largest_patch(residual, bands),
    )


def check(found: Fit) -> list[Finding]:
    """Put what the residuals show into findings; warnings, since they are not about mixing."""
    findings = []
    if found.chi2_bright > CHI2_HIGH:
        grave = (
            " The model misses something that the data show: do not believe the error bars."
            if found.chi2_bright > CHI2_WRONG
            else " Look at the residuals of the bright part."
        )
        text = f"chi2 per pixel is {found.chi2_bright:.2f} in the bright part.{grave}"
        findings.append(Finding("warning", "chi2-bright", text))
    if found.chi2_faint > CHI2_HIGH:
        text = (
            f"chi2 per pixel is {found.chi2_faint:.2f} in the faint part: neighbours in the "
            "cutout, a sky level that is off, or a variance plane that is too low; mask the "
            f"neighbours, or give --noise-inflation {np.sqrt(found.chi2_faint):.2f}."
        )
        findings.append(Finding("warning", "chi2-faint", text))
    if found.chi2 < CHI2_LOW:
        text = f"chi2 per pixel is {found.chi2:.2f}: the inverse variance seems too low."
        findings.append(Finding("warning", "chi2-low", text))
    noise = "correlated noise, which a white likelihood takes for information"
    parts = (
        ("bright", found.neighbours_bright, "warning", "structure that the model does not have"),
        ("faint", found.neighbours_faint, "info", noise + "; --noise-inflation allows for it"),
    )
    for (part, value, level, cause), sd in zip(parts, found.neighbours_sd, strict=True):
        if value > max(NEIGHBOURS_HIGH, 5 * sd):
            text = f"Residuals of adjoining {part} pixels correlate by {value:.2f}: {cause}."
            findings.append(Finding(level, f"neighbours-{part}", text))
    patch = found.patch
    if patch.pixels >= PATCH_LARGE:
        text = (
            f"{patch.pixels} adjoining pixels about x = {patch.x:.0f}, y = {patch.y:.0f} in "
            f"{patch.band} are off by {patch.mean:+.1f} sd on average."
        )
        findings.append(Finding("warning", "patch", text))
    return findings


def _chi2(residual: np.ndarray, where: np.ndarray) -> float:
    return float(np.mean(residual[where] ** 2)) if where.any() else np.nan


def _neighbours(residual: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """Correlation over pairs along x and y that lie in `where`, and its sd for white noise."""
    filled = np.where(where, residual, 0.0)
    along_x, along_y = where[..., 1:] & where[..., :-1], where[:, 1:] & where[:, :-1]
    pairs = int(along_x.sum() + along_y.sum())
    if pairs < 10:
        return np.nan, np.nan
    product = (filled[..., 1:] * filled[..., :-1])[along_x].sum()
    product += (filled[:, 1:] * filled[:, :-1])[along_y].sum()
    return float(product / pairs / _chi2(residual, where)), float(1 / np.sqrt(pairs))


def _largest_patch(residual: np.ndarray, bands: tuple[str, ...]) -> Patch:
    best = Patch(0, "", np.nan, np.nan, np.nan)
    for band, plane in zip(bands, np.nan_to_num(residual), strict=True):
        for sign in (1, -1):
            label, count = ndimage.label(sign * plane > PATCH_LEVEL)
            if not count:
                continue
            size = np.bincount(label.ravel())[1:]
            if size.max() > best.pixels:
                mine = label == size.argmax() + 1
                y, x = (float(c.mean()) for c in np.nonzero(mine))
                best = Patch(int(size.max()), band, y, x, float(plane[mine].mean()))
    return best
