"""Surveys: their noise detects what they say they detect."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.io import fits

from dustpost.bands import effective_wavelength
from dustpost.errors import DustpostError
from dustpost.simulate.survey import SURVEYS, get_survey, noise_area, noise_sd, point_spread


@pytest.mark.parametrize("name", SURVEYS)
def test_tables_are_whole(name):
    """As many widths and depths as bands, all of them filters of speclite, blue to red."""
    survey = get_survey(name)
    assert len(survey.bands) == len(survey.fwhm) == len(survey.depth)
    assert np.all(np.diff([effective_wavelength(band) for band in survey.bands]) > 0)
    assert survey.source
    psf = point_spread(survey)
    np.testing.assert_allclose(psf.sum(axis=(1, 2)), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", SURVEYS)
def test_half_maximum_is_where_it_should_be(name):
    """Half the width from the middle, the PSF has fallen to half."""
    survey = get_survey(name)
    for stamp, fwhm in zip(np.asarray(point_spread(survey)), survey.fwhm, strict=True):
        radius = np.arange(22)
        profile = stamp[21, 21:] / stamp[21, 21]
        half = np.interp(-0.5, -profile, radius)
        assert 2 * half * survey.pixel_scale == pytest.approx(fwhm, rel=0.05)


def test_area_of_known_shapes():
    """A top hat's is its area, a Gaussian's 4 pi sigma^2."""
    hat = np.zeros((1, 9, 9))
    hat[0, 2:5, 3:7] = 2.0
    assert noise_area(hat)[0] == pytest.approx(12.0)
    axis = np.arange(-30, 31)
    bell = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / 3.0**2)[None]
    assert noise_area(bell)[0] == pytest.approx(4 * np.pi * 9, rel=1e-6)


@pytest.mark.parametrize("name", ["hsc-wide", "decals"])
def test_a_source_at_the_depth_is_found_at_five_sigma(name):
    """Fit the PSF to a thousand exposures of a star of magnitude m_5."""
    survey = get_survey(name)
    psf = np.asarray(point_spread(survey), float)
    noise = noise_sd(survey)
    flux = 10 ** (0.4 * (31.4 - np.asarray(survey.depth)))
    sky = np.asarray(jax.random.normal(jax.random.key(0), (1000, *psf.shape)))
    data = flux[:, None, None] * psf + noise[:, None, None] * sky
    fitted = np.einsum("nbyx,byx->nb", data, psf) / (psf**2).sum(axis=(1, 2))
    np.testing.assert_allclose(fitted.mean(axis=0), flux, rtol=0.02)
    np.testing.assert_allclose(flux / fitted.std(axis=0), 5.0, rtol=0.1)


def test_units():
    """A nanomaggie (22.5) is 3631 nJy (31.4)."""
    survey = get_survey("decals")
    ratio = noise_sd(survey) / noise_sd(survey, zero_point=22.5)
    np.testing.assert_allclose(ratio, 3631, rtol=1e-3)


def test_cosmos_depths_are_those_of_the_cutout(shared_data):
    """The table's numbers, measured again on the real variances and PSFs."""
    with fits.open(shared_data / "real" / "hsc_cosmos_A.fits") as hdus:
        ivar = np.asarray(hdus["IVAR"].data, float)
        psf = np.asarray(hdus["PSF"].data, float)
    noise = np.array([np.median(plane[plane > 0]) ** -0.5 for plane in ivar])
    depth = 27.0 - 2.5 * np.log10(5 * noise * np.sqrt(noise_area(psf)))
    np.testing.assert_allclose(depth, get_survey("hsc-cosmos").depth, atol=0.06)


def test_unknown_survey():
    with pytest.raises(DustpostError, match="hsc-wide"):
        get_survey("hubble")


def test_sharper_is_fainter():
    """At one depth, a wider PSF needs less noise."""
    survey = get_survey("lsst")
    wider = survey._replace(fwhm=tuple(1.5 * w for w in survey.fwhm))
    assert jnp.all(noise_sd(wider) < noise_sd(survey))
