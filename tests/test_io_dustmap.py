"""dustmap.fits and the folder it is written to."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits as pyfits
from astropy.wcs import WCS

from dustpost.errors import DustpostError
from dustpost.io.dustmap import write_dustmap
from dustpost.io.folder import atomic_write, prepare_output
from dustpost.io.read import read
from tests.fitsfiles import galaxy, good_hdus, tan_wcs, write

PARAMS = {"name": ["F hsc2017-g", "delta"], "mean": [1.0, np.nan], "n": [1, 2], "ok": [True, False]}
HEADER = {"SIGMA": (0.05, "diffusion level"), "dust_checkpoint": "abc", "KL": np.nan, "EBV": None}


@pytest.fixture
def small(tmp_path):
    """A 40x42 cutout, padded to 64x64 by `read`."""
    return read([write(tmp_path / "small.fits", good_hdus(galaxy(40, 42), tan_wcs()))])


def test_maps_have_the_input_s_pixels_and_sky(tmp_path, small):
    attenuation = np.arange(64 * 64, dtype=float).reshape(64, 64)
    images = {
        "A_MEAN": (attenuation, "mag"),
        "RESID": (small.data, "nJy"),
        "RHAT": (attenuation, ""),
    }
    write_dustmap(tmp_path / "dustmap.fits", images, small, PARAMS, HEADER)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dustmap.fits", "small.fits"]
    with pyfits.open(tmp_path / "dustmap.fits", checksum=True) as hdus:
        names = [hdu.name for hdu in hdus]
        assert names == ["PRIMARY", "A_MEAN", "RESID", "RHAT", "PARAMS"]
        assert hdus["A_MEAN"].data.shape == (40, 42) and hdus["RESID"].data.shape == (3, 40, 42)
        bottom, _, left, _ = small.padding
        assert hdus["A_MEAN"].data[3, 5] == attenuation[bottom + 3, left + 5]
        np.testing.assert_allclose(hdus["RESID"].data, galaxy(40, 42).astype(np.float32))
        assert hdus["A_MEAN"].header["BUNIT"] == "mag" and "BUNIT" not in hdus["RHAT"].header
        assert all("CHECKSUM" in hdu.header for hdu in hdus)
        sky = WCS(hdus["A_MEAN"].header).pixel_to_world(5, 7)
        assert sky.separation(tan_wcs().pixel_to_world(5, 7)).arcsec < 1e-5
        assert WCS(hdus["RESID"].header).celestial.has_celestial
        table = hdus["PARAMS"].data
        assert list(table["name"]) == PARAMS["name"] and list(table["n"]) == [1, 2]
        assert np.isnan(table["mean"][1]) and list(table["ok"]) == [True, False]
        header = hdus[0].header
        assert header["SIGMA"] == 0.05 and header["dust_checkpoint"] == "abc"
        assert header["KL"] == "nan" and header["EBV"] == "none"


def test_without_wcs(tmp_path, small):
    images = {"A_MEAN": (np.zeros((64, 64)), "mag")}
    write_dustmap(tmp_path / "m.fits", images, replace(small, wcs=None), PARAMS, {})
    assert "CTYPE1" not in pyfits.getheader(tmp_path / "m.fits", "A_MEAN")


def test_nothing_is_left_of_a_failure(tmp_path, small):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DustpostError, match=r"A_MEAN has shape \(10, 10\)"):
        write_dustmap(tmp_path / "m.fits", {"A_MEAN": (np.ones((10, 10)), "")}, small, PARAMS, {})
    with pytest.raises(DustpostError, match="cannot be written"):
        write_dustmap(tmp_path / "no" / "m.fits", {}, small, PARAMS, {})
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "x.txt") as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert sorted(tmp_path.iterdir()) == before


def test_atomic_write_replaces(tmp_path):
    final = tmp_path / "a.ecsv"
    final.write_text("old")
    with atomic_write(final) as partial:
        assert partial.suffix == ".ecsv" and partial.parent == tmp_path
        partial.write_text("new")
        assert final.read_text() == "old"
    assert final.read_text() == "new" and list(tmp_path.iterdir()) == [final]


def test_output_folder(tmp_path):
    assert prepare_output(tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    file = tmp_path / "file"
    file.touch()
    for bad in (file, file / "below", Path("/proc/none")):
        with pytest.raises(DustpostError, match="cannot be written.*--out"):
            prepare_output(bad)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_output_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DustpostError, match="cannot be written"):
        prepare_output(tmp_path)
    tmp_path.chmod(0o700)
