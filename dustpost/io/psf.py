"""Point spread functions: what is accepted, mended or refused.

A PSF in a `Cutout` has odd sides, unit sum and its star on the middle pixel. Here

- a 2-D PSF serves all bands (noted); another number of planes than bands is an error;
- an even side is an error, not a shift: whether the star sits left or right of the middle
  cannot be known, and half a pixel between bands makes a false colour gradient;
- NaN, an all-zero PSF and a sum that is not positive are errors;
- another sum is divided out, with a note, beyond 5 % with a warning (wings cut off?);
- a PSF larger than the image is cropped to it where that keeps 99 % of its light, else
  refused.

A star beside the middle pixel and negative lobes are left as they are; `check_cutout`
speaks of them.
"""

import numpy as np

from dustpost.errors import DustpostError
from dustpost.io.fitsfile import FitsFile

SUM_NOTE = 1e-3
SUM_WARNING = 0.05
CROP_LOSS = 0.01


def clean_psf(
    file: FitsFile, index: int, psf: np.ndarray, bands: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """One PSF per band, of odd size and unit sum.

    Parameters
    ----------
    file : FitsFile
    index : int
        HDU of the PSF, for the messages.
    psf : ndarray, (py, px) or (band, py, px)
    bands : tuple of str

    Returns
    -------
    psf : ndarray, (band, py, px), float32
    notes, warnings : tuple of str

    Raises
    ------
    DustpostError
        Even side, NaN, all zero, sum not positive, or another number of bands.
    """
    notes, warnings = [], []
    if psf.ndim == 2 or (len(psf) == 1 < len(bands)):
        psf = psf.reshape(1, *psf.shape[-2:])
        if len(bands) > 1:
            notes.append(f"one PSF is used for all {len(bands)} bands")
        names = ("all bands",)
    elif len(psf) != len(bands):
        raise file.error(
            f"has PSFs for {len(psf)} bands, but the cutout has {len(bands)} "
            f"({', '.join(bands)}): give one per band, or a single 2-D PSF for all",
            index,
        )
    else:
        names = bands
    py, px = psf.shape[-2:]
    if py % 2 == 0 or px % 2 == 0:
        raise file.error(
            f"the PSF is {py}x{px} pixels, but both sides must be odd, with the star on the "
            f"middle pixel: crop or resample it to {py - 1 + py % 2}x{px - 1 + px % 2}",
            index,
        )
    psf = psf.astype(np.float64)
    for name, plane in zip(names, psf, strict=True):
        _refuse_plane(file, index, name, plane)
        total = plane.sum()
        if abs(total - 1.0) > SUM_NOTE:
            sentence = f"the PSF of {name} summed to {total:.4g} and was normalised to 1"
            if abs(total - 1.0) > SUM_WARNING:
                sentence += ": make sure that it is not cut off and has no background left"
                warnings.append(sentence)
            else:
                notes.append(sentence)
        plane /= total
    psf = np.broadcast_to(psf, (len(bands), py, px))
    return psf.astype(np.float32), tuple(notes), tuple(warnings)


def crop_psf(psf: np.ndarray, side: int, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Crop around the middle pixel to the largest odd side that an image of `side` holds.

    Parameters
    ----------
    psf : ndarray, (band, py, px)
        Unit sum, odd sides.
    side : int
        Image side in pixels.
    name : str
        What to call the PSF in messages: its file.

    Returns
    -------
    psf : ndarray, (band, <= side, <= side)
        Unit sum again.
    notes : tuple of str

    Raises
    ------
    DustpostError
        More than 1 % of the light of a PSF would be lost.
    """
    largest = side - 1 + side % 2
    py, px = psf.shape[-2:]
    if max(py, px) <= largest:
        return psf, ()
    cut_y, cut_x = max(0, (py - largest) // 2), max(0, (px - largest) // 2)
    cropped = psf[:, cut_y : py - cut_y, cut_x : px - cut_x].astype(np.float64)
    kept = cropped.sum(axis=(1, 2))
    if np.min(kept) < 1.0 - CROP_LOSS:
        raise DustpostError(
            f"{name}: the PSF is {py}x{px} pixels, larger than the {side}x{side} image, and only "
            f"{100 * np.min(kept):.1f} % of its light falls into {largest}x{largest}: crop it, or "
            "use a larger pixel with --bin"
        )
    note = (
        f"the PSF was cropped from {py}x{px} to {cropped.shape[1]}x{cropped.shape[2]} pixels, "
        f"keeping {100 * np.min(kept):.2f} % of its light"
    )
    return (cropped / kept[:, None, None]).astype(np.float32), (note,)


def bin_psf(psf: np.ndarray, n: int) -> np.ndarray:
    """PSF between pixels of n x n of the old ones.

    A scene that is flat over each new pixel, convolved in the old pixels and summed over the
    new ones, is the scene convolved with P'(M) = sum_d P(d) T(d - n M), where T is the
    triangle (1 - |x| / n)+ in x and in y.

    Parameters
    ----------
    psf : ndarray, (band, py, px)
        Odd sides, unit sum.
    n : int
        Binning factor.

    Returns
    -------
    ndarray, (band, qy, qx), float32
        Odd sides, unit sum.
    """
    if n == 1 or psf.shape[-2:] == (1, 1):
        return psf
    rows, columns = (_triangles(size, n) for size in psf.shape[-2:])
    binned = np.einsum("Mm,bmn,Nn->bMN", rows, psf.astype(np.float64), columns)
    return (binned / binned.sum(axis=(1, 2), keepdims=True)).astype(np.float32)


def _triangles(size: int, n: int) -> np.ndarray:
    """Share of each of `size` old offsets in each new one, (new, old)."""
    half = size // 2
    reach = -(-half // n)
    new = np.arange(-reach, reach + 1)[:, None]
    old = np.arange(-half, half + 1)[None, :]
    return np.maximum(0.0, 1.0 - np.abs(old - n * new) / n)


def _refuse_plane(file: FitsFile, index: int, name: str, plane: np.ndarray) -> None:
    if bad := int(np.sum(~np.isfinite(plane))):
        raise file.error(
            f"the PSF of {name} has {bad} NaN or infinite pixels of {plane.size}: expected numbers",
            index,
        )
    if not plane.any():
        raise file.error(f"the PSF of {name} is all zero: expected a star of sum 1", index)
    if plane.sum() <= 0:
        raise file.error(
            f"the PSF of {name} sums to {plane.sum():.3g}: expected a star of sum 1", index
        )
