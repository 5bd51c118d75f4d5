"""Legacy Survey viewer cutouts, a replica and the real ones."""

import numpy as np
import pytest
from astropy.io import fits as pyfits

from dustpost.errors import DustpostError
from dustpost.io.checks import check_cutout
from dustpost.io.read import read
from tests.fitsfiles import galaxy, gaussian_psf, tan_wcs


def write_viewer(path, letters="grz", kinds=("image", "invvar"), version="DR9-south"):
    data, header = galaxy(80, 80), tan_wcs(matrix="cd").to_header()
    hdus = [pyfits.PrimaryHDU()]
    hdus[0].header["VERSION"] = version
    for i, letter in enumerate(letters):
        for kind in kinds:
            pixels = data[i] if kind == "image" else np.full((80, 80), 2.0)
            hdus.append(pyfits.ImageHDU(pixels.astype(np.float32), header))
            hdus[-1].header.update({"BAND": letter, "IMAGETYP": kind})
    pyfits.HDUList(hdus).writeto(path)
    return path


def write_psf(path, letters="grz"):
    first, *rest = (gaussian_psf(21).astype(np.float32) for _ in letters)
    hdus = [pyfits.PrimaryHDU(first), *map(pyfits.ImageHDU, rest)]
    for hdu, letter in zip(hdus, letters, strict=True):
        hdu.header["BAND"] = letter
    pyfits.HDUList(hdus).writeto(path)
    return path


def test_cutout_and_psf_in_either_order(tmp_path):
    image, psf = write_viewer(tmp_path / "a.fits"), write_psf(tmp_path / "b.fits")
    for inputs in ([image, psf], [psf, image]):
        cutout = read(inputs, pixel=(40, 40))
        assert cutout.bands == ("decam2014-g", "decam2014-r", "decam2014-z")
        assert cutout.psf.shape == (3, 21, 21) and cutout.unit == "nanomaggy"
        assert cutout.stem == "a" and np.all(cutout.ivar == 2.0)
    assert read([image], pixel=(40, 40)).psf.shape == (3, 1, 1)


def test_psf_is_found_by_its_coordinates(tmp_path):
    image = write_viewer(tmp_path / "cutout_59.1_-30.4.fits")
    write_psf(tmp_path / "copsf_12.0_3.0.fits")
    assert read([image], pixel=(40, 40)).psf.shape == (3, 1, 1)
    write_psf(tmp_path / "copsf_59.1_-30.4.fits")
    cutout = read([image], pixel=(40, 40))
    assert cutout.psf.shape == (3, 21, 21)
    assert any("found beside" in note for note in cutout.notes)


def test_north_is_bass_and_mzls(tmp_path):
    cutout = read([write_viewer(tmp_path / "n.fits", version="DR9-north")], bin=2)
    assert cutout.bands == ("BASS-g", "BASS-r", "MzLS-z")


def test_refused(tmp_path):
    def message(*paths):
        with pytest.raises(DustpostError) as caught:
            read(list(paths), pixel=(40, 40))
        return str(caught.value)

    image = write_viewer(tmp_path / "a.fits")
    assert "&invvar" in message(write_viewer(tmp_path / "b.fits", kinds=("image",)))
    assert "z is missing" in message(image, write_psf(tmp_path / "gr.fits", "gr"))
    assert "found 0 and 1" in message(write_psf(tmp_path / "psf.fits"))
    assert "BAND = 'q'" in message(write_viewer(tmp_path / "q.fits", "grq"))
    with pytest.raises(DustpostError, match="--center.*--pixel.*--bin"):
        read([image])


def test_real_decals(shared_data):
    path = shared_data / "real" / "decals_dr9_grz_59.1067_-30.4848.fits"
    with pytest.raises(DustpostError, match="256x256.*--center RA,DEC or --pixel X,Y.*--bin 4"):
        read([path])
    cutout = read([path], pixel=(127, 131))
    assert cutout.psf.shape == (3, 63, 63) and np.all(cutout.ivar > 0)
    assert np.unravel_index(np.argmax(cutout.data[1]), (64, 64)) == (32, 32)
    assert not [f for f in check_cutout(cutout) if f.level == "error"]
    cut = read([path], pixel=(239, 180))
    assert cut.padding == (0, 0, 0, 15)
    sky = cutout.wcs.pixel_to_world(32, 32)
    again = read([path], center=(sky.ra.deg, sky.dec.deg))
    np.testing.assert_array_equal(again.data, cutout.data)
