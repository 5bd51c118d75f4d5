"""The pixel planes of a cutout: flux, inverse variance, bad pixels.

In a `Cutout` a pixel either has a finite flux and a positive inverse variance, or both are
0. Here is how a file's pixels come to that: NaN, infinite and flagged pixels are masked and
counted in a note; a negative inverse variance is an error, since nobody knows what it means.
"""

import numpy as np

from dustpost.io.fitsfile import FitsFile

NOISE_RANGE = (1e-15, 1e15)
"""Noise per pixel, in the unit of the input, whose square and inverse float32 can hold."""


def read_weight(
    file: FitsFile, index: int, shape: tuple[int, ...], variance: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Inverse variance from an IVAR or a VAR (VARIANCE) image.

    Parameters
    ----------
    file : FitsFile
    index : int
        Its HDU.
    shape : tuple of int
        Shape that the flux image has.
    variance : bool
        The HDU holds variances: inverted here.

    Returns
    -------
    ivar : ndarray, of `shape`, float32
        0 where the file has NaN, infinity, or a variance of 0.
    notes : tuple of str

    Raises
    ------
    DustpostError
        Other shape than the image, negative values, or a unit too far from 1 for float32.
    """
    kind = "variance" if variance else "inverse variance"
    values = file.image(index, ndim=(2, 3), dtype=np.float64)
    if values.ndim == 2 and len(shape) == 3 and shape[0] == 1:
        values = values[None]
    if values.shape != shape:
        raise file.error(
            f"the {kind} has shape {values.shape}, but the image has shape {shape}: they must "
            "agree",
            index,
        )
    negative = values < 0
    if count := int(np.sum(negative)):
        rule = "> 0" if variance else ">= 0, with 0 for a masked pixel"
        raise file.error(
            f"holds {count} negative values (lowest {np.min(values[negative]):.3g}), but {kind} "
            f"must be {rule}",
            index,
        )
    odd = ~np.isfinite(values) | ((values == 0) & variance)
    values[odd] = 1.0 if variance else 0.0
    ivar = np.where(odd, 0.0, 1.0 / values) if variance else values
    if np.any(ivar > 0):
        noise = float(np.median(ivar[ivar > 0]) ** -0.5)
        if not NOISE_RANGE[0] < noise < NOISE_RANGE[1]:
            raise file.error(
                f"means a noise of {noise:.3g} per pixel, which single precision cannot hold "
                "squared: give flux and inverse variance in a unit such as nJy",
                index,
            )
    count = int(np.sum(odd))
    what = "NaN, infinite or zero" if variance else "NaN or infinite"
    notes = (f"{count} pixels with {what} {kind} were masked",) if count else ()
    return ivar.astype(np.float32), notes


def mask_pixels(
    file: FitsFile, index: int, data: np.ndarray, ivar: np.ndarray, bad: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Zero flux and weight of NaN and flagged pixels.

    Parameters
    ----------
    file : FitsFile
    index : int
        HDU of the flux, for the message.
    data, ivar : ndarray, same shape
    bad : ndarray of bool, broadcastable to `data`, or None
        Pixels flagged by a mask.

    Returns
    -------
    data, ivar : ndarray
        Both 0 where masked.
    notes : tuple of str

    Raises
    ------
    DustpostError
        No pixel of the flux is finite.
    """
    notes = []
    finite = np.isfinite(data)
    if not finite.any():
        raise file.error(
            f"all {data.size} pixels are NaN or infinite: expected fluxes, with NaN only where "
            "there is no data",
            index,
        )
    good = finite & (ivar > 0)
    if count := int(np.sum(~finite & (ivar > 0))):
        plural = "pixel is" if count == 1 else "pixels are"
        notes.append(f"{count} {plural} NaN or infinite in {file.path.name} and masked")
    if bad is not None:
        if count := int(np.sum(good & bad)):
            notes.append(f"{count} pixels are masked by the mask of {file.path.name}")
        good &= ~bad
    return np.where(good, data, 0), np.where(good, ivar, 0), tuple(notes)
