"""What to know of the PSFs: none at all, sum, centring, negative lobes, width per band.

A shift of the star's place between bands moves the galaxy's light from band to band and
looks like dust on one side; so does a PSF that is missing where the seeing differs.
"""

import numpy as np

from dustpost.findings import Finding
from dustpost.io.cutout import Cutout

SHIFT = 0.1
"""Offset of a PSF's centroid that is told, in pixels; relative to other bands, or from the
middle."""

LOBES = 0.02
"""Share of negative light that is told."""


def check_psf(cutout: Cutout) -> list[Finding]:
    """Look the PSFs of a cutout over.

    Parameters
    ----------
    cutout : Cutout

    Returns
    -------
    list of Finding
    """
    if cutout.psf.shape[-2:] == (1, 1):
        text = (
            "no PSF is known, and the bands are taken as equally sharp: if the seeing differs "
            "between them, false colour gradients become dust; add a PSF per band"
        )
        return [Finding("warning", "no-psf", text)]
    findings = []
    centres = np.array([_centroid(psf) for psf in cutout.psf])
    middle = centres - np.mean(centres, axis=0)
    for band, psf, centre, shift in zip(cutout.bands, cutout.psf, centres, middle, strict=True):
        total = float(psf.sum())
        if abs(total - 1.0) > 1e-3:
            text = f"the PSF of {band} sums to {total:.4g} instead of 1: fluxes come out wrong"
            findings.append(Finding("error", "psf-sum", text))
        lobes = float(-psf[psf < 0].sum() / total)
        if lobes > LOBES:
            text = (
                f"{100 * lobes:.1f} % of the light in the PSF of {band} is negative: check its "
                "background"
            )
            findings.append(Finding("warning", "psf-lobes", text))
        apart, off = float(np.hypot(*shift)), float(np.hypot(*centre))
        if apart > SHIFT:
            text = (
                f"the star in the PSF of {band} lies {apart:.2f} pixels from where the other "
                "bands have it: false colour gradients become dust; recentre the PSFs"
            )
            findings.append(Finding("warning", "psf-shift", text))
        elif off > SHIFT:
            text = (
                f"the star in the PSF of {band} lies {off:.2f} pixels off the middle pixel: the "
                "maps will be shifted by as much"
            )
            findings.append(Finding("warning" if off > 0.5 else "info", "psf-centre", text))
    return findings


def _centroid(psf: np.ndarray) -> np.ndarray:
    """Offset (y, x) of the star from the middle pixel, from its light within 3 pixels of the
    brightest one: wings and background would pull a plain centroid."""
    py, px = psf.shape
    y, x = np.indices(psf.shape)
    top = np.unravel_index(np.argmax(psf), psf.shape)
    near = np.where(np.hypot(y - top[0], x - top[1]) < 3.5, np.maximum(psf, 0.0), 0.0)
    middle = np.array([py // 2, px // 2])
    if near.sum() == 0:
        return np.array(top) - middle
    return np.array([np.sum(near * y), np.sum(near * x)]) / near.sum() - middle
