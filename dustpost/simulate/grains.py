"""What a grain of dust does to light: extinction, albedo and asymmetry.

Three mixtures of carbonaceous grains and silicates, fitted to the extinction of the Milky
Way (R_V = 3.1), of the LMC (average) and of the SMC (bar):

    Weingartner & Draine 2001, ApJ 548, 296; the Milky Way as revised by Draine 2003,
    ARA&A 41, 241, with the optical constants of Draine 2003, ApJ 598, 1017.

The tables are Draine's own, as the package dust_extinction ships them (its classes read the
extinction alone). Between their rows ln C_ext, the albedo and g = <cos theta> run linearly
in ln(lambda). Absorption is (1 - albedo) k; a grain scatters with the phase function of
Henyey & Greenstein (1941, ApJ 93, 70) of asymmetry g.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from dustpost.attenuation import PIVOT
from dustpost.errors import DustpostError

TABLES = {
    "milky-way": "kext_albedo_WD_MW_3.1_60_D03.dat",
    "lmc": "kext_albedo_WD_LMCavg_20.dat",
    "smc": "kext_albedo_WD_SMCbar_0.dat",
}
KINDS = tuple(TABLES)


class Grains(NamedTuple):
    """Optical properties of a kind of dust in given bands.

    Attributes
    ----------
    k : ndarray, (band,)
        Extinction (absorption and scattering) over that at 0.4754 micron.
    albedo : ndarray, (band,)
        Scattering over extinction.
    asymmetry : ndarray, (band,)
        g, the mean cosine of the scattering angle; 0 isotropic, 1 forward.
    """

    k: np.ndarray
    albedo: np.ndarray
    asymmetry: np.ndarray


def grains(kind: str, wavelengths: Sequence[float]) -> Grains:
    """Look up the optical properties of a kind of dust.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    wavelengths : sequence of float, (band,)
        Micron, in the rest frame of the dust.

    Returns
    -------
    Grains

    Raises
    ------
    DustpostError
        Unknown kind, or a wavelength outside its table (at least 0.01 to 10000 micron).
    """
    if kind not in TABLES:
        raise DustpostError(f"{kind!r} is no kind of dust: choose one of {', '.join(KINDS)}")
    wavelengths = np.asarray(wavelengths, float)
    log_wave, log_extinction, albedo, asymmetry = _table(kind)
    low, high = np.exp(log_wave[[0, -1]])
    for value in wavelengths:
        if not low <= value <= high:
            raise DustpostError(
                f"the table of {kind} dust runs from {low:.2g} to {high:.2g} micron, which "
                f"leaves out {value:g}: give wavelengths in micron"
            )
    where = np.log(wavelengths)
    pivot = np.interp(np.log(PIVOT), log_wave, log_extinction)
    return Grains(
        k=np.exp(np.interp(where, log_wave, log_extinction) - pivot),
        albedo=np.interp(where, log_wave, albedo),
        asymmetry=np.interp(where, log_wave, asymmetry),
    )


@lru_cache(maxsize=len(TABLES))
def _table(kind: str) -> tuple[np.ndarray, ...]:
    """Rows of one table, by rising wavelength: ln(micron), ln C_ext, albedo, g."""
    path = files("dust_extinction").joinpath("data", TABLES[kind])
    lines = path.read_text().splitlines()
    # a ruler of dashes stands between the description and the numbers
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("-----"))
    # further columns differ from table to table and may hold remarks
    rows = np.array([line.split()[:4] for line in lines[start + 1 :] if line.strip()], float)
    # some filters' wavelengths are listed out of order, or twice
    _, order = np.unique(rows[:, 0], return_index=True)
    wavelength, albedo, asymmetry, extinction = rows[order].T
    return np.log(wavelength), np.log(extinction), albedo, asymmetry
