"""Galaxies with their truth, wherever they come from: one list of views.

suite   drawn on the spot: the galaxies of `dustpost simulate --galaxies N --views M`
folder  FITS files with TRUE_HOST, TRUE_TRANS, TRUE_A and TRUTH
NIHAO   files of Faucher et al. (2023), `dustpost.io.nihao`

Every view can be had as it is (fiducial), or with a host of one colour behind the true
attenuation of each pixel and band (monochromatic; Siegel & Melchior 2024, section 4):

    F_i S 10^(-0.4 A_i)

or exactly as the model has it (`of_model`), F_i S D^k_i(delta): what a fit misses there is not the
model's fault.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dustpost.attenuation import band_attenuation
from dustpost.errors import DustpostError
from dustpost.io import fits
from dustpost.io.cutout import Cutout
from dustpost.io.nihao import read_views
from dustpost.io.read import to_observation
from dustpost.mock import cutout_of, draw_view
from dustpost.priors.slope import MEAN
from dustpost.reproduce.exposure import add_noise, blur
from dustpost.reproduce.fit import attenuation
from dustpost.simulate.survey import get_survey

NIHAO = "_nihao-resolved-photometry.fits"
SUFFIXES = (".fits", ".fits.gz", ".fits.fz")
BANDS = get_survey("hsc-cosmos").bands
LEAST = 0.03  # mag, of mean attenuation: with less its slope means nothing
SLOPES = (-1.0, 1.0)


class View(NamedTuple):
    """One galaxy from one side.

    Attributes
    ----------
    name : str
        Unique among the views of a source.
    galaxy : str
        Shared by the views of one galaxy, which are not independent.
    read : callable
        (monochromatic) -> Cutout with its truth; `ivar` is 0 where no survey has looked yet.
    """

    name: str
    galaxy: str
    read: Callable[[bool], Cutout]


def find_views(data: Path | None, galaxies: int, views: int, seed: int) -> list[View]:
    """Views of the first galaxies of a source.

    Parameters
    ----------
    data : Path or None
        Folder; None for the simulated suite.
    galaxies, views : int
        At most so many galaxies, and sides of each.
    seed : int
        Of the simulated suite.

    Raises
    ------
    DustpostError
        If the folder is missing, or holds no FITS file.
    """
    if data is None:
        found = _suite(galaxies, views, seed)
    else:
        folder = Path(data)
        if not folder.is_dir():
            raise DustpostError(f"{folder}: no such folder; give one of FITS files with truth")
        paths = sorted(p for p in folder.iterdir() if p.name.endswith(SUFFIXES))
        nihao = [p for p in paths if p.name.endswith(NIHAO)]
        found = _nihao(nihao[:galaxies], views) if nihao else _folder(paths)
        if not found:
            raise DustpostError(f"{folder}: holds no FITS file; give a folder of files with truth")
    return first_views(found, galaxies, views)


def first_views(found: list[View], galaxies: int, views: int) -> list[View]:
    """The first `views` of each of the first `galaxies`, in order."""
    names = list(dict.fromkeys(view.galaxy for view in found))[:galaxies]
    return [view for name in names for view in [v for v in found if v.galaxy == name][:views]]


def monochromatic(cutout: Cutout) -> Cutout:
    """The same galaxy without PSF and noise, its host of one colour.

    Raises
    ------
    DustpostError
        If its attenuation in each band or its fluxes are not known.
    """
    truth = cutout.truth
    if truth.attenuation is None or truth.flux is None:
        raise DustpostError(
            f"{cutout.source}: a host of one colour needs TRUE_A and the column F of TRUTH"
        )
    clean = truth.flux[:, None, None] * truth.host * 10 ** (-0.4 * truth.attenuation)
    return replace(cutout, data=clean.astype(np.float32))


def of_model(cutout: Cutout) -> Cutout:
    """The same galaxy as the model has it, with one colour and one curve.

    It is seen through the PSF and with the noise that the file has, if it has any. Its slope is
    the true one within `SLOPES`, or the prior's mean where there is too little dust to know it.

    Raises
    ------
    DustpostError
        If its fluxes are not known.
    """
    truth = cutout.truth
    known = truth.slope is not None and (truth.mean_attenuation or 0.0) > LEAST
    slope = float(np.clip(truth.slope, *SLOPES)) if known else MEAN
    seen = to_observation(cutout)
    k = np.asarray(band_attenuation(seen.wavelength, seen.weight, slope))[:, None, None]
    depth = (k * attenuation(truth.transmission)).astype(np.float32)
    truth = truth._replace(slope=slope, attenuation=depth)
    return _seen_again(monochromatic(replace(cutout, truth=truth)))


def _suite(galaxies: int, views: int, seed: int) -> list[View]:
    def read(galaxy: int, view: int, grey: bool) -> Cutout:
        cutout = cutout_of(*draw_view(seed, galaxy, view), BANDS, grey)
        return replace(cutout, source=Path(f"sim_{galaxy:05d}_{view}.fits"))

    return [
        View(f"sim_{galaxy:05d}_{view}", f"sim_{galaxy:05d}", partial(read, galaxy, view))
        for galaxy in range(galaxies)
        for view in range(views)
    ]


def _nihao(paths: list[Path], views: int) -> list[View]:
    def read(path: Path, number: int, grey: bool) -> Cutout:
        return read_views(path, grey)[number]

    return [
        View(f"{path.name.removesuffix(NIHAO)}_{number}", path.name, partial(read, path, number))
        for path in paths
        for number in range(views)
    ]


def _folder(paths: list[Path]) -> list[View]:
    """Views of files <galaxy>_<view>.fits; those that are monochromatic already are left out."""

    def read(path: Path, grey: bool) -> Cutout:
        cutout = fits.load_ideal(path)
        if cutout.truth is None:
            raise DustpostError(
                f"{path}: does not know its truth; expected images TRUE_HOST and TRUE_TRANS"
            )
        return _seen_again(monochromatic(cutout)) if grey else cutout

    stems = {path: path.name.split(".fits")[0] for path in paths}
    return [
        View(stem, stem.rsplit("_", 1)[0] if "_" in stem else stem, partial(read, path))
        for path, stem in stems.items()
        if not stem.endswith("_mono")
    ]


def _seen_again(clean: Cutout) -> Cutout:
    """Through the PSF and with the noise that the file has, if it has any."""
    if not clean.ivar.any():
        return clean
    return add_noise(replace(clean, data=blur(clean.data, clean.psf)))
