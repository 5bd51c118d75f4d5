"""From files to arrays: `read` finds out what the files are, `to_observation` hands over.

Formats are asked in turn, each by its `matches`: one-file-per-band exposures, Legacy Survey
viewer cutouts, the package's own FITS. What follows is common to all: the 64x64 box, the
Milky Way's extinction, the redshift.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from astropy.utils.exceptions import AstropyWarning

from dustpost.bands import check_range, filter_nodes
from dustpost.errors import DustpostError
from dustpost.io import exposures, fits, legacy
from dustpost.io.box import take_box
from dustpost.io.cutout import Cutout
from dustpost.io.fitsfile import FitsFile, open_fits
from dustpost.io.galactic import remove_milky_way
from dustpost.observation import Observation

FORMATS = (exposures, legacy, fits)


def read(
    inputs: Sequence[Path],
    *,
    center: tuple[float, float] | None = None,
    pixel: tuple[float, float] | None = None,
    bin: int = 1,
    redshift: float | None = None,
    ebv: float | str | None = None,
) -> Cutout:
    """Read one galaxy's cutout, whatever its format, as a 64x64 box.

    Parameters
    ----------
    inputs : sequence of Path
        One dustpost FITS; or a Legacy Survey cutout, with its PSF file if that does not lie
        beside it; or one exposure per band, with PSF files if they are separate.
    center : (ra, dec), optional
        Centre of the box in degrees (ICRS).
    pixel : (x, y), optional
        Centre of the box in pixels of the input, from 0, x first.
    bin : int
        Pixels of the input summed into one, on each axis.
    redshift : float, optional
        Redshift of the galaxy; overrides REDSHIFT in the header. 0 where neither is known.
    ebv : float or "sfd", optional
        E(B-V) of the Milky Way in mag, to be taken out; see `galactic`.

    Returns
    -------
    Cutout

    Raises
    ------
    DustpostError
        Whatever is wrong with the input; no other exception leaves this function.
    """
    paths = [Path(path) for path in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    if not paths:
        raise DustpostError("no input file was given: expected a FITS cutout")
    with warnings.catch_warnings():
        # what matters of astropy's warnings has become notes or errors by itself
        warnings.simplefilter("ignore", AstropyWarning)
        cutout = take_box(_load(paths), center, pixel, bin)
    for band, ivar in zip(cutout.bands, cutout.ivar, strict=True):
        if not np.any(ivar > 0):
            raise DustpostError(
                f"{cutout.source}: band {band} has no usable pixel in the box (all masked, NaN or "
                "without weight): leave the band out, or choose another box"
            )
    cutout = remove_milky_way(cutout, ebv)
    cutout = _set_redshift(cutout, redshift)
    check_range(cutout.bands, cutout.wavelength, cutout.redshift)
    return cutout


def to_observation(cutout: Cutout, average: bool = True) -> Observation:
    """Arrays for the likelihood.

    Parameters
    ----------
    cutout : Cutout
    average : bool
        Average the attenuation curve over each filter, or take it at `cutout.wavelength`.

    Returns
    -------
    Observation
        In jax's default float type.

    Raises
    ------
    DustpostError
        A band is unknown, or outside the range of the attenuation curve.
    """
    nodes = filter_nodes(cutout.bands, cutout.wavelength, cutout.redshift, average)
    parts = (np.where(cutout.ivar > 0, cutout.data, 0.0), cutout.ivar, cutout.psf, *nodes)
    return Observation(*(jnp.asarray(part, dtype=float) for part in parts))


def _load(paths: list[Path]) -> Cutout:
    with open_fits(paths[0]) as file:
        form = next((form for form in FORMATS if form.matches(file)), None)
        if form is None and len(paths) > 1 and "psf" in paths[0].name.lower():
            form = exposures
        if form is None:
            raise file.error(_not_understood(file))
    cutout = form.load(paths)
    if cutout.wcs is not None:
        return cutout
    note = "there is no usable celestial WCS: the maps will have none"
    return replace(cutout, notes=(*cutout.notes, note))


def _not_understood(file: FitsFile) -> str:
    found = "; ".join(f"{file.label(i)} {file.shape(i) or 'no image'}" for i in range(len(file)))
    return (
        f"holds no cutout that can be read (HDUs: {found[:300]}): expected a cube (band, y, x) "
        "with IVAR and BANDS, a Legacy Survey cutout (image, invvar), or exposures with IMAGE, "
        "MASK, VARIANCE"
    )


def _set_redshift(cutout: Cutout, redshift: float | None) -> Cutout:
    given = redshift is not None
    value = float(redshift) if given else cutout.redshift
    source = "--redshift is" if given else f"{cutout.source}: REDSHIFT in the header is"
    if not 0.0 <= value < 20.0:
        raise DustpostError(f"{source} {value:g}, expected a redshift from 0 to 20")
    if given and cutout.redshift not in (0.0, value):
        note = f"redshift {value:g} was given, the header's {cutout.redshift:g} was not used"
    elif value == 0.0 and not given:
        note = "the redshift is unknown and taken as 0 (--redshift): filters are not shifted"
    else:
        note = f"filters are shifted to the rest frame at redshift {value:g}"
    return replace(cutout, redshift=value, notes=(*cutout.notes, note))
