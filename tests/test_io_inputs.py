"""Which files on a command line belong together."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.io.inputs import group
from tests.fitsfiles import galaxy, write_exposure

DEMO = Path(str(files("dustpost") / "data" / "demo.fits"))


def test_each_dustpost_fits_is_a_galaxy():
    assert group([DEMO, DEMO]) == [[DEMO], [DEMO]]


def test_a_legacy_cutout_takes_its_psf(shared_data):
    image = shared_data / "real" / "decals_dr9_grz_59.1067_-30.4848.fits"
    psf = shared_data / "real" / "decals_dr9_copsf_59.1067_-30.4848.fits"
    assert group([psf, image]) == [[image, psf]]
    with pytest.raises(DustpostError, match="one by one"):
        group([image, psf, DEMO])


def test_exposures_are_one_galaxy(tmp_path):
    bands = [
        write_exposure(tmp_path / f"{b}.fits", galaxy()[0], np.ones((64, 64)), FILTER=f"HSC-{b}")
        for b in "GRI"
    ]
    assert group(bands) == [bands]


def test_a_file_that_is_no_cutout_goes_alone(tmp_path):
    path = tmp_path / "note.fits"
    path.write_text("not a FITS")
    with pytest.raises(DustpostError, match="note.fits"):
        group([path])
