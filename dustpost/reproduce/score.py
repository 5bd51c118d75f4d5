"""Fits against truths as a table: bias, scatter, correlation, coverage, CRPS, in bins.

The views of a galaxy are not independent: the error of a mean is the standard error over
galaxies, each the mean of its views. Where the mean attenuation is below `DUSTY` the slope
says nothing (light scattered into the line of sight rivals what is taken out); views
below it, and those whose true slope lies at the edge of its range, are left out of delta's rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from dustpost.reproduce.fit import MASSES, Fit, Known, crps, inside

DUSTY = 0.03  # mag
EDGE = 2.9  # a true slope beyond it lies at the edge of the range in which it was fitted
COLOURS = {"g-r": (0.4754, 0.62), "r-z": (0.62, 0.89)}  # micron
QUANTITIES = ("mean_attenuation", "covering_fraction", *COLOURS, "delta", "map")
BINS = {
    "all": ("covering", -np.inf, np.inf),
    "covering < .5": ("covering", -np.inf, 0.5),
    "covering .5-.9": ("covering", 0.5, 0.9),
    "covering > .9": ("covering", 0.9, np.inf),
    "covering < .9": ("covering", -np.inf, 0.9),
    "A < .1": ("depth", -np.inf, 0.1),
    "A .1-.5": ("depth", 0.1, 0.5),
    "A > .5": ("depth", 0.5, np.inf),
    "A >= .1, covering < .9": ("both", 0.1, 0.9),
}
LABELS = ("variant", "signal_to_noise", "method")
COLUMNS = {
    "variant": "fiducial, or monochromatic host",
    "signal_to_noise": "of the brightest pixel in r",
    "method": "of fitting",
    "quantity": "scored; map: A at 0.4754 micron pixel by pixel, light-weighted",
    "bin": "of true covering fraction, or true mean A in mag",
    "views": "galaxies from each side",
    "galaxies": "galaxies",
    "bias": "mean of inferred - true; nan for a map",
    "bias_error": "its standard error over galaxies",
    "scatter": "sd of inferred - true",
    "median_abs_error": "median |inferred - true|",
    "correlation": "of a map: median of Pearson's, of inferred and true A; else nan",
    "coverage50": "share of true values inside the central interval of 50 %",
    "coverage68": "of 68 %",
    "coverage90": "of 90 %",
    "coverage68_error": "standard error of coverage68 over galaxies",
    "crps": "mean CRPS; of a point estimate the mean absolute error",
}


class Scored(NamedTuple):
    """One quantity of one view.

    Attributes
    ----------
    galaxy : str
    error : float
        Inferred - true, of the draws' mean; nan for a map.
    sd : float
        Of the draws; nan for a map.
    correlation : float
        Of a map; nan for a number.
    inside : ndarray, (3,)
    crps : float
    covering, depth : float
        True covering fraction and mean A.
    """

    galaxy: str
    error: float
    sd: float
    correlation: float
    inside: np.ndarray
    crps: float
    covering: float
    depth: float


def score(galaxy: str, truth: Known, found: Fit) -> dict[str, Scored]:
    """Scores of one fit, by quantity; delta is left out where it means nothing."""
    where = float(truth.covering_fraction), float(truth.mean_attenuation)
    scored = {}
    for name, (draws, true) in _scalars(truth, found).items():
        if np.isfinite(true) and np.isfinite(draws).all():
            error = float(draws.mean() - true)
            held, distance = inside(draws, true), float(crps(draws, true))
            scored[name] = Scored(galaxy, error, float(draws.std()), np.nan, held, distance, *where)
    of_map = (np.nan, np.nan, float(found.correlation[0]), found.map_inside, float(found.map_crps))
    scored["map"] = Scored(galaxy, *of_map, *where)
    return scored


def rows(scores: Sequence[dict[str, Scored]], **labels: object) -> list[dict]:
    """Rows of the table for one method, variant and noise level.

    Parameters
    ----------
    scores : sequence of dict
        As `score` gives them, one of each view.
    labels : str or float
        variant, signal_to_noise and method.
    """
    found = []
    for quantity in QUANTITIES:
        all_views = [one[quantity] for one in scores if quantity in one]
        for name in BINS:
            some = [one for one in all_views if _in_bin(one, name)]
            if some:
                found.append(dict(labels, quantity=quantity, bin=name) | _summary(some))
    return found


def as_table(found: list[dict]) -> Table:
    """The rows as an ECSV-ready table with its columns described."""
    table = Table(rows=found, names=list(COLUMNS)) if found else Table(names=list(COLUMNS))
    for name, about in COLUMNS.items():
        table[name].description = about
    return table


def colour(flux: np.ndarray, wavelength: np.ndarray, pair: tuple[float, float]) -> np.ndarray:
    """Colour in mag of fluxes (..., band), of the bands nearest to two wavelengths in micron."""
    one, other = (int(np.argmin(np.abs(wavelength - wave))) for wave in pair)
    return -2.5 * np.log10(flux[..., one] / flux[..., other])


def _scalars(truth: Known, found: Fit) -> dict[str, tuple[np.ndarray, float]]:
    values = {
        name: (getattr(found, name), float(getattr(truth, name)))
        for name in ("mean_attenuation", "covering_fraction")
    }
    for name, pair in COLOURS.items():
        both = (colour(f, truth.wavelength, pair) for f in (found.flux, truth.flux))
        values[name] = tuple(both)
    if truth.mean_attenuation > DUSTY and abs(truth.slope) < EDGE:
        values["delta"] = found.slope, float(truth.slope)
    return values


def _in_bin(one: Scored, name: str) -> bool:
    kind, low, high = BINS[name]
    if kind == "both":
        return one.depth >= low and one.covering < high
    return low <= getattr(one, kind) < high


def _summary(some: list[Scored]) -> dict[str, float]:
    error, galaxy = np.array([s.error for s in some]), np.array([s.galaxy for s in some])
    held = np.array([s.inside for s in some])
    names = [f"coverage{round(100 * mass)}" for mass in MASSES]
    return dict(
        views=len(some),
        galaxies=len(set(galaxy)),
        bias=float(error.mean()),
        bias_error=_cluster_error(error, galaxy),
        scatter=float(error.std(ddof=1)) if len(some) > 1 else np.nan,
        median_abs_error=float(np.median(np.abs(error))),
        correlation=_median([s.correlation for s in some]),
        **dict(zip(names, held.mean(axis=0).tolist(), strict=True)),
        coverage68_error=_cluster_error(held[:, 1], galaxy),
        crps=float(np.mean([s.crps for s in some])),
    )


def _median(values: list[float]) -> float:
    finite = np.array(values)[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else np.nan


def _cluster_error(values: np.ndarray, galaxy: np.ndarray) -> float:
    """Standard error of a mean over galaxies whose views go together."""
    keep = np.isfinite(values)
    means = [values[keep & (galaxy == name)].mean() for name in dict.fromkeys(galaxy[keep])]
    return float(np.std(means, ddof=1) / len(means) ** 0.5) if len(means) > 1 else np.nan
