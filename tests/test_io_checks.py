"""The checks at the door: each fault is found, named with its number, and advised on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from dustpost.findings import worst
from dustpost.io.checks import check_cutout
from dustpost.io.cutout import Cutout
from dustpost.io.read import read
from dustpost.priors import spectrum
from tests.fitsfiles import BANDS, WAVELENGTHS, galaxy, gaussian_psf


def make(data=None, **changes) -> Cutout:
    data = (galaxy() if data is None else data).astype(np.float32)
    sound = Cutout(
        data=data,
        ivar=np.ones_like(data),
        psf=np.stack([gaussian_psf()] * len(data)).astype(np.float32),
        bands=BANDS[: len(data)],
        wavelength=np.array(WAVELENGTHS[: len(data)]),
        unit="nJy",
        wcs=None,
        source=Path("x.fits"),
        redshift=0.02,
    )
    return replace(sound, **changes)


def found(cutout, code):
    return [f for f in check_cutout(cutout) if f.code == code]


def test_a_sound_cutout_has_nothing_but_its_signal():
    findings = check_cutout(make())
    assert worst(findings) == "info" and {f.code for f in findings} == {"signal"}


def test_sky():
    (one, *_) = found(make(galaxy() + 1.0), "sky")
    assert one.level == "warning" and "of the pixel noise" in one.message
    (low, *_) = found(make(galaxy() - 1.0), "sky")
    assert "too deep" in low.message


def test_underestimated_noise():
    findings = found(make(galaxy(noise=1.4)), "noise")
    assert len(findings) == 3 and all("noise_inflation = 1." in f.message for f in findings)


def test_correlated_noise():
    """Noise smoothed by a Gaussian of 0.5 pixels: true large-scale inflation 1.56."""
    noise = ndimage.gaussian_filter(galaxy(peak=0), (0, 0.5, 0.5))
    findings = found(make(galaxy(noise=0) + noise / noise.std()), "noise")
    factors = [float(f.message.split("noise_inflation = ")[1].split()[0]) for f in findings]
    assert len(factors) == 3 and np.mean(factors) == pytest.approx(1.5, abs=0.15)


def test_smooth_light_is_not_taken_for_noise():
    y, x = np.indices((64, 64))
    gradient = np.broadcast_to(0.05 * (x - 32.0) + 0.02 * y, (3, 64, 64))
    sentences = [f.message for f in found(make(galaxy() + gradient), "noise")]
    assert not any("noise_inflation" in sentence for sentence in sentences)


def test_masks():
    ivar = np.ones((3, 64, 64), np.float32)
    ivar[0, 28:36, 28:36] = 0
    ivar[1, :, :25] = 0
    (core,) = found(make(ivar=ivar), "masked-core")
    assert "hsc2017-g" in core.message
    (band,) = found(make(ivar=ivar), "masked-band")
    assert "39 % of hsc2017-r" in band.message
    ivar[:, :40] = 0
    assert found(make(ivar=ivar), "masked")
    (nothing,) = found(make(ivar=0 * ivar), "masked")
    assert nothing.level == "error"


def test_faint_galaxies():
    (faint,) = found(make(galaxy(peak=0.4)), "signal")
    assert faint.level == "warning" and "equal the prior" in faint.message
    (absent,) = found(make(np.random.default_rng(2).normal(size=(3, 64, 64))), "signal")
    assert absent.level == "error" or "equal the prior" in absent.message
    data = galaxy()
    data[0] = np.random.default_rng(3).normal(size=(64, 64))
    (weak,) = found(make(data), "signal-band")
    assert "hsc2017-g" in weak.message


def test_place():
    (shifted,) = found(make(np.roll(galaxy(), 14, axis=2)), "off-centre")
    assert "--pixel" in shifted.message
    wide = galaxy(noise=0.0)[:, 22:42, 22:42]
    big = ndimage.zoom(wide, (1, 3.2, 3.2)) + galaxy(peak=0)
    (cut,) = found(make(big), "cut")
    assert "%" in cut.message


def test_bands():
    assert found(make(bands=("hsc2017-g",) * 3), "band-twice")[0].level == "error"
    assert "prior" in found(make(galaxy(bands=1)), "one-band")[0].message
    flat = galaxy()
    flat[2] = 7.0
    assert found(make(flat), "constant")[0].level == "error"
    assert "pixels of hsc2017-g" in found(make(np.minimum(galaxy(), 20.0)), "saturated")[0].message
    assert found(make(redshift=0.0), "redshift")[0].level == "info"
    assert found(make(warnings=("mended so",)), "mended")[0].level == "warning"


def test_colours_of_a_redshift_that_was_not_given():
    """An elliptical at redshift 0.5, told as one at 0, and as what it is."""
    light = galaxy(peak=1000, noise=0) / np.arange(1, 4)[:, None, None]
    data = light * elliptical(WAVELENGTHS, 0.5)[:, None, None] + galaxy(peak=0)
    (told,) = found(make(data, redshift=0.0), "colours")
    assert told.level == "warning" and "--redshift" in told.message
    best = float(told.message.split("at redshift ")[2].split()[0])
    assert best == pytest.approx(0.5, abs=0.15)
    assert not found(make(data, redshift=0.5), "colours")
    assert found(make(data, redshift=0.02), "colours")[0].level == "info"
    # where there is little light its colours are noise
    assert not found(make(0.005 * data + galaxy(peak=0), redshift=0.0), "colours")


def elliptical(wavelengths, redshift):
    """Its spectrum in f_nu, 1 at 0.62 micron."""
    rest = np.log(np.array(wavelengths) / (1 + redshift))
    return np.exp(np.interp(rest, np.log(spectrum._KNOTS), spectrum._TEMPLATES[0]))


def test_psfs():
    def psf(*stamps):
        return np.stack(stamps).astype(np.float32)

    plain = gaussian_psf()
    assert found(make(psf=np.ones((3, 1, 1))), "no-psf")
    assert found(make(psf=psf(plain, plain, 0.8 * plain)), "psf-sum")[0].level == "error"
    (apart, *_) = found(make(psf=psf(plain, plain, gaussian_psf(shift=(0.6, 0)))), "psf-shift")
    assert "false colour" in apart.message
    off = found(make(psf=psf(*[gaussian_psf(shift=(0.0, 0.3))] * 3)), "psf-centre")
    assert len(off) == 3 and "0.30 pixels off" in off[0].message
    ring = plain.copy()
    ring[0] -= 0.01
    assert found(make(psf=psf(ring / ring.sum(), plain, plain)), "psf-lobes")


def test_padding_is_not_judged():
    data, ivar = np.zeros((3, 64, 64)), np.zeros((3, 64, 64), np.float32)
    data[:, 12:52, 12:52], ivar[:, 12:52, 12:52] = galaxy(40, 40), 1.0
    findings = check_cutout(make(data, ivar=ivar, padding=(12, 12, 12, 12)))
    assert not [f for f in findings if f.code.startswith("masked")]


def test_real_hsc(shared_data):
    findings = check_cutout(read([shared_data / "real" / "hsc_cosmos_A.fits"]))
    assert worst(findings) == "warning"
    assert len([f for f in findings if f.code == "noise"]) == 5
    spiral = check_cutout(read([shared_data / "real" / "hsc_spiral_binned2.fits"]))
    assert {"no-psf", "noise-unseen", "cut"} <= {f.code for f in spiral}
