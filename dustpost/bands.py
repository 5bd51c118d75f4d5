"""From filter names to wavelengths: where on the attenuation curve each band samples.

The attenuation of band i is the photon-weighted mean of the curve over the filter's
throughput R_i (a source flat in f_lambda, which also defines the effective wavelength):

    k_i = int l R_i(l) k(l / (1 + z)) dl / int l R_i(l) dl  =  sum_n w_in k(l_in).

The nodes l_in are those of Gaussian quadrature for the weight l R_i(l) (Golub & Welsch 1969,
Math. Comp. 23, 221), 16 per filter. Calzetti's law jumps by 0.6 % at 0.63 micron (rest
frame), so a filter that straddles it gets 8 nodes on either side; the sum is then good to
1e-8 for |delta| < 2 (3e-4 in Ks with ``curve="paper"``, which reaches zero inside that
filter). The throughputs are speclite's (atmosphere included where it has it).
"""

import difflib
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np

from dustpost.attenuation import BRANCH, VALID_RANGE
from dustpost.errors import DustpostError

NODES = 16
"""Quadrature nodes per filter."""

NAME_TOLERANCE = 0.1
"""Largest relative distance of a given wavelength from speclite's for the same name."""


def filter_nodes(
    names: Sequence[str],
    wavelengths: Sequence[float],
    redshift: float = 0.0,
    average: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Rest-frame wavelengths at which each band samples the curve, and their weights.

    Parameters
    ----------
    names : sequence of str, (band,)
        Speclite names such as ``hsc2017-g``; others are fine with a wavelength.
    wavelengths : sequence of float, (band,)
        Observed effective wavelengths in micron; NaN where the name says it all.
    redshift : float
        Redshift z of the galaxy; wavelengths are divided by 1 + z.
    average : bool
        Nodes over the whole filter, or (False) one node at `wavelengths`, at speclite's
        effective wavelength where that is NaN.

    Returns
    -------
    wavelength, weight : ndarray, (band, node)
        Micron in the rest frame, and weights that sum to one along the last axis. Unknown
        names have a single node, repeated with zero weight to fill the row.

    Raises
    ------
    DustpostError
        Unknown name without a wavelength, wavelength not in micron or not that of the
        name, or a band outside the range of the attenuation curve.
    """
    observed = resolve_wavelengths(names, wavelengths)
    check_range(names, observed, redshift)
    if not average:
        return observed[:, None] / (1.0 + redshift), np.ones((len(names), 1))
    known = set(filter_names())
    rows = [
        _gauss_nodes(name, BRANCH * (1.0 + redshift)) if name in known else _single_node(value)
        for name, value in zip(names, observed, strict=True)
    ]
    wavelength, weight = (np.stack(part) for part in zip(*rows, strict=True))
    return wavelength / (1.0 + redshift), weight


def resolve_wavelengths(names: Sequence[str], wavelengths: Sequence[float]) -> np.ndarray:
    """Observed effective wavelength of each band in micron, checked against its name.

    Parameters
    ----------
    names : sequence of str, (band,)
    wavelengths : sequence of float, (band,)
        Micron; NaN is replaced by speclite's effective wavelength.

    Returns
    -------
    ndarray, (band,), float64

    Raises
    ------
    DustpostError
        As in `filter_nodes`, but for the range of the curve.
    """
    known = set(filter_names())
    resolved = np.array(wavelengths, dtype=float)
    for i, (name, value) in enumerate(zip(names, resolved, strict=True)):
        if np.isfinite(value):
            _check_micron(name, value)
        if name in known:
            expected = effective_wavelength(name)
            if not np.isfinite(value):
                resolved[i] = expected
            elif abs(value / expected - 1.0) > NAME_TOLERANCE:
                raise DustpostError(
                    f"band {name} is given the wavelength {value:g} micron, but this filter's "
                    f"effective wavelength is {expected:.4f} micron: mend the name or the "
                    "wavelength"
                )
        elif not np.isfinite(value):
            raise DustpostError(
                f"band {name!r} is no filter that speclite knows{_suggestion(name)}, and it has "
                "no wavelength: correct the name, or give its effective wavelength in micron"
            )
    return resolved


def check_range(names: Sequence[str], observed: np.ndarray, redshift: float) -> None:
    """Refuse bands whose rest-frame wavelength the attenuation curve does not reach.

    Parameters
    ----------
    names : sequence of str, (band,)
    observed : ndarray, (band,)
        Observed effective wavelengths in micron.
    redshift : float

    Raises
    ------
    DustpostError
        An effective wavelength lies outside 0.12-2.2 micron in the rest frame.
    """
    low, high = VALID_RANGE
    for name, value in zip(names, observed, strict=True):
        rest = value / (1.0 + redshift)
        if not low <= rest <= high:
            raise DustpostError(
                f"band {name} lies at {rest:.4g} micron in the rest frame (redshift "
                f"{redshift:g}), outside {low}-{high} micron where the attenuation curve was "
                "fitted: leave this band out"
            )


@lru_cache(maxsize=1)
def filter_names() -> tuple[str, ...]:
    """Names of all filters that ship with speclite, found without importing it."""
    folder = files("speclite").joinpath("data/filters")
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(n.removesuffix(".ecsv") for n in names if n.endswith(".ecsv")))


def effective_wavelength(name: str) -> float:
    """Photon-weighted mean wavelength of a filter in micron.

    Parameters
    ----------
    name : str
        Speclite name.

    Raises
    ------
    DustpostError
        speclite has no filter of this name.
    """
    wavelength, response = throughput(name)
    nodes, mass = photon_measure(wavelength, response)
    return float(np.sum(nodes * mass) / np.sum(mass))


@lru_cache(maxsize=128)
def throughput(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Tabulated wavelength (micron) and response of a filter.

    Raises
    ------
    DustpostError
        speclite has no filter of this name.
    """
    if name not in filter_names():
        raise DustpostError(f"speclite has no filter {name!r}{_suggestion(name)}")
    from speclite.filters import load_filter  # takes most of a second: only when asked

    response = load_filter(name)
    # speclite tabulates in Angstrom whatever the file's own unit
    return np.asarray(response.wavelength) * 1e-4, np.asarray(response.response, dtype=float)


def photon_measure(
    wavelength: np.ndarray, response: np.ndarray, split: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fine points and masses of the weight l R(l), for sums that stand for integrals.

    Parameters
    ----------
    wavelength, response : ndarray
        From `throughput`.
    split : float, optional
        Wavelength in micron that is to be the end of an interval.

    Returns
    -------
    points, mass : ndarray
        8 Gauss-Legendre points in each interval of the table; masses are not normalised.
    """
    edges = wavelength
    if split is not None and wavelength[0] < split < wavelength[-1]:
        edges = np.unique(np.append(wavelength, split))
    x, w = np.polynomial.legendre.leggauss(8)
    half = np.diff(edges)[:, None] / 2.0
    points = (edges[:-1, None] + half * (1.0 + x)).ravel()
    mass = (half * w).ravel() * points * np.interp(points, wavelength, response)
    return points, mass


@lru_cache(maxsize=512)
def _gauss_nodes(name: str, split: float) -> tuple[np.ndarray, np.ndarray]:
    points, mass = photon_measure(*throughput(name), split)
    mass = mass / mass.sum()
    blue = points < split
    if min(mass[blue].sum(), mass[~blue].sum()) < 1e-6:
        return _gauss_rule(points, mass, NODES)
    halves = [_gauss_rule(points[side], mass[side], NODES // 2) for side in (blue, ~blue)]
    return tuple(np.concatenate(part) for part in zip(*halves, strict=True))


def _gauss_rule(points: np.ndarray, mass: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n-point Gaussian quadrature of a discrete measure (Lanczos, then Golub & Welsch)."""
    total = mass.sum()
    centre, scale = points.mean(), np.ptp(points) / 2.0
    x = (points - centre) / scale
    basis = np.zeros((n + 1, len(points)))
    diagonal, off = np.zeros(n), np.zeros(n)
    basis[0] = np.sqrt(mass / total)
    for k in range(n):
        vector = x * basis[k]
        diagonal[k] = vector @ basis[k]
        # twice against all earlier vectors: plain Lanczos loses orthogonality
        for _ in range(2):
            vector = vector - basis[: k + 1].T @ (basis[: k + 1] @ vector)
        off[k] = np.linalg.norm(vector)
        basis[k + 1] = vector / off[k]
    jacobi = np.diag(diagonal) + np.diag(off[:-1], 1) + np.diag(off[:-1], -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    return centre + scale * nodes, total * vectors[0] ** 2


def _single_node(wavelength: float) -> tuple[np.ndarray, np.ndarray]:
    weight = np.zeros(NODES)
    weight[0] = 1.0
    return np.full(NODES, wavelength), weight


def _check_micron(name: str, wavelength: float) -> None:
    if wavelength >= 1200.0:
        meant = f"Angstrom ({wavelength / 1e4:.4g} micron)"
    elif wavelength >= 100.0:
        meant = f"nm ({wavelength / 1e3:.4g} micron)"
    elif wavelength <= 0.0:
        raise DustpostError(f"band {name} has the wavelength {wavelength:g}: give it in micron")
    else:
        return
    raise DustpostError(
        f"band {name} has the wavelength {wavelength:g}, which looks like {meant}: the unit "
        "must be micron"
    )


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, filter_names(), n=3, cutoff=0.5)
    return f" (near it: {', '.join(near)})" if near else ""
