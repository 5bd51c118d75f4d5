"""Simulated galaxies as cutouts with their truth: what `dustpost simulate` writes.

    structure -> cube with and without dust -> survey: PSF, noise -> Cutout

Galaxy g of a seed is the same whatever the number of galaxies or views, and so is its
view v: the same stars and dust, turned.
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.bands import effective_wavelength
from dustpost.errors import DustpostError
from dustpost.io import fits
from dustpost.io.cutout import Cutout
from dustpost.io.folder import prepare_output
from dustpost.io.simulated import truth_of
from dustpost.progress import Stage, quiet
from dustpost.simulate import suite
from dustpost.simulate.planes import Structure, build
from dustpost.simulate.structure import draw_parameters
from dustpost.simulate.survey import NANOJANSKY, Survey, get_survey, noise_sd, point_spread
from dustpost.simulate.telescope import expose

BAND = 1  # r, in which the magnitude is given


def expose_cutout(
    key: jax.Array, cutout: Cutout, survey: Survey, magnitude: float | None = None
) -> Cutout:
    """Look at a noise-free cutout through a survey.

    Parameters
    ----------
    key : jax.Array
        A jax random key, for the noise.
    cutout : Cutout
        Without noise and PSF, in the survey's bands, with its truth.
    survey : Survey
    magnitude : float, optional
        AB, of the dust-free galaxy in r; the flux is scaled to it. By default it stays,
        and has to be in nJy.

    Returns
    -------
    Cutout
        In nJy, with noise, `ivar` and `psf`; the truth scaled alike.

    Raises
    ------
    DustpostError
        If the bands are not the survey's.
    """
    if cutout.bands != survey.bands:
        raise DustpostError(
            f"{cutout.source}: has the bands {', '.join(cutout.bands)}, the survey has "
            f"{', '.join(survey.bands)}; they must be the same"
        )
    scale = 1.0
    if magnitude is not None:
        scale = 10 ** (0.4 * (NANOJANSKY - magnitude)) / float(cutout.truth.flux[BAND])
    psf = np.asarray(point_spread(survey), np.float32)
    clean = jnp.asarray(scale * cutout.data, jnp.float32)
    noise = jnp.asarray(noise_sd(survey), jnp.float32)
    data, ivar = expose(key, clean, jnp.asarray(psf), noise)
    return replace(
        cutout,
        data=np.asarray(data),
        ivar=np.asarray(ivar),
        psf=psf,
        unit="nJy",
        truth=cutout.truth._replace(flux=scale * cutout.truth.flux),
    )


def draw_view(seed: int, galaxy: int, view: int) -> tuple[jax.Array, Structure]:
    """Draw one view of one galaxy; view 0 is as drawn, the others are turned at random.

    Returns
    -------
    key : jax.Array
        The galaxy's own random key.
    structure : Structure
    """
    key = jax.random.fold_in(jax.random.key(seed), galaxy)
    number_key, clump_key = jax.random.split(key)
    numbers = draw_parameters(number_key)
    if view:
        tilt, turn = jax.random.uniform(jax.random.fold_in(key, view), (2,))
        numbers = numbers._replace(cos_inclination=tilt, position_angle=2 * jnp.pi * turn)
    return key, build(clump_key, numbers)


def cutout_of(
    key: jax.Array, structure: Structure, bands: tuple[str, ...], monochromatic: bool = False
) -> Cutout:
    """Look at a galaxy without PSF and noise.

    Parameters
    ----------
    key : jax.Array
        A jax random key, for the ages and metallicities of its stars.
    structure : Structure
    bands : tuple of str
        Speclite names, r second.
    monochromatic : bool
        Give the host one colour (the paper's second variant).

    Returns
    -------
    Cutout
        With its truth; the dust-free galaxy has unit flux in r, `ivar` is 0.
    """
    wavelength = tuple(effective_wavelength(name) for name in bands)
    numbers = structure.parameters
    spectra = suite.draw_spectra(key, numbers, bands)
    dust = suite.dust_of(numbers.grains, (suite.PIVOT, *wavelength))
    cube = suite.simulate_cube(structure, spectra, dust)
    cube = suite.monochromatic(cube) if monochromatic else cube
    images = (cube.clean, cube.free, cube.host, cube.transmission)
    clean, free, host, transmission = (np.asarray(image, np.float64) for image in images)
    return Cutout(
        data=clean.astype(np.float32),
        ivar=np.zeros(clean.shape, np.float32),
        psf=np.ones((len(bands), 1, 1), np.float32),
        bands=bands,
        wavelength=np.asarray(wavelength),
        unit="",
        wcs=None,
        source=Path("simulated.fits"),
        truth=truth_of(clean, free, bands, np.asarray(wavelength), host, transmission),
    )


def write_suite(
    out: Path,
    galaxies: int,
    views: int,
    seed: int,
    survey: str,
    magnitude: float,
    monochromatic: bool = False,
    progress: Stage = quiet,
) -> list[Path]:
    """Simulate galaxies and write each view as FITS.

    Parameters
    ----------
    out : Path
        Folder.
    galaxies, views, seed : int
    survey : str
        Name in `dustpost.simulate.survey.SURVEYS`, or "none" for images without PSF
        and noise in HSC's bands.
    magnitude : float
        AB, of each dust-free galaxy in r.
    monochromatic : bool
    progress : callable
        See `dustpost.progress`.

    Returns
    -------
    list of Path

    Raises
    ------
    DustpostError
        If the survey is not known or the folder cannot be written.
    """
    ideal = survey == "none"
    seen_by = get_survey("hsc-wide" if ideal else survey)
    folder = prepare_output(out)
    advance, written = progress("galaxies", galaxies * views), []
    for number in range(galaxies * views):
        galaxy, view = divmod(number, views)
        name = f"sim_{galaxy:05d}_{view}{'_mono' if monochromatic else ''}.fits"
        written.append(folder / name)
        key, structure = draw_view(seed, galaxy, view)
        cutout = cutout_of(key, structure, seen_by.bands, monochromatic)
        if not ideal:
            noise_key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), view), galaxy)
            cutout = expose_cutout(noise_key, cutout, seen_by, magnitude)
        fits.save(written[-1], cutout)
        advance(1)
    return written
