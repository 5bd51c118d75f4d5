"""Boxes, binning, padding: fluxes, weights, and where the pixels lie on the sky."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, Sip

from dustpost.errors import DustpostError
from dustpost.io.box import take_box
from dustpost.io.cutout import Cutout, Truth
from dustpost.io.psf import bin_psf
from tests.fitsfiles import BANDS, WAVELENGTHS, galaxy, gaussian_psf, tan_wcs


def make(height, width, wcs=None, truth=None) -> Cutout:
    data = galaxy(height, width).astype(np.float32)
    return Cutout(
        data=data,
        ivar=np.full_like(data, 0.5),
        psf=np.stack([gaussian_psf()] * 3).astype(np.float32),
        bands=BANDS,
        wavelength=np.array(WAVELENGTHS),
        unit="nJy",
        wcs=tan_wcs() if wcs is None else wcs,
        source=Path("input.fits"),
        truth=truth,
    )


def sky(wcs: WCS, x, y) -> SkyCoord:
    return wcs.pixel_to_world(x, y)


@pytest.mark.parametrize("matrix", ["pc", "cd"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_sky_of_a_box(matrix, n):
    """The centre of pixel X of the box is the centre of the pixels it was summed from."""
    cutout = make(200, 230, tan_wcs((100.3, 90.1), matrix=matrix))
    box = take_box(cutout, pixel=(110.0, 95.0), bin=n)
    x0, y0 = 110 - 32 * n, 95 - 32 * n
    new_x, new_y = np.array([0, 63, 17, 32]), np.array([0, 5, 63, 31])
    old = sky(cutout.wcs, x0 + n * new_x + (n - 1) / 2, y0 + n * new_y + (n - 1) / 2)
    assert np.all(sky(box.wcs, new_x, new_y).separation(old).arcsec < 1e-5)
    scale = np.sqrt(np.linalg.det(box.wcs.pixel_scale_matrix) * -1) * 3600
    assert scale == pytest.approx(0.168 * n, rel=1e-6)


def test_sky_with_distortions():
    wcs = tan_wcs((100.0, 100.0))
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a = np.zeros((3, 3))
    a[2, 0], a[1, 1] = 2e-5, -1e-5
    wcs.sip = Sip(a, a.T, None, None, wcs.wcs.crpix)
    box = take_box(make(200, 200, wcs), pixel=(140, 60))
    x, y = np.array([0, 63, 32]), np.array([0, 10, 32])
    assert not box.wcs.has_distortion
    apart = sky(box.wcs, x, y).separation(sky(wcs, x + 108, y + 28)).arcsec / 0.168
    assert np.all(apart < 0.05) and apart[2] < 1e-3


def test_center_is_ra_and_dec():
    cutout = make(150, 160)
    ra, dec = cutout.wcs.wcs_pix2world(90, 70, 0)
    by_sky = take_box(cutout, center=(float(ra), float(dec)))
    by_pixel = take_box(cutout, pixel=(90, 70))
    np.testing.assert_array_equal(by_sky.data, by_pixel.data)
    np.testing.assert_array_equal(by_pixel.data, cutout.data[:, 38:102, 58:122])
    assert by_pixel.padding == (0, 0, 0, 0)


def test_binning_sums_flux_and_variance():
    cutout = make(128, 128)
    ivar = cutout.ivar.copy()
    ivar[1, 0, 1] = 0
    box = take_box(replace(cutout, ivar=ivar), bin=2)
    assert box.data.shape == (3, 64, 64)
    np.testing.assert_allclose(box.data[0, 5, 7], cutout.data[0, 10:12, 14:16].sum(), rtol=1e-5)
    assert box.ivar[0, 5, 7] == pytest.approx(0.5 / 4)
    assert box.ivar[1, 0, 0] == 0 and box.data[1, 0, 0] == 0 and np.sum(box.ivar == 0) == 1
    assert any("2x2 pixels were summed" in note for note in box.notes)


def test_binned_psf():
    """Exact for a scene that is flat over the new pixels; widths add as variances."""
    psf = np.stack([gaussian_psf(21, 2.0)])
    for n in (2, 3):
        binned = bin_psf(psf, n)
        side = binned.shape[-1]
        assert side % 2 == 1 and binned.sum() == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(binned, binned[:, ::-1, ::-1], atol=1e-7)
        offset = np.arange(side) - side // 2
        variance = np.sum(binned[0].sum(axis=0) * offset**2) * n**2
        assert variance == pytest.approx(4.0 + (n**2 - 1) / 6, rel=1e-3)
    coarse = np.random.default_rng(0).random((9, 9))
    fine = np.kron(coarse, np.ones((2, 2))) / 4
    blurred = np.zeros_like(fine)
    for y, x in np.ndindex(21, 21):
        blurred += psf[0, y, x] * np.roll(fine, (y - 10, x - 10), (0, 1))
    expected = blurred.reshape(9, 2, 9, 2).sum(axis=(1, 3))
    binned = bin_psf(psf, 2)[0]
    half = binned.shape[0] // 2
    ours = sum(
        binned[y, x] * np.roll(coarse, (y - half, x - half), (0, 1))
        for y, x in np.ndindex(*binned.shape)
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_small_cutouts_are_padded_with_zero_weight():
    truth = Truth(np.ones((40, 41)), np.ones((3, 40, 41)), np.ones((40, 41)), None, 0.1, 0.2, 0.3)
    cutout = make(40, 41, truth=truth)
    box = take_box(cutout)
    bottom, top, left, right = box.padding
    assert (bottom + top, left + right) == (24, 23)
    inner = (slice(None), slice(bottom, 64 - top), slice(left, 64 - right))
    np.testing.assert_array_equal(box.data[inner], cutout.data)
    assert np.sum(box.ivar > 0) == cutout.data.size and np.sum(box.data != 0) <= cutout.data.size
    assert sky(box.wcs, left, bottom).separation(sky(cutout.wcs, 0, 0)).arcsec < 1e-5
    assert box.truth.host.shape == (64, 64) and box.truth.host.sum() == 40 * 41
    assert box.truth.transmission[0, 0] == 1 and box.truth.attenuation[0, 0, 0] == 0
    assert any("padded to 64x64" in note for note in box.notes)


def test_box_over_the_edge():
    cutout = make(100, 100)
    box = take_box(cutout, pixel=(95, 4))
    assert box.padding == (28, 0, 0, 27)
    assert np.all(box.ivar[:, :28] == 0) and np.all(box.ivar[:, 28:, :37] > 0)
    odd = take_box(make(129, 128), bin=2)
    assert odd.padding == (0, 0, 0, 0) and np.all(odd.ivar > 0)


def test_a_cut_truth_is_left_out():
    truth = Truth(np.ones((80, 80)), None, np.ones((80, 80)), None, None, None, None)
    box = take_box(make(80, 80, truth=truth), pixel=(40, 40))
    assert box.truth is None and any("truth" in note for note in box.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ("256x250", "--center", "--pixel", "--bin 4")),
        ({"bin": 2}, ("--center", "--pixel", "--bin 4")),
        ({"pixel": (300, 20)}, ("--pixel 300,20", "249,255", "outside")),
        ({"center": (10.0, 10.0)}, ("--center 10,10", "outside", "around --center 150.")),
        ({"center": (150.1, 2.2), "pixel": (1, 1)}, ("choose one",)),
        ({"bin": 0}, ("--bin is 0",)),
        ({"bin": 1.5}, ("--bin is 1.5",)),
        ({"pixel": (np.nan, 1.0)}, ("outside",)),
    ],
)
def test_refused_boxes(options, words):
    with pytest.raises(DustpostError) as caught:
        take_box(make(256, 250), **options)
    for word in words:
        assert word in str(caught.value)


def test_center_needs_a_wcs():
    cutout = replace(make(100, 100), wcs=None)
    with pytest.raises(DustpostError, match="no celestial WCS.*--pixel"):
        take_box(cutout, center=(150.1, 2.2))
    assert take_box(cutout, pixel=(50, 50)).wcs is None
