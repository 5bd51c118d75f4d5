"""Light of stars that formed at a constant rate between two ages, in any bands.

    L_nu(lambda; start, end, Z) = C(lambda, end, Z) - C(lambda, start, Z),
    C(lambda, t, Z) = int_0^t l_nu(lambda, t', Z) dt',

with l_nu the single-age spectra of PopStar (Molla, Garcia-Vargas & Bressan 2009, MNRAS 398,
451; Chabrier's initial mass function; stars and nebular continuum, no lines). The package
ships C in bins of one per cent in wavelength (`dustpost/data/starlight.md`). Between the
table's ages and metallicities C runs linearly, in t and in log Z. A band's light is the AB
mean of f_nu over the filter,

    f = int f_nu R dlambda/lambda / int R dlambda/lambda.

Libraries differ: in hsc2017 g-r, r-i, i-z, z-y from Bruzual & Charlot's (2003) models, in their
version of 2016, by 0.03, 0.03, 0.06, 0.03 mag (rms over ages and metallicities), and from the
elliptical of Coleman, Wu & Weedman (1980) by 0.14 mag in r-z. `Starlight.mismatch` is a
Gaussian process in ln f of this size, as in `dustpost.priors.spectrum`, to draw such errors;
what is independent from band to band stands for emission lines.
"""

from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.attenuation import PIVOT
from dustpost.bands import throughput
from dustpost.errors import DustpostError

INSIDE = 50
"""Points inside a bin at which a filter is read."""

MISMATCH = 0.07
"""Sd of ln f among libraries at one wavelength, for ratios over many `MISMATCH_LENGTH`."""

MISMATCH_LENGTH = 0.25
"""Correlation length of that error in ln(lambda)."""

BAND_MISMATCH = 0.02
"""Sd of ln f that is each band's own."""

COVERED = 0.999
"""Share of a filter that must lie on the table."""


class Starlight(NamedTuple):
    """Summed light of a young-to-old sequence of stars, in given bands.

    Attributes
    ----------
    age : ndarray, (age,)
        Gyr, from 0.
    metallicity : ndarray, (metallicity,)
        log10 Z/Z_sun, Z_sun = 0.02.
    light : ndarray, (metallicity, age, band + 1)
        C in each band and, last, at 0.4754 micron; one common unit.
    mismatch : ndarray, (band, 2 band + 1)
        Times standard normal numbers: an error of ln f over that at 0.4754 micron.
    """

    age: np.ndarray
    metallicity: np.ndarray
    light: np.ndarray
    mismatch: np.ndarray


@lru_cache(maxsize=32)
def colours_table(bands: tuple[str | float, ...], redshift: float = 0.0) -> Starlight:
    """Tabulate the light of stellar populations in given bands.

    Parameters
    ----------
    bands : tuple of str or float, (band,)
        Speclite names, or wavelengths in micron for monochromatic bands.
    redshift : float
        Bands are where the observer is; 0.4754 micron is in the galaxy's rest frame.

    Returns
    -------
    Starlight

    Raises
    ------
    DustpostError
        Unknown filter, or a band that leaves 0.15 to 2.5 micron in the rest frame.
    """
    edges, age, metallicity, light = _table()
    columns = [_weights(band, 1.0 + redshift, edges) for band in (*bands, PIVOT * (1 + redshift))]
    weights = np.stack(columns, axis=-1)
    where = (0.5 * np.log(edges[1:] * edges[:-1])) @ weights
    lag = (where[:, None] - where[None, :]) / MISMATCH_LENGTH
    # bands may coincide: a little of the identity keeps the factor real
    covariance = MISMATCH**2 * (np.exp(-0.5 * lag**2) + 1e-6 * np.eye(where.size))
    factor = np.linalg.cholesky(covariance)
    own = BAND_MISMATCH * np.eye(len(bands))
    mismatch = np.concatenate([factor[:-1] - factor[-1], own], axis=1)
    arrays = (age, metallicity, light @ weights, mismatch)
    return Starlight(*(np.asarray(array, np.float32) for array in arrays))


def spectrum(table: Starlight, start: Array, end: Array, metallicity: Array) -> Array:
    """Spectrum of stars that formed at a constant rate, relative to 0.4754 micron.

    Parameters
    ----------
    table : Starlight
    start, end : Array
        Ages of the youngest and of the oldest stars, Gyr; scalars, start < end.
    metallicity : Array
        log10 Z/Z_sun; clipped to the table.

    Returns
    -------
    Array, (band,)
        f_nu in each band over f_nu at 0.4754 micron.
    """
    age, grid = jnp.asarray(table.age), jnp.asarray(table.metallicity)
    light = jnp.asarray(table.light)
    row, part = _between(grid, metallicity)
    light = (1 - part) * light[row] + part * light[row + 1]

    def until(time):
        step, share = _between(age, time)
        return (1 - share) * light[step] + share * light[step + 1]

    total = until(end) - until(start)
    return total[:-1] / total[-1]


def _between(grid: Array, value: Array) -> tuple[Array, Array]:
    """Index of the interval of `grid` that holds `value`, and where in it (0 to 1)."""
    index = jnp.clip(jnp.searchsorted(grid, value, method="compare_all") - 1, 0, grid.size - 2)
    part = (value - grid[index]) / (grid[index + 1] - grid[index])
    return index, jnp.clip(part, 0.0, 1.0)


def _weights(band: str | float, stretch: float, edges: np.ndarray) -> np.ndarray:
    """Share of each bin in the band's AB mean, (bin,)."""
    middle = np.sqrt(edges[:-1] * edges[1:])
    if not isinstance(band, str):
        rest = band / stretch
        _check(band, middle[0] <= rest <= middle[-1])
        place = np.interp(np.log(rest), np.log(middle), np.arange(middle.size))
        return np.clip(1.0 - np.abs(np.arange(middle.size) - place), 0.0, None)
    wavelength, response = throughput(band)
    step = np.log(edges[1] / edges[0])
    inside = np.exp((np.arange(INSIDE) + 0.5) / INSIDE * step)
    observed = stretch * edges[:-1, None] * inside
    within = np.interp(observed, wavelength, response, left=0.0, right=0.0).sum(axis=1)
    whole = np.trapezoid(response / wavelength, wavelength)
    _check(band, within.sum() * step / INSIDE > COVERED * whole)
    return within / within.sum()


def _check(band: str | float, good: bool) -> None:
    if not good:
        raise DustpostError(
            f"band {band} leaves 0.15 to 2.5 micron in the galaxy's rest frame, where the "
            "spectra of stars are tabulated: leave it out, or lower the redshift"
        )


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, ...]:
    """Bin edges (micron), ages (Gyr), log10 Z/Z_sun and C (metallicity, age, bin)."""
    from safetensors.numpy import load

    tensors = load(files("dustpost.data").joinpath("starlight.safetensors").read_bytes())
    names = ("edges", "age", "metallicity", "light")
    return tuple(tensors[name].astype(float) for name in names)
