"""Legacy Survey viewer cutouts: image and invvar HDUs in turn, PSFs in a second file.

What https://www.legacysurvey.org/viewer offers as a FITS cutout (with ``&invvar``): 2-D HDUs
with BAND (g, r, i, z) and IMAGETYP (image or invvar), nanomaggy, WCS in each; invvar is 0
where there is no data. The co-added PSF (``coadd-psf``) is a second file of 2-D HDUs with
BAND; it is given as a second input, or found beside the first by ``copsf`` in its name and
the same coordinates. DR9-north is BASS (g, r) and MzLS (z), everything else DECam.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dustpost.bands import effective_wavelength, filter_names
from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.io.fitsfile import FitsFile, open_fits
from dustpost.io.planes import mask_pixels, read_weight
from dustpost.io.psf import clean_psf

UNIT = "nanomaggy"
NORTH = {"g": "BASS-g", "r": "BASS-r", "z": "MzLS-z"}


def matches(file: FitsFile) -> bool:
    """Whether a file is a viewer cutout or one of its PSF files: 2-D HDUs with BAND."""
    return bool(_planes(file, "image") or _planes(file, "invvar") or _planes(file, ""))


def is_psf(file: FitsFile) -> bool:
    """Whether a file holds the PSFs of a viewer cutout, and no images."""
    return bool(_planes(file, "")) and not _planes(file, "image")


def load(paths: Sequence[Path]) -> Cutout:
    """Read a viewer cutout at its native size.

    Parameters
    ----------
    paths : sequence of Path
        The cutout, and its PSF file if it is at hand, in any order.

    Returns
    -------
    Cutout

    Raises
    ------
    DustpostError
        No invvar, unknown bands, a missing PSF, or bad pixels or shapes.
    """
    images, psfs = [], []
    for path in paths:
        with open_fits(path) as file:
            (images if _planes(file, "image") else psfs).append(path)
    if len(images) != 1 or len(psfs) > 1:
        raise DustpostError(
            f"{', '.join(map(str, paths))}: expected one Legacy Survey cutout (HDUs with "
            f"IMAGETYP = image) and at most one PSF file, found {len(images)} and {len(psfs)}"
        )
    with open_fits(images[0]) as file:
        cutout = _load_images(file)
    found = psfs or _find_psf(images[0])
    if not found:
        return cutout
    with open_fits(found[0]) as file:
        cutout = _with_psf(file, cutout)
    how = "" if psfs else ", found beside the cutout"
    return replace(cutout, notes=(*cutout.notes, f"PSFs from {found[0].name}{how}"))


def _load_images(file: FitsFile) -> Cutout:
    images, weights = _planes(file, "image"), _planes(file, "invvar")
    survey = f"{file.value(0, 'VERSION') or ''}".lower()
    data, ivar, notes = [], [], []
    for letter, index in images.items():
        if letter not in weights:
            raise file.error(
                f"has an image in band {letter} but no invvar: download the cutout again with "
                "&invvar"
            )
        plane = file.image(index, ndim=(2,))
        if data and plane.shape != data[0].shape:
            raise file.error(
                f"has shape {plane.shape}, but the first band has {data[0].shape}", index
            )
        weight, weight_notes = read_weight(file, weights[letter], plane.shape, variance=False)
        plane, weight, masked = mask_pixels(file, index, plane, weight, None)
        data.append(plane)
        ivar.append(weight)
        notes += [f"band {letter}: {note}" for note in weight_notes + masked]
    first = next(iter(images.values()))
    bands = tuple(_band(file, images[letter], letter, "north" in survey) for letter in images)
    return Cutout(
        data=np.stack(data),
        ivar=np.stack(ivar),
        psf=np.ones((len(bands), 1, 1), np.float32),
        bands=bands,
        wavelength=np.array([effective_wavelength(band) for band in bands]),
        unit=str(file.value(first, "BUNIT") or UNIT),
        wcs=file.celestial(first),
        source=file.path,
        notes=tuple(notes),
    )


def _with_psf(file: FitsFile, cutout: Cutout) -> Cutout:
    planes = _planes(file, "")
    letters = [band.rsplit("-", 1)[1] for band in cutout.bands]
    if missing := [letter for letter in letters if letter not in planes]:
        raise file.error(
            f"has PSFs in {', '.join(planes) or 'no band'}, but the cutout needs "
            f"{', '.join(letters)}: {', '.join(missing)} is missing"
        )
    stamps = [file.image(planes[letter], ndim=(2,), dtype=np.float64) for letter in letters]
    side = min(min(stamp.shape) for stamp in stamps)
    if any(stamp.shape != (side, side) for stamp in stamps):
        shapes = ", ".join(str(stamp.shape) for stamp in stamps)
        raise file.error(f"the PSFs have the shapes {shapes}: expected one square shape")
    index = planes[letters[0]]
    psf, notes, warnings = clean_psf(file, index, np.stack(stamps), cutout.bands)
    return replace(cutout, psf=psf, notes=cutout.notes + notes, warnings=cutout.warnings + warnings)


def _planes(file: FitsFile, kind: str) -> dict[str, int]:
    """HDU index by band letter of all 2-D HDUs whose IMAGETYP is `kind` ("" is none)."""
    return {
        str(file.value(index, "BAND")).strip(): index
        for index in range(len(file))
        if len(file.shape(index)) == 2
        and file.value(index, "BAND") is not None
        and str(file.value(index, "IMAGETYP") or "").strip() == kind
        and file.name(index) not in ("IMAGE", "MASK", "VARIANCE")
    }


def _band(file: FitsFile, index: int, letter: str, north: bool) -> str:
    name = NORTH.get(letter, letter) if north else f"decam2014-{letter}"
    if name not in filter_names():
        raise file.error(f"BAND = {letter!r}, expected one of g, r, i, z", index)
    return name


def _find_psf(path: Path) -> list[Path]:
    """PSF file in the same folder: ``copsf`` and the same coordinates in its name."""
    coordinates = re.findall(r"-?\d+\.\d+", path.name)
    if not coordinates:
        return []
    beside = sorted(path.parent.glob("*copsf*.fits*"))
    return [p for p in beside if re.findall(r"-?\d+\.\d+", p.name) == coordinates][:1]
