"""Square images on a coarser (or finer) grid, their flux kept: area-weighted resampling.

A new pixel takes of each old one the share of its area that it covers. On a square grid
this is a product of two one-dimensional overlaps,

    new = W old W^T,    W_ij = length of [a + i w, a + (i + 1) w] in [j, j + 1],

with w the new pixel's side in old pixels. The columns of W that lie inside the field sum
to 1, so that the flux in it is kept exactly.
"""

import numpy as np
from scipy.sparse import csr_array


def overlaps(pixels: int, width: float, side: int) -> np.ndarray:
    """Share of each old pixel that falls into each new one, along one axis.

    Parameters
    ----------
    pixels : int
        Old pixels.
    width : float
        Width of the central field in old pixels, at most `pixels`.
    side : int
        New pixels across the field.

    Returns
    -------
    ndarray, (side, pixels)
    """
    edges = (pixels - width) / 2 + width / side * np.arange(side + 1)
    left = np.maximum(edges[:-1, None], np.arange(pixels))
    right = np.minimum(edges[1:, None], np.arange(1, pixels + 1))
    return np.maximum(right - left, 0.0)


def resample(images: np.ndarray, width: float, side: int) -> np.ndarray:
    """Resample the central field of square images, flux conserved.

    Parameters
    ----------
    images : ndarray, (..., N, N)
        Flux per pixel.
    width : float
        Side of the central field in old pixels; N for all of the image.
    side : int
        Side of the result in pixels.

    Returns
    -------
    ndarray, (..., side, side), float64
    """
    # nearly all of W is 0, and threaded products of dense matrices this small take 100x longer
    share = csr_array(overlaps(images.shape[-1], width, side))
    new = np.asarray(images, np.float64)
    for _ in range(2):  # the last axis, then, turned, the one before it
        flat = share @ new.reshape(-1, new.shape[-1]).T
        new = np.swapaxes(flat.T.reshape(*new.shape[:-1], side), -1, -2)
    return new


def central_width(images: np.ndarray, fraction: float) -> int:
    """Side of the smallest centred square that holds a share of the light of every image.

    Parameters
    ----------
    images : ndarray, (image, N, N)
        Not negative, each with some light.
    fraction : float
        Between 0 and 1.

    Returns
    -------
    int
        In pixels, odd where N is odd and even where it is even.
    """
    pixels = images.shape[-1]
    offset = np.abs(2 * np.arange(pixels) - (pixels - 1))
    # the side, in pixels, of the smallest centred square that a pixel lies in
    side = np.maximum.outer(offset, offset) + 1
    widths = []
    for image in images:
        light = np.bincount(side.ravel(), weights=np.asarray(image, np.float64).ravel())
        inside = np.cumsum(light)
        widths.append(int(np.searchsorted(inside, fraction * inside[-1])))
    return max(widths)
