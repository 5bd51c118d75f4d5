"""What to know of a cutout before hours are spent on it.

Each check looks at one thing, in the manner of scarlet2's validation of observations, and
says in numbers what it found and what to do: sky level, noise against the variance plane,
masked pixels, signal, position of the source, bands. The PSF's checks are in
`psf_checks.py`, those of colours in `colour_checks.py`. Nothing here changes the data; what the
reader mended is repeated.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from dustpost.findings import Finding
from dustpost.io.colour_checks import check_colours
from dustpost.io.cutout import Cutout
from dustpost.io.psf_checks import check_psf

BORDER = 4
"""Width of the frame in which the sky is looked for, in pixels."""

BRIGHT = 20.0
"""Signal to noise in a band from which its colour is worth a look."""

WEAK = 30.0
"""Total signal to noise below which data hardly move the posterior off the prior."""


class Scene(NamedTuple):
    """The cutout as the checks see it; arrays are without padding."""

    bands: tuple[str, ...]
    data: np.ndarray  # (band, y, x)
    ivar: np.ndarray  # (band, y, x)
    bright: np.ndarray  # (y, x), smoothed signal to noise of all bands together
    source: np.ndarray  # (y, x), bool: belongs to some source, generously
    main: np.ndarray  # (y, x), bool: connected to the brightest pixel near the centre


def check_cutout(cutout: Cutout) -> list[Finding]:
    """Look a cutout over.

    Parameters
    ----------
    cutout : Cutout
        As `dustpost.io.read.read` returns it.

    Returns
    -------
    list of Finding
        Level info, warning or error; an error means that no result should be trusted.
    """
    findings = [Finding("warning", "mended", text) for text in cutout.warnings]
    findings += check_bands(cutout) + check_psf(cutout)
    if not np.any(cutout.ivar > 0):
        return [*findings, Finding("error", "masked", "no pixel has any weight: nothing to fit")]
    scene = _look(cutout)
    for check in (check_sky, check_noise, check_masked, check_signal, check_place):
        findings += check(scene)
    flux, ratios = _of_galaxy(scene)
    if np.all(ratios > BRIGHT):
        findings += check_colours(flux, cutout.wavelength, cutout.redshift)
    return findings


def check_bands(cutout: Cutout) -> list[Finding]:
    """Names that repeat, a single band, constant or saturated bands, an unknown redshift."""
    findings = []
    repeated = [band for band, count in Counter(cutout.bands).items() if count > 1]
    if repeated:
        text = f"{', '.join(repeated)} appears more than once: keep one plane per band"
        findings.append(Finding("error", "band-twice", text))
    if len(cutout.bands) == 1:
        text = (
            f"there is one band ({cutout.bands[0]}), hence no colour: the amount of dust and its "
            "slope will be the prior's; add a band at another wavelength"
        )
        findings.append(Finding("warning", "one-band", text))
    for band, data, ivar in zip(cutout.bands, cutout.data, cutout.ivar, strict=True):
        values = data[ivar > 0]
        if values.size > 1 and np.ptp(values) == 0:
            text = f"all {values.size} pixels of {band} are {values[0]:.4g}: leave this band out"
            findings.append(Finding("error", "constant", text))
        elif values.size and (plateau := int(np.sum(values == values.max()))) >= 4:
            text = (
                f"{plateau} pixels of {band} share the highest value {values.max():.4g}: if it is "
                "saturated there, mask them (MASK or IVAR = 0)"
            )
            findings.append(Finding("warning", "saturated", text))
    if cutout.redshift == 0:
        text = (
            "the redshift is 0 or unknown: the attenuation curve is taken at observed "
            "wavelengths; give --redshift"
        )
        findings.append(Finding("info", "redshift", text))
    return findings


def check_sky(scene: Scene) -> list[Finding]:
    """Median of the border pixels against its error and against the pixel noise."""
    frame = np.ones(scene.bright.shape, dtype=bool)
    frame[BORDER:-BORDER, BORDER:-BORDER] = False
    findings = []
    for band, data, ivar in zip(scene.bands, scene.data, scene.ivar, strict=True):
        used = frame & (ivar > 0)
        if np.sum(used) < 20:
            continue
        noise = float(np.median(ivar[used]) ** -0.5)
        level = float(np.median(data[used]))
        # 1.25: the median of Gaussian numbers scatters more than their mean
        significance = level / (1.2533 * noise / np.sqrt(np.sum(used)))
        if abs(significance) < 5:
            continue
        grave = abs(level) > 0.5 * noise
        text = (
            f"the border of {band} has a median of {level:.3g}, {significance:.1f} of its errors "
            f"and {level / noise:.2f} of the pixel noise: "
            + ("light of the galaxy or a neighbour" if level > 0 else "sky subtracted too deep")
            + " reaches the edge, or the sky was left in; take a larger or binned box (--bin), or "
            "subtract the sky"
        )
        findings.append(Finding("warning" if grave else "info", "sky", text))
    return findings


def check_noise(scene: Scene) -> list[Finding]:
    """Pixel rms in the sky against the variance plane, and correlation of neighbours.

    On scales of many pixels, noise with correlations rho_k has 1 + sum_k rho_k times the
    variance that its pixels suggest (k over the 8 neighbours); the likelihood takes pixels as
    independent, so that factor's root, times the rms, is the `noise_inflation` to use.
    """
    if (share := float(scene.main.mean())) > 0.7:
        text = (
            f"sources fill {100 * share:.0f} % of the image: there is no sky to check the variance "
            "plane in; take noise_inflation from the survey, or from a larger cutout"
        )
        return [Finding("info", "noise-unseen", text)]
    findings = []
    for band, data, ivar in zip(scene.bands, scene.data, scene.ivar, strict=True):
        used = ~scene.source & (ivar > 0)
        if np.sum(used) < 300:
            continue
        # light that is smooth over 9 pixels is no noise: a galaxy's outskirts, a sky gradient
        chi = np.where(used, data * np.sqrt(ivar), 0.0)
        count = np.maximum(81 * ndimage.uniform_filter(used.astype(float), 9), 1.0)
        smooth = 81 * ndimage.uniform_filter(chi, 9) / count
        used &= count > 20
        chi = np.where(used, (chi - smooth) / np.sqrt(1.0 - 1.0 / np.maximum(count, 2.0)), np.nan)
        rms = 1.4826 * float(np.nanmedian(np.abs(chi)))
        chi[np.abs(chi) > 4 * max(rms, 1e-30)] = np.nan
        variance = np.nanmean(chi**2)
        pairs = {
            "x": chi[:, 1:] * chi[:, :-1],
            "y": chi[1:] * chi[:-1],
            "up": chi[1:, 1:] * chi[:-1, :-1],
            "down": chi[1:, :-1] * chi[:-1, 1:],
        }
        if not variance > 0 or any(np.sum(np.isfinite(p)) < 100 for p in pairs.values()):
            continue
        # taking off a mean of n pixels makes white noise look anti-correlated by 1/n
        bias = float(np.mean(1.0 / count[used]))
        rho = {key: float(np.nanmean(p) / variance) + bias for key, p in pairs.items()}
        near = (rho["x"] + rho["y"]) / 2
        inflation = rms * np.sqrt(max(1.0 + 2.0 * sum(rho.values()), 0.25))
        if 0.92 < inflation < 1.08:
            continue
        text = (
            f"in the sky of {band} pixels scatter {rms:.2f} times as much as the variance plane "
            f"says, neighbours correlate by {near:.2f}: "
        )
        if inflation > 1.0:
            text += (
                f"errors will be too small; set noise_inflation = {inflation:.2f} or so (less if "
                "faint sources fill the sky, which count as noise here)"
            )
        else:
            text += "the variance plane is too large, or the noise was smoothed; check it"
        grave = inflation > 1.15 or inflation < 0.7
        findings.append(Finding("warning" if grave else "info", "noise", text))
    return findings


def check_masked(scene: Scene) -> list[Finding]:
    """Masked fraction over all, per band, and over the brightest tenth of the source."""
    masked = scene.ivar == 0
    findings = []
    if (share := float(masked.mean())) > 0.5:
        text = (
            f"{100 * share:.0f} % of all pixels are masked: expected a cutout that is mostly data"
        )
        findings.append(Finding("warning", "masked", text))
    core = scene.main & (scene.bright >= np.quantile(scene.bright[scene.main], 0.9))
    for band, plane in zip(scene.bands, masked, strict=True):
        if plane.mean() > max(0.3, 1.5 * share):
            text = f"{100 * plane.mean():.0f} % of {band} is masked: consider leaving it out"
            findings.append(Finding("warning", "masked-band", text))
        if (hidden := float(plane[core].mean())) > 0.2:
            text = (
                f"{100 * hidden:.0f} % of the brightest part of the galaxy is masked in {band}: "
                "its flux there will be the model's guess; unmask it if the pixels are sound"
            )
            findings.append(Finding("warning", "masked-core", text))
    return findings


def check_signal(scene: Scene) -> list[Finding]:
    """Signal to noise of the galaxy, per band and in total."""
    _, ratios = _of_galaxy(scene)
    total = float(np.sqrt(np.sum(np.maximum(ratios, 0.0) ** 2)))
    listed = ", ".join(f"{b} {r:.0f}" for b, r in zip(scene.bands, ratios, strict=True))
    if total < 5:
        text = f"no galaxy is seen: its total signal to noise is {total:.1f} ({listed})"
        return [Finding("error", "signal", text + "; choose another box or deeper data")]
    if total < WEAK:
        text = (
            f"the galaxy's total signal to noise is {total:.1f} ({listed}), below {WEAK:.0f}: the "
            "posterior will equal the prior"
        )
        return [Finding("warning", "signal", text + "; bin (--bin) or add data")]
    findings = [Finding("info", "signal", f"signal to noise of the galaxy: {listed}")]
    for band, ratio in zip(scene.bands, ratios, strict=True):
        if ratio < 5:
            text = f"{band} has a signal to noise of {ratio:.1f} only: it adds nothing on dust"
            findings.append(Finding("warning", "signal-band", text))
    return findings


def check_place(scene: Scene) -> list[Finding]:
    """A galaxy off the centre, or cut by the edge."""
    height, width = scene.bright.shape
    y, x = np.unravel_index(np.argmax(np.where(scene.main, scene.bright, -np.inf)), (height, width))
    offset = float(np.hypot(y - (height - 1) / 2, x - (width - 1) / 2))
    findings = []
    if offset > min(height, width) / 8:
        text = (
            f"the galaxy's brightest pixel, x = {x}, y = {y} (from 0), lies {offset:.0f} pixels "
            "off the centre: the host prior knows centred galaxies; recentre with --pixel"
        )
        findings.append(Finding("warning", "off-centre", text))
    edge = np.ones_like(scene.main)
    edge[1:-1, 1:-1] = False
    at_edge = float(np.max(scene.bright, where=edge & scene.main, initial=0.0))
    share = at_edge / scene.bright[y, x]
    if share > 0.1:
        text = (
            f"at the edge of the image the galaxy still has {100 * share:.0f} % of its peak: it is "
            "cut; take a larger or binned box (--bin)"
        )
        findings.append(Finding("warning", "cut", text))
    return findings


def _of_galaxy(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Flux of the galaxy in the pixels that each band has, and its signal to noise, (band,)."""
    used = scene.main & (scene.ivar > 0)
    flux = np.sum(scene.data, axis=(1, 2), where=used)
    variance = np.sum(1.0 / np.where(used, scene.ivar, 1.0), axis=(1, 2), where=used)
    return flux, np.divide(flux, variance**0.5, out=np.zeros_like(flux), where=variance > 0)


def _look(cutout: Cutout) -> Scene:
    bottom, top, left, right = cutout.padding
    height, width = cutout.data.shape[1:]
    inner = (slice(None), slice(bottom, height - top), slice(left, width - right))
    data, ivar = cutout.data[inner].astype(float), cutout.ivar[inner].astype(float)
    weight = ndimage.uniform_filter(ivar, (0, 3, 3), mode="constant")
    flux = ndimage.uniform_filter(data * ivar, (0, 3, 3), mode="constant")
    # signal to noise of 3x3 pixels in each band, then of all bands together
    bright = np.sum(flux / np.sqrt(np.maximum(weight, 1e-30)) * (weight > 0), axis=0)
    bright *= 3.0 / np.sqrt(len(data))
    # the lowest tenth of the pixels is sky even where the galaxy fills half of the box; in
    # unit Gaussian noise it lies 1.3 below the middle
    sky = np.quantile(bright, 0.1) + 1.3
    middle = np.median(bright)
    step = 3.0 * np.clip(1.4826 * np.median(np.abs(bright - middle)), 1.0, 3.0)
    # for the noise, outskirts that are smooth may stay in: cutting them would leave the pixels
    # that noise made faint
    source = ndimage.binary_dilation(bright > middle + step, iterations=3)
    return Scene(cutout.bands, data, ivar, bright, source, _main(bright, sky + step))


def _main(bright: np.ndarray, threshold: float) -> np.ndarray:
    """Pixels above `threshold` connected to the brightest one, which is sought in the inner
    half of the image first: a brighter neighbour at the edge is not the target."""
    height, width = bright.shape
    inner = np.zeros_like(bright, dtype=bool)
    inner[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    inside = np.where(inner, bright, -np.inf)
    seek = inside if inside.max() > threshold else bright
    peak = np.unravel_index(np.argmax(seek), bright.shape)
    labels, _ = ndimage.label(bright > threshold)
    if labels[peak]:
        return labels == labels[peak]
    nothing = np.zeros_like(inner)
    nothing[peak] = True
    return ndimage.binary_dilation(nothing, iterations=2)
