"""The Milky Way's own extinction, taken out before the model sees the cutout.

    flux -> flux 10^(0.4 A_i),   ivar -> ivar 10^(-0.8 A_i),   A_i = R_i E(B-V),

with R_i from `dustpost.milky_way` (Schlafly & Finkbeiner 2011) and
E(B-V) on the scale of Schlegel, Finkbeiner & Davis 1998: given as a number, or looked up in
their map with the package `dustmaps`, where that and its data are installed.
"""

from dataclasses import replace

import numpy as np

from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.io.sky import find_sky
from dustpost.milky_way import milky_way_coefficients

LARGEST = 5.0
"""Largest E(B-V) in mag that is taken for meant."""


def remove_milky_way(cutout: Cutout, ebv: float | str | None) -> Cutout:
    """Correct a cutout for the Milky Way's extinction.

    Parameters
    ----------
    cutout : Cutout
    ebv : float, "sfd" or None
        E(B-V) in mag; "sfd" asks `dustmaps` for it at the cutout's centre; None leaves the
        fluxes alone.

    Returns
    -------
    Cutout
        With `ebv` and a note.

    Raises
    ------
    DustpostError
        Not a number from 0 to 5; already taken out of the file; no map at hand.
    """
    if ebv is None:
        if cutout.ebv:
            note = f"the Milky Way's E(B-V) = {cutout.ebv:g} mag had been taken out before"
        else:
            note = "the Milky Way's extinction was not taken out (--ebv was not given)"
        return replace(cutout, notes=(*cutout.notes, note))
    if cutout.ebv:
        raise DustpostError(
            f"{cutout.source}: MWEBV = {cutout.ebv:g} says that the Milky Way's extinction "
            "is taken out already: leave --ebv out"
        )
    value = _look_up(cutout) if ebv == "sfd" else _number(ebv)
    if not 0.0 <= value <= LARGEST:
        raise DustpostError(f"--ebv is {value:g}, expected E(B-V) in mag, from 0 to {LARGEST:g}")
    extinction = milky_way_coefficients(cutout.bands, cutout.wavelength) * value
    factor = (10.0 ** (0.4 * extinction))[:, None, None]
    listed = ", ".join(f"{b} {a:.3f}" for b, a in zip(cutout.bands, extinction, strict=True))
    note = f"the Milky Way's extinction was taken out: E(B-V) = {value:.4g} mag, in mag {listed}"
    return replace(
        cutout,
        data=(cutout.data * factor).astype(np.float32),
        ivar=(cutout.ivar / factor**2).astype(np.float32),
        ebv=value,
        notes=(*cutout.notes, note),
    )


def _number(ebv: float | str) -> float:
    try:
        return float(ebv)
    except (TypeError, ValueError):
        raise DustpostError(f"--ebv is {ebv!r}, expected a number in mag, or sfd") from None


def _look_up(cutout: Cutout) -> float:
    """E(B-V) of the SFD map at the middle of the cutout."""
    if cutout.wcs is None:
        raise DustpostError(f"{cutout.source} has no WCS to look up --ebv sfd: give a number")
    try:
        from dustmaps.sfd import SFDQuery
    except ImportError:
        raise DustpostError(
            "--ebv sfd needs the package dustmaps, which is not installed: install it with its "
            "SFD map, or give a number in mag"
        ) from None
    from astropy.coordinates import SkyCoord

    height, width = cutout.data.shape[1:]
    place = find_sky(cutout.wcs, (width - 1) / 2, (height - 1) / 2)
    try:
        return float(SFDQuery()(SkyCoord(*place, unit="deg")))
    except Exception as error:  # its data files may be absent, partial or elsewhere
        raise DustpostError(
            f"dustmaps cannot give E(B-V) ({error}): fetch its SFD map, or give --ebv a number"
        ) from None
