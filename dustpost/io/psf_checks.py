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
    """Offset (y, x) of the star from the middle pixel.

    Gaussian-windowed and iterated, as SExtractor's XWIN (Bertin & Arnouts 1996): wings and
    background would pull a plain centroid.
    """
    y, x = (np.arange(n, dtype=float) for n in psf.shape)
    place = np.array(np.unravel_index(np.argmax(psf), psf.shape), dtype=float)
    for _ in range(30):
        window_y, window_x = (
            np.exp(-((v - c) ** 2) / 8.0) for v, c in ((y, place[0]), (x, place[1]))
        )
        light = psf * np.outer(window_y, window_x)
        if light.sum() <= 0:
            break
        moment = np.array([light.sum(axis=1) @ (y - place[0]), light.sum(axis=0) @ (x - place[1])])
        place += 2.0 * moment / light.sum()
    place = np.clip(place, 0, np.array(psf.shape) - 1.0)
    return place - np.array(psf.shape) // 2
