"""Which of the files on a command line belong to one galaxy.

A dustpost FITS or a Legacy Survey cutout is a galaxy of its own; all exposures together are
one, band by band; a file that is neither (a PSF file) goes with the cutout or the exposures.
"""

from collections.abc import Sequence
from pathlib import Path

from dustpost.errors import DustpostError
from dustpost.io import exposures, fits, legacy
from dustpost.io.fitsfile import open_fits


def group(paths: Sequence[Path]) -> list[list[Path]]:
    """Split the inputs into galaxies, each a list that `read` takes.

    Raises
    ------
    DustpostError
        A file cannot be read, or a PSF file could belong to several galaxies.
    """
    own, others, bands = [], [], []
    for path in paths:
        with open_fits(path) as file:
            if exposures.matches(file):
                bands.append(path)
            elif not legacy.is_psf(file) and (legacy.matches(file) or fits.matches(file)):
                own.append([path])
            else:
                others.append(path)
    galaxies = own + ([bands] if bands else [])
    if not galaxies:
        return [[path] for path in others]
    if others and len(galaxies) > 1:
        raise DustpostError(
            f"{others[0]}: is no cutout, and could be the PSF of any of {len(galaxies)} galaxies; "
            "give the galaxies one by one"
        )
    galaxies[0] += others
    return galaxies
