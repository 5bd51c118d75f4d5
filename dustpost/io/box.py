"""The 64x64 box that the networks know: cut, binned and padded.

Fluxes and variances are summed over N x N pixels; a new pixel is masked if one of the old
ones is, since half a sum is no flux. Outside the image the weight is zero. The WCS follows
(`sky.box_wcs`), the PSF is binned as `psf.bin_psf` says, and a truth survives padding only.
"""

from dataclasses import replace

import numpy as np

from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.io.psf import bin_psf, crop_psf
from dustpost.io.sky import box_wcs, find_pixel, find_sky
from dustpost.io.truth import pad_truth

SIDE = 64
"""Side of the box in pixels."""


def take_box(
    cutout: Cutout,
    center: tuple[float, float] | None = None,
    pixel: tuple[float, float] | None = None,
    bin: int = 1,
) -> Cutout:
    """Cut a 64x64 box, after binning; smaller images are padded with zero weight.

    Parameters
    ----------
    cutout : Cutout
        Of any size.
    center : (ra, dec), optional
        Sky position of the box's centre in degrees (ICRS).
    pixel : (x, y), optional
        The same in pixels of the input, counted from 0, x first.
    bin : int
        Pixels of the input per pixel of the box, on each axis.

    Returns
    -------
    Cutout
        (band, 64, 64), with its own `padding`, `wcs`, `psf` and notes.

    Raises
    ------
    DustpostError
        The image is larger than the box and no place was given; the place lies outside the
        image; both places, or a centre without WCS; a binning that is no positive integer.
    """
    if int(bin) != bin or bin < 1:
        raise DustpostError(f"--bin is {bin}, expected a whole number of pixels, 1 or more")
    bin = int(bin)
    corner = _corner(cutout, _place(cutout, center, pixel), bin)
    height, width = cutout.data.shape[1:]
    padding = (
        *_empty(corner[1], height, bin),
        *_empty(corner[0], width, bin),
    )
    data, ivar = _cut(cutout, corner, bin)
    psf, psf_notes = crop_psf(bin_psf(cutout.psf, bin), SIDE, str(cutout.source))
    notes = _describe(cutout, corner, bin, padding) + psf_notes
    truth = cutout.truth
    whole = bin == 1 and corner[0] <= 0 and corner[1] <= 0
    whole = whole and corner[0] + SIDE >= width and corner[1] + SIDE >= height
    if truth is not None:
        truth = pad_truth(truth, padding) if whole else None
        notes += () if whole else ("the truth in the file is left out, the box cuts or bins it",)
    unchanged = whole and padding == (0, 0, 0, 0)
    return replace(
        cutout,
        data=data,
        ivar=ivar,
        psf=psf,
        wcs=box_wcs(cutout.wcs, corner, bin, SIDE),
        padding=cutout.padding if unchanged else padding,
        notes=cutout.notes + notes,
        truth=truth,
    )


def _place(
    cutout: Cutout, center: tuple[float, float] | None, pixel: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Pixel (x, y) of the box's centre, inside the image; None where none is asked for."""
    if center is not None and pixel is not None:
        raise DustpostError("--center and --pixel are both given: choose one")
    place, asked = pixel, "" if pixel is None else f"--pixel {pixel[0]:g},{pixel[1]:g}"
    if center is not None:
        if cutout.wcs is None:
            raise DustpostError(
                f"{cutout.source} has no celestial WCS for --center: give --pixel X,Y instead"
            )
        place = find_pixel(cutout.wcs, *center)
        asked = f"--center {center[0]:g},{center[1]:g}"
    if place is None:
        return None
    height, width = cutout.data.shape[1:]
    x, y = place
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        found = f" (pixel {x:.1f},{y:.1f})" if center is not None else ""
        raise DustpostError(
            f"{asked}{found} lies outside {cutout.source}, whose pixels run from 0,0 to "
            f"{width - 1},{height - 1} (x,y)" + _sky_range(cutout)
        )
    return x, y


def _sky_range(cutout: Cutout) -> str:
    if cutout.wcs is None:
        return ""
    height, width = cutout.data.shape[1:]
    ra, dec = find_sky(cutout.wcs, (width - 1) / 2, (height - 1) / 2)
    return f", around --center {ra:.5f},{dec:.5f}"


def _corner(cutout: Cutout, place: tuple[float, float] | None, n: int) -> tuple[int, int]:
    """First input pixel (x0, y0) of the box."""
    height, width = cutout.data.shape[1:]
    if place is not None:
        x0, y0 = (int(np.floor(v + 0.5)) - n * (SIDE // 2) for v in place)
        return x0, y0
    if max(height, width) > n * SIDE + n - 1:
        enough = -(-max(height, width) // SIDE)
        raise DustpostError(
            f"{cutout.source} is {height}x{width} pixels (y, x), but the model takes "
            f"{SIDE}x{SIDE}: choose a box with --center RA,DEC or --pixel X,Y, or bin with "
            f"--bin {enough}"
        )
    # whole new pixels on either side, so that binning starts at the image's first pixel
    return tuple(-n * ((SIDE - size // n) // 2) for size in (width, height))


def _empty(start: int, size: int, n: int) -> tuple[int, int]:
    """New pixels before and after the image that hold no whole N x N block of it."""
    before = max(0, -(start // n))
    filled = (size - start) // n
    return min(before, SIDE), max(0, SIDE - filled)


def _cut(cutout: Cutout, corner: tuple[int, int], n: int) -> tuple[np.ndarray, np.ndarray]:
    bands, height, width = cutout.data.shape
    x0, y0 = corner
    side = n * SIDE
    old_y = slice(max(0, y0), min(height, y0 + side))
    old_x = slice(max(0, x0), min(width, x0 + side))
    new_y = slice(old_y.start - y0, old_y.stop - y0)
    new_x = slice(old_x.start - x0, old_x.stop - x0)
    data, ivar = np.zeros((2, bands, side, side))
    data[:, new_y, new_x] = cutout.data[:, old_y, old_x]
    ivar[:, new_y, new_x] = cutout.ivar[:, old_y, old_x]
    good = ivar > 0
    variance = np.where(good, 1.0 / np.where(good, ivar, 1.0), 0.0)
    blocks = (bands, SIDE, n, SIDE, n)
    data, variance = (a.reshape(blocks).sum(axis=(2, 4)) for a in (data, variance))
    good = good.reshape(blocks).all(axis=(2, 4))
    ivar = np.where(good, 1.0 / np.where(good, variance, 1.0), 0.0)
    return np.where(good, data, 0.0).astype(np.float32), ivar.astype(np.float32)


def _describe(
    cutout: Cutout, corner: tuple[int, int], n: int, padding: tuple[int, ...]
) -> tuple[str, ...]:
    height, width = cutout.data.shape[1:]
    notes = []
    side = n * SIDE
    if corner[0] > 0 or corner[1] > 0 or corner[0] + side < width or corner[1] + side < height:
        notes.append(
            f"a {side}x{side} box was cut out of {height}x{width} (y, x), its first pixel at "
            f"x = {corner[0]}, y = {corner[1]} (from 0)"
        )
    if n > 1:
        notes.append(f"{n}x{n} pixels were summed into one")
    if any(padding):
        bottom, top, left, right = padding
        notes.append(
            f"padded to {SIDE}x{SIDE} with zero weight: {bottom} pixels below, {top} above, "
            f"{left} left, {right} right"
        )
    return tuple(notes)
