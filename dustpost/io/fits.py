"""The package's own FITS format, also what `simulate` writes.

Primary: cube (band, y, x), float32, BUNIT, celestial WCS if any, REDSHIFT (optional), MWEBV
(E(B-V) of the Milky Way that was taken out already, in mag). Extensions by EXTNAME:

- `IVAR` (or `VAR`), shape of the cube; absent, with NOISE = none, in ideal simulations;
- `PSF` (band, py, px) or (py, px), optional;
- `MASK` (y, x) or (band, y, x), optional, non-zero is bad;
- `BANDS`, table with `name` (speclite's, e.g. hsc2017-g) and `wavelength` (micron);
- `TRUE_HOST`, `TRUE_TRANS`, `TRUE_A`, `TRUTH` where the truth is known (`truth.py`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy import units
from astropy.io import fits

from dustpost.bands import resolve_wavelengths
from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.io.fitsfile import FitsFile, open_fits
from dustpost.io.folder import atomic_write
from dustpost.io.planes import mask_pixels, read_weight
from dustpost.io.psf import clean_psf
from dustpost.io.truth import load_truth, truth_hdus


def matches(file: FitsFile) -> bool:
    """Whether a file is of this format: a cube in the primary (or in the first HDU of an
    fpacked file), or an image with a BANDS table."""
    index = _cube_index(file)
    return index is not None and (len(file.shape(index)) == 3 or file.find("BANDS") is not None)


def load(paths: Sequence[Path]) -> Cutout:
    """Read one cutout at its native size.

    Parameters
    ----------
    paths : sequence of Path
        One path.

    Returns
    -------
    Cutout

    Raises
    ------
    DustpostError
        More than one path, or anything in the file that is not as the module says.
    """
    if len(paths) != 1:
        raise DustpostError(
            f"{paths[0]} is a whole cutout, but {len(paths)} files are given: read one at a time"
        )
    with open_fits(paths[0]) as file:
        return _load(file)


def load_ideal(path: Path) -> Cutout:
    """Read a simulation that no survey has looked at: its `ivar` is 0 everywhere.

    Parameters
    ----------
    path : Path
        May lack IVAR, which `load` asks for; one that has it is read as `load` does.

    Returns
    -------
    Cutout

    Raises
    ------
    DustpostError
        Anything in the file that is not as the module says.
    """
    with open_fits(Path(path)) as file:
        if _cube_index(file) is None:
            raise file.error("has no cube (band, y, x) in its primary HDU")
        return _load(file, ideal=True)


def save(path: Path, cutout: Cutout) -> None:
    """Write a cutout so that `load` reads it back.

    Parameters
    ----------
    path : Path
    cutout : Cutout

    Raises
    ------
    DustpostError
        The file cannot be written.
    """
    header = fits.Header() if cutout.wcs is None else cutout.wcs.to_header()
    header["BUNIT"] = cutout.unit
    header["REDSHIFT"] = float(cutout.redshift)
    header["MWEBV"] = (float(cutout.ebv), "[mag] Milky Way E(B-V), already taken out")
    header["PADDING"] = (" ".join(map(str, cutout.padding)), "bottom, top, left, right")
    names = fits.Column("name", f"{max(map(len, cutout.bands))}A", array=list(cutout.bands))
    waves = fits.Column("wavelength", "D", unit="micron", array=cutout.wavelength)
    if not cutout.ivar.any():
        header["NOISE"] = ("none", "a simulation that no survey has looked at")
    hdus = [fits.PrimaryHDU(np.asarray(cutout.data, np.float32), header)]
    if cutout.ivar.any():
        hdus.append(fits.ImageHDU(np.asarray(cutout.ivar, np.float32), name="IVAR"))
    if cutout.psf.shape[-2:] != (1, 1):
        hdus.append(fits.ImageHDU(np.asarray(cutout.psf, np.float32), name="PSF"))
    hdus.append(fits.BinTableHDU.from_columns([names, waves], name="BANDS"))
    if cutout.truth is not None:
        hdus.extend(truth_hdus(cutout.truth, len(cutout.bands)))
    with atomic_write(path) as partial:
        fits.HDUList(hdus).writeto(partial, checksum=True, overwrite=True)


def _load(file: FitsFile, ideal: bool = False) -> Cutout:
    cube = _cube_index(file)
    data = file.image(cube)
    data = data[None] if data.ndim == 2 else data
    bands, wavelength = _bands(file, len(data))
    weight = file.find("IVAR")
    variance = weight is None
    weight = file.find("VAR", "VARIANCE") if variance else weight
    if weight is not None:
        ivar, notes = read_weight(file, weight, data.shape, variance)
        data, ivar, masked = mask_pixels(file, cube, data, ivar, _mask(file, data.shape))
    elif ideal and np.isfinite(data).all():
        ivar, notes, masked = np.zeros_like(data), (), ()
    else:
        raise file.error(_no_weight(file, data.shape))
    psf, psf_notes, warnings = np.ones((len(bands), 1, 1), np.float32), (), ()
    if (index := file.find("PSF")) is not None:
        planes = file.image(index, dtype=np.float64)
        psf, psf_notes, warnings = clean_psf(file, index, planes, bands)
    return Cutout(
        data=data,
        ivar=ivar,
        psf=psf,
        bands=bands,
        wavelength=wavelength,
        unit=str(file.value(cube, "BUNIT") or "").strip(),
        wcs=file.celestial(cube),
        source=file.path,
        redshift=_float(file, cube, "REDSHIFT"),
        ebv=_float(file, cube, "MWEBV"),
        padding=_padding(file, cube),
        notes=notes + masked + psf_notes,
        truth=load_truth(file, data.shape),
        warnings=warnings,
    )


def _cube_index(file: FitsFile) -> int | None:
    for index in range(min(2, len(file))):
        if len(file.shape(index)) in (2, 3):
            own = index == 0 or file.name(index) in ("", "PRIMARY", "CUBE", "COMPRESSED_IMAGE")
            return index if own else None
    return None


def _bands(file: FitsFile, count: int) -> tuple[tuple[str, ...], np.ndarray]:
    index = file.find("BANDS")
    if index is None:
        raise file.error(
            f"has no BANDS table: add one of {count} rows with the columns name (such as "
            "hsc2017-g) and wavelength (micron)"
        )
    names, waves = file.column(index, "name"), file.column(index, "wavelength")
    if names is None:
        raise file.error("has no column 'name': expected filter names such as hsc2017-g", index)
    bands = tuple(str(name).strip() for name in names[0])
    if len(bands) != count:
        raise file.error(
            f"has {len(bands)} rows ({', '.join(bands)}), but the cube has {count} bands: they "
            "must agree",
            index,
        )
    try:
        values = np.full(count, np.nan) if waves is None else waves[0].astype(float)
        if waves is not None and waves[1]:
            values = values * units.Unit(waves[1]).to("micron")
    except (ValueError, TypeError):
        raise file.error(
            f"the column 'wavelength' (unit {waves[1]!r}) cannot be read as micron", index
        ) from None
    try:
        return bands, resolve_wavelengths(bands, values)
    except DustpostError as error:
        raise file.error(str(error), index) from None


def _mask(file: FitsFile, shape: tuple[int, ...]) -> np.ndarray | None:
    index = file.find("MASK")
    if index is None:
        return None
    mask = file.image(index)
    if mask.shape not in (shape, shape[1:]):
        raise file.error(
            f"the mask has shape {mask.shape}, but must have {shape[1:]} or {shape} as the cube",
            index,
        )
    return mask != 0


def _no_weight(file: FitsFile, shape: tuple[int, ...]) -> str:
    message = (
        f"has no IVAR (or VAR) HDU: add an image named IVAR of shape {shape} with the inverse "
        "variance of every pixel in 1/(flux unit)^2, 0 where masked"
    )
    if str(file.value(0, "NOISE") or "").strip().lower() == "none":
        message += " (its header says NOISE = none: add noise to the fluxes as well)"
    if file.value(0, "SURVEY") is not None or file.find("BANDS") is None:
        message += "; a Legacy Survey cutout has it if it is downloaded with &invvar"
    return message


def _float(file: FitsFile, index: int, key: str) -> float:
    value = file.value(index, key)
    try:
        return 0.0 if value is None else float(value)
    except (TypeError, ValueError):
        raise file.error(f"{key} = {value!r} in the header, expected a number", index) from None


def _padding(file: FitsFile, index: int) -> tuple[int, int, int, int]:
    parts = str(file.value(index, "PADDING") or "").split()
    return tuple(map(int, parts)) if len(parts) == 4 and all(map(str.isdigit, parts)) else (0,) * 4
