"""NIHAO-SKIRT galaxies: 65 simulated galaxies, each seen from ten sides, with and without dust.

Faucher et al. 2023 (ApJ 957, 7) ran SKIRT on NIHAO's galaxies; Siegel & Melchior 2024 trained
and tested on 64x64 images of theirs. Here a file becomes 64x64 views with their truth:

    S = dust-free r / sum,    D = dusty / dust-free at g,

and the rest as `simulated` says. The file's g is SDSS g, at 0.475 micron within 0.2 % of the
0.4754 micron at which D is defined: no correction is made. SDSS g r i z stand for HSC's.

The field of view is the smallest centred square that holds 99 % of the dust-free g light in
every one of the galaxy's views, resampled area-weighted, which keeps the flux in it; `field`
sets it in pc, or to "all" of the image. Where it has fewer than 64 pixels of the file across,
these are split, and nothing is gained in resolution. There is no noise, no PSF and no
redshift in any of it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dustpost.io.cutout import Cutout
from dustpost.io.nihao_table import read_table
from dustpost.io.nihao_view import SIDE, View, check_bands, field_width, make_view

BANDS = ("g", "r", "i", "z")
"""The bands that are read unless others are asked for."""


def read_galaxy(
    path: Path,
    field: float | str | None = None,
    bands: Sequence[str] = BANDS,
    monochromatic: bool = False,
) -> list[View]:
    """Read the views of one galaxy.

    Parameters
    ----------
    path : Path
        A ``[name]_nihao-resolved-photometry.fits``.
    field : float or "all", optional
        Side of the central field in pc; None for 99 % of the light.
    bands : sequence of str
        Of FUV NUV u g r i z J H Ks; beyond, dust shines. D is from g and S from r in any case.
    monochromatic : bool
        Take the host's colour gradients away: dust-free F_i S in band i, and behind dust
        that times the true attenuation of each pixel in band i.

    Returns
    -------
    list of View
        In the order of the file.

    Raises
    ------
    DustpostError
        The file is not as `nihao_table` says, a band is unknown, or the field is too large.
    """
    bands = tuple(bands)
    check_bands(bands)
    table = read_table(Path(path), tuple(dict.fromkeys(("g", "r", *bands))))
    width = field_width(table, field)
    return [
        make_view(table, number, width, bands, monochromatic) for number in range(len(table.free))
    ]


def read_views(
    path: Path,
    monochromatic: bool = False,
    field: float | str | None = None,
    bands: Sequence[str] = BANDS,
) -> list[Cutout]:
    """Read the views of one galaxy as cutouts, which `io.fits.save` writes with their truth.

    Nothing has been observed yet: `ivar` is 0 everywhere and `psf` a single pixel. Put both
    in, and noise into `data`, with `dustpost.mock.expose_cutout`.

    Parameters
    ----------
    path, monochromatic, field, bands
        As in `read_galaxy`.

    Returns
    -------
    list of Cutout
        `source` is ``<galaxy>_view<number>.fits`` (``_mono`` before the dot) beside `path`.

    Raises
    ------
    DustpostError
        As in `read_galaxy`.
    """
    path = Path(path)
    stem = path.name.split("_nihao-")[0].split(".fits")[0]
    tail = "_mono" if monochromatic else ""
    return [
        Cutout(
            data=view.dusty.astype(np.float32),
            ivar=np.zeros(view.dusty.shape, np.float32),
            psf=np.ones((len(view.bands), 1, 1), np.float32),
            bands=view.bands,
            wavelength=view.wavelength,
            unit=view.unit,
            wcs=None,
            source=path.with_name(f"{stem}_view{view.orientation}{tail}.fits"),
            notes=_describe(path, view, monochromatic),
            truth=view.truth,
        )
        for view in read_galaxy(path, field, bands, monochromatic)
    ]


def read_pairs(path: Path, field: float | str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read what a dust prior is trained on.

    Parameters
    ----------
    path, field
        As in `read_galaxy`.

    Returns
    -------
    host, transmission : ndarray, (view, 64, 64), float32
        S of unit sum and D in (0, 1].

    Raises
    ------
    DustpostError
        As in `read_galaxy`.
    """
    truths = [view.truth for view in read_galaxy(path, field, ("g", "r"))]
    pairs = zip(*((truth.host, truth.transmission) for truth in truths), strict=True)
    host, transmission = (np.stack(images).astype(np.float32) for images in pairs)
    return host, transmission


def _describe(path: Path, view: View, monochromatic: bool) -> tuple[str, ...]:
    host = "a host of one colour" if monochromatic else "the host's own colours"
    return (
        f"NIHAO-SKIRT galaxy {view.name}, orientation {view.orientation} of {path.name}: b/a "
        f"{view.axis_ratio:.3f}, A_V {view.av:.3f} mag, {host}",
        f"{SIDE * view.pixel:.4g} pc across, {view.pixel:.4g} pc per pixel",
        "simulated: no noise and no PSF are in it, and the inverse variance is 0",
    )
