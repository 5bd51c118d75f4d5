"""One file per band, as HSC and LSST write exposures: IMAGE, MASK, VARIANCE.

HDUs are found by EXTNAME (EXTTYPE in older HSC cutouts): IMAGE (y, x), VARIANCE or IVAR of
the same shape, MASK (optional, bit planes named by MP_* keywords in its header), PSF
(optional, odd sides). PSFs may also come as separate files with ``psf`` in their name, one
image each. All bands must lie on one pixel grid.

Bad mask planes are those that the LSST pipelines' own deblender leaves out, `BAD_PLANES`;
a MASK without MP_* keywords is bad where it is not zero. Planes such as DETECTED, CR and
INTRP stay in: a coadd has replaced or outvoted those pixels.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dustpost.bands import effective_wavelength
from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.io.filters import find_filter
from dustpost.io.fitsfile import FitsFile, open_fits
from dustpost.io.planes import mask_pixels, read_weight
from dustpost.io.psf import clean_psf

BAD_PLANES = ("BAD", "NO_DATA", "SAT", "SUSPECT", "EDGE", "UNMASKEDNAN")

GRID_TOLERANCE = 0.3
"""Largest offset between the grids of two bands, in pixels."""


def matches(file: FitsFile) -> bool:
    """Whether a file is one band's exposure."""
    return file.find("IMAGE") is not None and (
        file.find("VARIANCE", "VAR", "IVAR", "MASK") is not None
    )


def load(paths: Sequence[Path]) -> Cutout:
    """Read one file per band at native size, ordered by wavelength.

    Parameters
    ----------
    paths : sequence of Path
        Exposures, and PSF files (``psf`` in the name) if they are separate.

    Returns
    -------
    Cutout

    Raises
    ------
    DustpostError
        Bands on different grids or in different units, no VARIANCE, unknown filter, PSFs
        of some bands only.
    """
    exposures, stamps = [], {}
    for path in paths:
        with open_fits(path) as file:
            if matches(file):
                exposures.append(_load_band(file))
            elif "psf" in path.name.lower():
                band, psf, notes = _load_psf(file)
                stamps[band] = (psf, notes)
            else:
                raise file.error("is neither an exposure (IMAGE, VARIANCE) nor a PSF file")
    if not exposures:
        raise DustpostError(f"{paths[0]} is a PSF file: give the exposures (IMAGE, VARIANCE) too")
    source = exposures[0].source
    exposures = [_give_psf(exposure, stamps) for exposure in exposures]
    exposures.sort(key=lambda exposure: exposure.wavelength[0])
    return _stack(exposures, source)


def _load_band(file: FitsFile) -> Cutout:
    index = file.find("IMAGE")
    data = file.image(index, ndim=(2,))[None]
    band = find_filter(file, index)
    weight = file.find("IVAR")
    variance = weight is None
    weight = file.find("VARIANCE", "VAR") if variance else weight
    if weight is None:
        raise file.error("has no VARIANCE HDU: expected IMAGE, MASK and VARIANCE")
    ivar, notes = read_weight(file, weight, data.shape, variance)
    bad, mask_notes = _bad_pixels(file, data.shape[1:])
    data, ivar, masked = mask_pixels(file, index, data, ivar, bad)
    psf, psf_notes, warnings = np.ones((1, 1, 1), np.float32), (), ()
    if (stamp := file.find("PSF")) is not None:
        planes = file.image(stamp, dtype=np.float64)
        psf, psf_notes, warnings = clean_psf(file, stamp, planes, (band,))
    return Cutout(
        data=data,
        ivar=ivar,
        psf=psf,
        bands=(band,),
        wavelength=np.array([effective_wavelength(band)]),
        unit=_unit(file, index),
        wcs=file.celestial(index),
        source=file.path,
        notes=tuple(f"{band}: {n}" for n in notes + mask_notes + masked + psf_notes),
        warnings=warnings,
    )


def _bad_pixels(
    file: FitsFile, shape: tuple[int, ...]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    index = file.find("MASK")
    if index is None:
        return None, ("there is no MASK, all pixels with a variance are used",)
    mask = file.image(index, ndim=(2,), dtype=np.int64)
    if mask.shape != shape:
        raise file.error(f"the mask has shape {mask.shape}, but the image has {shape}", index)
    planes = {k[3:]: file.value(index, k) for k in file.header(index) if k.startswith("MP_")}
    if not planes:
        return mask != 0, ("the mask names no planes (MP_*), every non-zero pixel is bad",)
    bits = sum(1 << int(planes[name]) for name in BAD_PLANES if _is_bit(planes.get(name)))
    return (mask & bits) != 0, ()


def _is_bit(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 63


def _unit(file: FitsFile, index: int) -> str:
    for i in (index, 0):
        if unit := file.value(i, "BUNIT"):
            return str(unit).strip()
    zero = file.value(0, "FLUXMAG0") or file.value(index, "FLUXMAG0")
    # FLUXMAG0 counts are AB magnitude 0, that is 3631 Jy
    return f"{3631e9 / float(zero):.5g} nJy" if isinstance(zero, int | float) and zero > 0 else ""


def _load_psf(file: FitsFile) -> tuple[str, np.ndarray, tuple[tuple[str, ...], ...]]:
    index = next((i for i in range(len(file)) if len(file.shape(i)) in (2, 3)), None)
    if index is None:
        raise file.error("holds no image: expected a PSF")
    band = find_filter(file, index)
    psf, notes, warnings = clean_psf(file, index, file.image(index, dtype=np.float64), (band,))
    return band, psf, (notes, warnings)


def _give_psf(exposure: Cutout, stamps: dict[str, tuple]) -> Cutout:
    if exposure.bands[0] not in stamps:
        return exposure
    psf, (notes, warnings) = stamps[exposure.bands[0]]
    return replace(
        exposure, psf=psf, notes=exposure.notes + notes, warnings=exposure.warnings + warnings
    )


def _stack(exposures: list[Cutout], source: Path) -> Cutout:
    first = exposures[0]
    shifts = [_check_same_grid(first, other) for other in exposures[1:]]
    known = [e.psf.shape[-2:] != (1, 1) for e in exposures]
    if any(known) and not all(known):
        missing = ", ".join(e.bands[0] for e, k in zip(exposures, known, strict=True) if not k)
        raise DustpostError(
            f"{source}: no PSF for {missing}, though other bands have one: give a PSF for every "
            "band or for none"
        )
    return replace(
        first,
        data=np.concatenate([e.data for e in exposures]),
        ivar=np.concatenate([e.ivar for e in exposures]),
        psf=np.concatenate(_same_side([e.psf for e in exposures])),
        bands=tuple(e.bands[0] for e in exposures),
        wavelength=np.concatenate([e.wavelength for e in exposures]),
        source=source,
        notes=sum((e.notes for e in exposures), ()),
        warnings=sum((e.warnings for e in exposures), ()) + tuple(s for s in shifts if s),
    )


def _check_same_grid(first: Cutout, other: Cutout) -> str | None:
    """Refuse bands of another shape, unit or place; a warning for a small offset."""
    if first.data.shape != other.data.shape:
        raise DustpostError(
            f"{other.source} has {other.data.shape[1:]} pixels, but {first.source} has "
            f"{first.data.shape[1:]}: cut all bands out of one pixel grid"
        )
    if first.unit != other.unit:
        raise DustpostError(
            f"{other.source} is in {other.unit!r}, but {first.source} in {first.unit!r}: give all "
            "bands in one unit (BUNIT)"
        )
    if first.wcs is None or other.wcs is None:
        return None
    y, x = ((n - 1) / 2 for n in first.data.shape[1:])
    there = first.wcs.world_to_pixel(other.wcs.pixel_to_world(x, y))
    offset = float(np.hypot(there[0] - x, there[1] - y))
    if not offset <= GRID_TOLERANCE:
        raise DustpostError(
            f"{other.source} lies {offset:.2f} pixels away from {first.source} on the sky: "
            "resample all bands onto one pixel grid"
        )
    small = f"{other.bands[0]} lies {offset:.2f} pixels away from {first.bands[0]} on the sky"
    return small if offset > 0.05 else None


def _same_side(psfs: list[np.ndarray]) -> list[np.ndarray]:
    """Pad odd-sized PSFs with zeros to the largest among them."""
    side = [max(p.shape[axis] for p in psfs) for axis in (1, 2)]
    pads = [[(s - n) // 2 for s, n in zip(side, p.shape[1:], strict=True)] for p in psfs]
    return [np.pad(p, ((0, 0), (y, y), (x, x))) for p, (y, x) in zip(psfs, pads, strict=True)]
