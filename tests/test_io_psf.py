"""PSFs: what is mended with a note, and what is refused."""

import numpy as np
import pytest
from astropy.io import fits as pyfits

from dustpost.errors import DustpostError
from dustpost.io.read import read
from tests.fitsfiles import gaussian_psf, good_hdus, write


def with_psf(tmp_path, psf):
    hdus = good_hdus() | {"PSF": pyfits.ImageHDU(np.asarray(psf, np.float32), name="PSF")}
    return write(tmp_path / "psf.fits", hdus)


def three(**options):
    return np.stack([gaussian_psf(**options)] * 3)


def test_one_psf_for_all_bands(tmp_path):
    cutout = read([with_psf(tmp_path, gaussian_psf(9))])
    assert cutout.psf.shape == (3, 9, 9)
    assert any("one PSF is used for all 3 bands" in note for note in cutout.notes)


def test_no_psf(tmp_path):
    hdus = good_hdus()
    del hdus["PSF"]
    cutout = read([write(tmp_path / "none.fits", hdus)])
    np.testing.assert_array_equal(cutout.psf, np.ones((3, 1, 1)))


@pytest.mark.parametrize(("factor", "warned"), [(0.97, False), (1.0, None), (5.0, True)])
def test_sums_are_normalised_and_said(tmp_path, factor, warned):
    cutout = read([with_psf(tmp_path, factor * three())])
    np.testing.assert_allclose(cutout.psf.sum(axis=(1, 2)), 1.0, rtol=1e-6)
    said = [text for text in cutout.notes if "summed to" in text]
    assert bool(cutout.warnings) == bool(warned) and bool(said) == (warned is False)
    if warned:
        assert "summed to 5" in cutout.warnings[0]


def test_large_psf_is_cropped_where_that_loses_little(tmp_path):
    cutout = read([with_psf(tmp_path, three(side=71, width=3.0))])
    assert cutout.psf.shape == (3, 63, 63)
    assert any("cropped from 71x71 to 63x63" in note for note in cutout.notes)
    np.testing.assert_allclose(cutout.psf.sum(axis=(1, 2)), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("psf", "words"),
    [
        (three(side=12), ("12x12", "odd", "11x11")),
        (np.zeros((3, 11, 11)), ("hsc2017-g", "all zero")),
        (np.full((3, 11, 11), np.nan), ("121 NaN", "hsc2017-g")),
        (-three(), ("sums to -1",)),
        (three()[:2], ("2 bands", "has 3", "hsc2017-r")),
        (np.full((3, 101, 101), 1e-4), ("101x101", "larger than the 64x64 image", "%")),
        (np.ones(11), ("HDU 2 (PSF)", "2-D or 3-D")),
    ],
)
def test_refused(tmp_path, psf, words):
    with pytest.raises(DustpostError) as caught:
        read([with_psf(tmp_path, psf)])
    for word in ("psf.fits", *words):
        assert word in str(caught.value)
