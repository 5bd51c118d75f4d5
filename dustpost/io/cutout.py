"""One cutout as it was read: numpy arrays with their names, units and sky position."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.wcs import WCS


class Truth(NamedTuple):
    """What a simulated cutout knows of itself (DESIGN of the FITS: TRUE_*, TRUTH)."""

    host: np.ndarray  # (y, x), unit sum
    attenuation: np.ndarray | None  # (band, y, x), mag
    transmission: np.ndarray  # (y, x), at 0.4754 micron
    flux: np.ndarray | None  # (band,), unit of the input
    covering_fraction: float | None
    mean_attenuation: float | None  # mag at 0.4754 micron
    slope: float | None


@dataclass(frozen=True)
class Cutout:
    """A multi-band cutout of one galaxy, 64x64 unless stated.

    Attributes
    ----------
    data, ivar : ndarray, (band, y, x), float32
        Flux and inverse variance; `ivar` is 0 where masked, and `data` is 0 there.
    psf : ndarray, (band, py, px), float32
        Odd-sized and of unit sum; shape (band, 1, 1) of ones where none was given.
    bands : tuple of str
        Speclite names such as ``hsc2017-g``, or free names with a wavelength.
    wavelength : ndarray, (band,)
        Observed effective wavelength in micron.
    unit : str
        Unit of `data` (BUNIT), "" if unknown.
    wcs : astropy.wcs.WCS or None
        Celestial WCS of the arrays as they are here (after boxing and padding).
    source : Path
        The file that was read first; its stem names the output folder.
    redshift, ebv : float
        Redshift of the galaxy, and E(B-V) of the Milky Way in mag (already taken
        out of `data` and `ivar` where it is not 0).
    padding : tuple of int
        Pixels added with zero weight: (bottom, top, left, right).
    notes : tuple of str
        What the reader assumed or changed, in sentences for the report.
    truth : Truth or None
    warnings : tuple of str
        What the reader mended but a person should look at; `check_cutout` repeats them.
    """

    data: np.ndarray
    ivar: np.ndarray
    psf: np.ndarray
    bands: tuple[str, ...]
    wavelength: np.ndarray
    unit: str
    wcs: WCS | None
    source: Path
    redshift: float = 0.0
    ebv: float = 0.0
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    notes: tuple[str, ...] = field(default=())
    truth: Truth | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def stem(self) -> str:
        return self.source.name.removesuffix(".gz").removesuffix(".fz").rsplit(".", 1)[0]
