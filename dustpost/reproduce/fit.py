"""What a method says of one galaxy whose truth is known: one form for all methods.

The MAP is a fit with a single draw, so that every score below is one formula: CRPS of a
single draw is the absolute error, and its intervals are empty.

    A        -2.5 log10 D at 0.4754 micron, mag
    CRPS     E|x - truth| - E|x - x'| / 2   (Gneiting & Raftery 2007, JASA 102, 359)
    correlation: Pearson's, of inferred and true A over the pixels that together hold
             90 % of the dust-free light
"""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.io.folder import atomic_write

MASSES = (0.5, 0.68, 0.9)
LIGHT = 0.9  # share of the light inside the pixels that are correlated
LEAST_TRANSMISSION = 1e-4  # A = 10 mag
FEWEST = 19  # draws, below which an interval of 90 % is not defined


class Fit(NamedTuple):
    """A method's answer, numpy arrays; n draws, n = 1 for a point estimate.

    Attributes
    ----------
    flux : ndarray, (n, band)
        F, dust-free, in the unit of the cutout.
    attenuated_flux : ndarray, (band,)
        Behind the dust, of the mean model.
    slope, mean_attenuation, covering_fraction : ndarray, (n,)
        nan where the method has none.
    transmission, transmission_sd : ndarray, (y, x)
        Mean and sd of D.
    attenuation : ndarray, (y, x)
        Mean of A, mag.
    host : ndarray, (y, x)
        Mean of S.
    correlation : ndarray, (m,)
        Of inferred and true A: first that of the mean map, then those of single draws.
    map_inside : ndarray, (3,)
        Share of the light whose true A is inside the intervals `MASSES`; nan for one draw.
    map_crps : ndarray, ()
        Light-weighted CRPS of A, mag.
    chi2 : ndarray, ()
        Of the mean model, per pixel; nan where there is none.
    rhat, ess : ndarray, ()
        Worst R-hat and least bulk ESS of the scalars; nan for one draw.
    seconds : ndarray, ()
        Spent.
    """

    flux: np.ndarray
    attenuated_flux: np.ndarray
    slope: np.ndarray
    mean_attenuation: np.ndarray
    covering_fraction: np.ndarray
    transmission: np.ndarray
    transmission_sd: np.ndarray
    attenuation: np.ndarray
    host: np.ndarray
    correlation: np.ndarray
    map_inside: np.ndarray
    map_crps: np.ndarray
    chi2: np.ndarray
    rhat: np.ndarray
    ess: np.ndarray
    seconds: np.ndarray


class Known(NamedTuple):
    """The truth that fits are scored against.

    Attributes
    ----------
    host, transmission : ndarray, (y, x)
    flux : ndarray, (band,)
    attenuated_flux : ndarray, (band,)
        Sum of the cutout, with its noise.
    wavelength : ndarray, (band,)
        Micron.
    mean_attenuation, covering_fraction, slope : ndarray, ()
        The file's own where it states them; slope is nan where it is not known.
    """

    host: np.ndarray
    transmission: np.ndarray
    flux: np.ndarray
    attenuated_flux: np.ndarray
    wavelength: np.ndarray
    mean_attenuation: np.ndarray
    covering_fraction: np.ndarray
    slope: np.ndarray


def known(cutout: Cutout) -> Known:
    """The truth of a cutout as plain arrays.

    Raises
    ------
    DustpostError
        If its fluxes are not known.
    """
    truth = cutout.truth
    if truth.flux is None:
        raise DustpostError(f"{cutout.source}: its table TRUTH has no column F of fluxes")
    host = np.asarray(truth.host, float) / np.sum(truth.host, dtype=float)
    depth = attenuation(truth.transmission)
    given = (truth.mean_attenuation, truth.covering_fraction, truth.slope)
    derived = ((host * depth).sum(), (host * (depth > 0.05)).sum(), np.nan)
    scalars = (d if g is None else g for g, d in zip(given, derived, strict=True))
    return Known(
        host,
        np.asarray(truth.transmission, float),
        np.asarray(truth.flux, float),
        cutout.data.sum(axis=(1, 2), dtype=float),
        np.asarray(cutout.wavelength, float),
        *(np.asarray(x, float) for x in scalars),
    )


def attenuation(transmission: np.ndarray) -> np.ndarray:
    """A in mag of a transmission."""
    return -2.5 * np.log10(np.clip(np.asarray(transmission, float), LEAST_TRANSMISSION, 1.0))


def correlation(one: np.ndarray, other: np.ndarray, host: np.ndarray) -> float:
    """Pearson's, over the pixels that hold `LIGHT` of a host's light; nan for a flat map."""
    order = np.sort(host, axis=None)[::-1]
    level = order[np.searchsorted(np.cumsum(order) / order.sum(), LIGHT)]
    bright = host >= level
    x, y = np.asarray(one, float)[bright], np.asarray(other, float)[bright]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])


def crps(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """CRPS of draws (n, ...) against a truth (...)."""
    draws = np.sort(np.asarray(draws, float), axis=0)
    n = len(draws)
    rank = (2 * np.arange(1, n + 1) - n - 1).reshape(-1, *[1] * (draws.ndim - 1))
    spread = 2 * (rank * draws).sum(axis=0) / n**2  # E|x - x'| over all pairs
    return np.abs(draws - truth).mean(axis=0) - spread / 2


def inside(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether central intervals of mass `MASSES` hold the truth, (3, ...); nan for few draws."""
    truth = np.asarray(truth, float)
    if len(draws) < FEWEST:
        return np.full((len(MASSES), *truth.shape), np.nan)
    tails = [[0.5 - m / 2, 0.5 + m / 2] for m in MASSES]
    ends = np.quantile(draws, np.array(tails), axis=0, method="weibull")  # (3, 2, ...)
    return ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).astype(float)


def map_scores(depth: np.ndarray, truth: Known) -> dict[str, np.ndarray]:
    """Scores of drawn maps of A (n, y, x): correlation, map_inside, map_crps."""
    true, light = attenuation(truth.transmission), truth.host
    maps = [depth.mean(axis=0), *(depth if len(depth) > 1 else ())]
    held = inside(depth, true)
    return dict(
        correlation=np.array([correlation(one, true, light) for one in maps]),
        map_inside=(held * light).sum(axis=(1, 2)) / light.sum(),
        map_crps=np.asarray((crps(depth, true) * light).sum() / light.sum()),
    )


def write(path: Path, record: NamedTuple) -> None:
    """Keep a `Fit` or a `Known` as npz, without pickle."""
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **{k: _small(v) for k, v in record._asdict().items()})


def load(path: Path, kind: type) -> NamedTuple:
    """Read what `write` has written.

    Raises
    ------
    DustpostError
        If the file is damaged.
    """
    try:
        # opened here: numpy leaves a file open that it cannot parse
        with Path(path).open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return kind(**{name: file[name].astype(float) for name in kind._fields})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DustpostError(
            f"{path}: not a whole result ({error}); delete it and it is made again"
        ) from error


def _small(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    return values.astype(np.float32) if values.ndim == 2 else values
