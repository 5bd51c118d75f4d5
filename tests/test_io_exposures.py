"""One file per band, as HSC and LSST write them."""

import numpy as np
import pytest
from astropy.io import fits as pyfits

from dustpost.errors import DustpostError
from dustpost.io.exposures import BAD_PLANES
from dustpost.io.read import read
from tests.fitsfiles import galaxy, gaussian_psf, tan_wcs, write_exposure

PLANES = {"BAD": 0, "SAT": 1, "CR": 3, "DETECTED": 5, "NO_DATA": 8}


@pytest.fixture
def files(tmp_path):
    """Three HSC bands on one grid, given in no order."""
    data = galaxy()
    mask = np.zeros((64, 64), np.int32)
    mask[:10] |= 1 << PLANES["DETECTED"]
    mask[0, 0], mask[0, 1], mask[0, 2] = 1 << 1, 1 << 8, 1 << 3
    return [
        write_exposure(
            tmp_path / f"{band}.fits",
            data[i],
            np.full((64, 64), 4.0),
            mask,
            PLANES,
            FILTER=f"HSC-{band}",
            BUNIT="nJy",
            wcs=tan_wcs(),
        )
        for i, band in ((2, "I"), (0, "G"), (1, "R"))
    ]


def test_bands_are_stacked_by_wavelength(files):
    cutout = read(files)
    assert cutout.bands == ("hsc2017-g", "hsc2017-r", "hsc2017-i")
    np.testing.assert_allclose(cutout.data[:, 30:, :], galaxy()[:, 30:, :].astype(np.float32))
    assert cutout.ivar[0, 30, 30] == 0.25 and cutout.unit == "nJy" and cutout.stem == "I"
    assert cutout.wcs is not None and cutout.psf.shape == (3, 1, 1)


def test_bad_planes_are_masked_and_others_not(files):
    assert {"BAD", "SAT", "NO_DATA"} <= set(BAD_PLANES) and "CR" not in BAD_PLANES
    cutout = read(files)
    assert np.all(cutout.ivar[:, 0, :2] == 0) and np.sum(cutout.ivar == 0) == 6
    assert any("2 pixels are masked by the mask of G.fits" in note for note in cutout.notes)


def test_lsst_names_units_and_psfs(tmp_path):
    for band in "gr":
        path = write_exposure(
            tmp_path / f"{band}.fits",
            galaxy()[0],
            np.ones((64, 64)),
            BAND=band,
            INSTRUME="LSSTCam",
            FLUXMAG0=63095734448.0194,
        )
        with pyfits.open(path, mode="append") as hdus:
            side = 11 if band == "g" else 15
            hdus.append(pyfits.ImageHDU(gaussian_psf(side), name="PSF"))
    cutout = read([tmp_path / "g.fits", tmp_path / "r.fits"])
    assert cutout.bands == ("lsst2023-g", "lsst2023-r") and cutout.unit == "57.547 nJy"
    assert cutout.psf.shape == (2, 15, 15) and cutout.psf[0, 0, 0] == 0
    np.testing.assert_allclose(cutout.psf.sum(axis=(1, 2)), 1.0, rtol=1e-6)


def test_separate_psf_files(files, tmp_path):
    psfs = [tmp_path / f"psf-HSC-{band}.fits" for band in "GRI"]
    for path in psfs:
        pyfits.PrimaryHDU(gaussian_psf(11)).writeto(path)
    assert read([*psfs, *files]).psf.shape == (3, 11, 11)
    with pytest.raises(DustpostError, match="no PSF for hsc2017-i"):
        read([*files, *psfs[:2]])
    with pytest.raises(DustpostError, match="is a PSF file"):
        read(psfs[:2])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"FILTER": "q"}, ("FILTER", "'q'", "hsc2017-g")),
        ({"BUNIT": "adu"}, ("'adu'", "'nJy'", "one unit")),
        ({"wcs": tan_wcs((23.0, 25.0))}, ("3.00 pixels", "one pixel grid")),
        ({"shape": (64, 60)}, ("(64, 60)", "(64, 64)", "one pixel grid")),
        ({"variance": -1.0}, ("VARIANCE", "4096 negative")),
        ({"variance": None}, ("no VARIANCE",)),
        ({"mask": np.zeros((3, 3))}, ("MASK", "(3, 3)")),
    ],
)
def test_refused(files, tmp_path, changes, words):
    shape = changes.pop("shape", (64, 64))
    variance = changes.pop("variance", 1.0)
    header = {"FILTER": "HSC-Z", "BUNIT": "nJy", "wcs": tan_wcs()} | changes
    extra = write_exposure(
        tmp_path / "extra.fits",
        np.ones(shape),
        None if variance is None else np.full(shape, variance),
        header.pop("mask", np.zeros(shape)),
        **header,
    )
    with pytest.raises(DustpostError) as caught:
        read([*files, extra])
    for word in ("extra.fits", *words):
        assert word in str(caught.value)
