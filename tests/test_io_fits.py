"""The package's own FITS: round trip, and every kind of bad input as one clear sentence."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits as pyfits

from dustpost.errors import DustpostError
from dustpost.io import fits
from dustpost.io.cutout import Cutout, Truth
from dustpost.io.read import read, to_observation
from tests.fitsfiles import BANDS, WAVELENGTHS, galaxy, good_hdus, tan_wcs, write


@pytest.fixture
def cutout(tmp_path):
    return read([write(tmp_path / "good.fits", good_hdus(wcs=tan_wcs()))])


def refusal(path, **options) -> str:
    """The sentence with which `read` refuses a file; it must name the file."""
    with pytest.raises(DustpostError) as caught:
        read([path], **options)
    message = str(caught.value)
    assert path.name in message and "\n" not in message
    return message


def spoiled(tmp_path, **changes):
    """A good file with some HDUs replaced, or left out where None."""
    hdus = good_hdus()
    hdus.update(changes)
    return write(tmp_path / "bad.fits", {k: v for k, v in hdus.items() if v is not None})


def bands_table(names=BANDS, wavelengths=WAVELENGTHS, unit=None):
    columns = [pyfits.Column("name", "16A", array=list(names))]
    if wavelengths is not None:
        columns.append(pyfits.Column("wavelength", "D", unit=unit, array=list(wavelengths)))
    return pyfits.BinTableHDU.from_columns(columns, name="BANDS")


def test_read_what_was_written(tmp_path, cutout):
    assert cutout.bands == BANDS and cutout.unit == "nJy" and cutout.stem == "good"
    np.testing.assert_allclose(cutout.data, galaxy().astype(np.float32))
    assert cutout.data.dtype == cutout.ivar.dtype == cutout.psf.dtype == np.float32
    truth = Truth(
        host=np.full((64, 64), 1 / 4096, np.float32),
        attenuation=np.full((3, 64, 64), 0.3, np.float32),
        transmission=np.full((64, 64), 0.8, np.float32),
        flux=np.array([1.0, 2.0, 3.0]),
        covering_fraction=0.5,
        mean_attenuation=0.2,
        slope=-0.1,
    )
    saved = replace(cutout, truth=truth, redshift=0.02, ebv=0.05, padding=(1, 2, 3, 4))
    fits.save(tmp_path / "again.fits", saved)
    again = read([tmp_path / "again.fits"])
    for name in ("data", "ivar", "psf", "wavelength"):
        np.testing.assert_array_equal(getattr(again, name), getattr(saved, name))
    for name in ("bands", "unit", "redshift", "ebv", "padding"):
        assert getattr(again, name) == getattr(saved, name)
    for name in Truth._fields:
        np.testing.assert_array_equal(getattr(again.truth, name), getattr(truth, name))
    assert again.wcs.wcs.compare(saved.wcs.wcs, tolerance=1e-9)
    fits.save(
        tmp_path / "partial.fits",
        replace(cutout, truth=Truth(truth.host, None, truth.transmission, None, None, None, None)),
    )
    assert read([tmp_path / "partial.fits"]).truth.flux is None


def test_compressed_files(tmp_path, cutout):
    path = write(tmp_path / "plain.fits", good_hdus())
    zipped = tmp_path / "zipped.fits.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read([zipped]).data, cutout.data)
    assert read([zipped]).stem == "zipped"
    hdus = good_hdus()
    packed = pyfits.CompImageHDU(
        hdus["PRIMARY"].data, compression_type="GZIP_1", quantize_level=0.0
    )
    del hdus["PRIMARY"]
    write(tmp_path / "packed.fits.fz", {"0": pyfits.PrimaryHDU(), "1": packed, **hdus})
    np.testing.assert_array_equal(read([tmp_path / "packed.fits.fz"]).data, cutout.data)


def test_variance_and_masks(tmp_path):
    mask = np.zeros((64, 64), np.int32)
    mask[3, 5] = 4
    cube = np.zeros((3, 64, 64), np.int32)
    cube[1, 7, 9] = 1
    variance = np.full((3, 64, 64), 4.0, np.float32)
    variance[0, 0, :3] = 0, np.nan, np.inf
    for plane, masked in ((mask, (slice(None), 3, 5)), (cube, (1, 7, 9))):
        path = tmp_path / f"{plane.ndim}.fits"
        hdus = good_hdus()
        hdus["IVAR"] = pyfits.ImageHDU(variance, name="VAR")
        write(path, hdus | {"MASK": pyfits.ImageHDU(plane, name="MASK")})
        cutout = read([path])
        assert np.all(cutout.ivar[masked] == 0) and np.all(cutout.data[masked] == 0)
        assert np.all(cutout.ivar[0, 0, :3] == 0) and cutout.ivar[2, 30, 30] == 0.25
        flagged = 3 if plane.ndim == 2 else 1  # a mask (y, x) holds for all three bands
        assert np.sum(cutout.ivar == 0) == 3 + flagged
        assert any("3 pixels with NaN, infinite or zero variance" in n for n in cutout.notes)
        assert any("mask" in note for note in cutout.notes)


def test_one_nan_pixel_is_masked_with_a_note(tmp_path):
    data = galaxy()
    data[1, 30, 31] = np.nan
    cutout = read([write(tmp_path / "nan.fits", good_hdus(data))])
    assert cutout.ivar[1, 30, 31] == 0 and cutout.data[1, 30, 31] == 0
    assert np.sum(cutout.ivar == 0) == 1 and np.all(np.isfinite(cutout.data))
    assert any("1 pixel is NaN" in note for note in cutout.notes)


def test_redshift_and_extinction(tmp_path, cutout):
    assert any("redshift is unknown" in note for note in cutout.notes)
    assert any("extinction was not taken out" in note for note in cutout.notes)
    hdus = good_hdus()
    hdus["PRIMARY"].header["REDSHIFT"] = 0.1
    path = write(tmp_path / "z.fits", hdus)
    assert read([path]).redshift == 0.1
    given = read([path], redshift=0.2, ebv=0.1)
    assert given.redshift == 0.2 and any("header's 0.1" in note for note in given.notes)
    factor = given.data / cutout.data
    np.testing.assert_allclose(factor[0], 10 ** (0.4 * 0.1 * 3.22), rtol=1e-3)
    np.testing.assert_allclose(given.data**2 * given.ivar, cutout.data**2 * cutout.ivar, rtol=1e-4)
    assert given.ebv == 0.1 and any("0.1 mag" in note for note in given.notes)
    fits.save(tmp_path / "corrected.fits", given)
    assert read([tmp_path / "corrected.fits"]).ebv == 0.1
    assert "already" in refusal(tmp_path / "corrected.fits", ebv=0.1)
    for options, word in (({"redshift": -1.0}, "redshift"), ({"ebv": 99.0}, "E(B-V)")):
        with pytest.raises(DustpostError, match=word.replace("(", r"\(").replace(")", r"\)")):
            read([path], **options)
    with pytest.raises(DustpostError, match="number in mag"):
        read([path], ebv="much")
    hdus["PRIMARY"].header["REDSHIFT"] = "unknown"
    assert "REDSHIFT = 'unknown'" in refusal(write(tmp_path / "zz.fits", hdus))


def test_observation_has_the_contract_s_shapes(cutout):
    observation = to_observation(cutout)
    given = [
        part for part in observation if part is not None
    ]  # no field of host colours is asked for
    assert [part.shape for part in given] == [
        (3, 64, 64), (3, 64, 64), (3, 11, 11), (3, 16), (3, 16)
    ]  # fmt: skip
    assert all(part.dtype == np.float32 for part in given)
    assert to_observation(cutout, average=False).wavelength.shape == (3, 1)


def test_not_a_fits(tmp_path):
    text = tmp_path / "text.fits"
    text.write_text("RA DEC\n1 2\n" * 500)
    assert "cannot be read as FITS" in refusal(text)
    (tmp_path / "empty.fits").touch()
    assert "is empty" in refusal(tmp_path / "empty.fits")
    assert "no such file" in refusal(tmp_path / "absent.fits")
    assert "is a folder" in refusal(tmp_path)
    with pytest.raises(DustpostError, match="no input file"):
        read([])
    table = write(tmp_path / "table.fits", {"0": pyfits.PrimaryHDU(), "B": bands_table()})
    assert "no cutout that can be read" in refusal(table)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.95, 0.999])
def test_truncated(tmp_path, share):
    whole = write(tmp_path / "whole.fits", good_hdus()).read_bytes()
    cut = tmp_path / "cut.fits"
    cut.write_bytes(whole[: int(share * len(whole))])
    assert any(word in refusal(cut) for word in ("truncated", "cannot be read", "has no"))


def test_damaged_bytes_never_leave_as_another_exception(tmp_path):
    whole = bytearray(write(tmp_path / "whole.fits", good_hdus()).read_bytes())
    rng = np.random.default_rng(0)
    damaged = tmp_path / "damaged.fits"
    for _ in range(40):
        spoilt = whole.copy()
        for at in rng.integers(0, 2880 if rng.random() < 0.7 else len(whole), 8):
            spoilt[at] = rng.integers(0, 256)
        damaged.write_bytes(spoilt)
        try:
            read([damaged])
        except DustpostError:
            pass


def test_absurd_sizes_are_refused_before_allocation(tmp_path):
    for shape in ((3, 100_000, 100_000), (5000, 64, 64), (3, 64, 2**40)):
        header = pyfits.Header()
        header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, -32, 3
        for axis, size in enumerate(shape[::-1], 1):
            header[f"NAXIS{axis}"] = size
        path = tmp_path / "huge.fits"
        path.write_bytes(header.tostring().encode() + b"\0" * 2880)
        message = refusal(path)
        assert any(w in message for w in ("truncated", "undamaged", "cut out the galaxy"))


def test_nan_everywhere(tmp_path):
    message = refusal(write(tmp_path / "bad.fits", good_hdus(np.full((3, 64, 64), np.nan))))
    assert "HDU 0" in message and "all 12288 pixels are NaN" in message
    data = galaxy()
    data[1] = np.nan
    message = refusal(write(tmp_path / "one.fits", good_hdus(data)))
    assert "hsc2017-r has no usable pixel" in message


def test_negative_ivar(tmp_path):
    ivar = np.ones((3, 64, 64), np.float32)
    ivar[0, :2, 0] = -3
    message = refusal(spoiled(tmp_path, IVAR=pyfits.ImageHDU(ivar, name="IVAR")))
    for word in ("HDU 1 (IVAR)", "2 negative values", "-3", ">= 0"):
        assert word in message


def test_ivar_of_a_unit_that_single_precision_cannot_hold(tmp_path):
    hdus = good_hdus(galaxy() * 1e-30)
    hdus["IVAR"].data = np.full((3, 64, 64), 1e60)
    assert "1e-30" in refusal(write(tmp_path / "bad.fits", hdus))


def test_missing_ivar(tmp_path):
    message = refusal(spoiled(tmp_path, IVAR=None))
    assert "no IVAR (or VAR)" in message and "(3, 64, 64)" in message


def test_shapes_that_disagree(tmp_path):
    small = np.ones((3, 64, 60), np.float32)
    message = refusal(spoiled(tmp_path, IVAR=pyfits.ImageHDU(small, name="IVAR")))
    assert "(3, 64, 60)" in message and "(3, 64, 64)" in message
    (tmp_path / "bad.fits").unlink()
    message = refusal(spoiled(tmp_path, MASK=pyfits.ImageHDU(small[0], name="MASK")))
    assert "MASK" in message and "(64, 60)" in message
    (tmp_path / "bad.fits").unlink()
    message = refusal(spoiled(tmp_path, BANDS=bands_table(BANDS[:2], WAVELENGTHS[:2])))
    assert "2 rows" in message and "3 bands" in message


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (bands_table(("hsc2017-q", *BANDS[1:]), (np.nan, *WAVELENGTHS[1:])), ("hsc2017-q",)),
        (bands_table(wavelengths=[w * 1e4 for w in WAVELENGTHS]), ("4754", "Angstrom", "micron")),
        (bands_table(wavelengths=[w * 1e3 for w in WAVELENGTHS]), ("475.4", "nm", "micron")),
        (bands_table(wavelengths=WAVELENGTHS[::-1]), ("hsc2017-g", "0.7711")),
        (bands_table(wavelengths=WAVELENGTHS, unit="mag"), ("wavelength", "mag")),
        (bands_table(("hsc2017-g", "x", "y"), None), ("'x'", "no wavelength")),
        (None, ("no BANDS table", "hsc2017-g")),
    ],
)
def test_bad_bands(tmp_path, table, words):
    message = refusal(spoiled(tmp_path, BANDS=table))
    for word in words:
        assert word in message


def test_good_bands(tmp_path):
    angstrom = bands_table(wavelengths=[w * 1e4 for w in WAVELENGTHS], unit="Angstrom")
    np.testing.assert_allclose(read([spoiled(tmp_path, BANDS=angstrom)]).wavelength, WAVELENGTHS)
    (tmp_path / "bad.fits").unlink()
    named = read([spoiled(tmp_path, BANDS=bands_table(wavelengths=None))])
    np.testing.assert_allclose(named.wavelength, WAVELENGTHS, rtol=0.03)


def test_one_band_is_read(tmp_path):
    cutout = read([write(tmp_path / "one.fits", good_hdus(galaxy(bands=1)))])
    assert cutout.data.shape == (1, 64, 64) and cutout.bands == BANDS[:1]


def test_real_hsc_cutouts(shared_data):
    for name, psf in (("hsc_cosmos_A.fits", (5, 43, 43)), ("hsc_spiral_binned2.fits", (5, 1, 1))):
        cutout = read([shared_data / "real" / name])
        assert isinstance(cutout, Cutout) and cutout.data.shape == (5, 64, 64)
        assert cutout.psf.shape == psf and cutout.wcs is not None and cutout.unit == "57.544 nJy"


def test_radiative_transfer_galaxies_ask_for_noise(shared_data, tmp_path):
    path = shared_data / "rt" / "rt_000_0.fits"
    message = refusal(path)
    assert "no IVAR" in message and "NOISE = none" in message
    with pyfits.open(path) as hdus:
        shape = hdus[0].data.shape
        hdus.append(pyfits.ImageHDU(np.ones(shape, np.float32), name="IVAR"))
        hdus.writeto(tmp_path / "rt.fits")
    truth = read([tmp_path / "rt.fits"]).truth
    assert truth.host.sum() == pytest.approx(1.0, abs=1e-4)
    assert truth.covering_fraction == pytest.approx(0.4023, abs=1e-4)
    assert truth.attenuation.shape == shape and truth.flux.shape == shape[:1]
