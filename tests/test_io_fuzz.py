"""Malformed FITS: one sentence or a cutout, no other exception, no hang, little memory.

Forty files in every run of the tests; 500 with `pytest -m slow`, and the same with counts by
`python -m benchmarks.malformed`.
"""

import io
import signal
import tracemalloc
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dustpost.errors import DustpostError
from dustpost.io.checks import check_cutout
from dustpost.io.read import read
from tests.fitsfiles import galaxy, good_hdus, tan_wcs, write, write_exposure
from tests.mutations import spoilt

SECONDS = 20
MEMORY = 2**30  # bytes
FEW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MANY = settings(FEW, max_examples=500)


@contextmanager
def watched():
    """Fail where the block takes too long or too much memory."""

    def late(number, frame):
        raise AssertionError(f"still reading after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(path: Path) -> str:
    """Read a file as the command line does: "" where it can be read, else the sentence."""
    try:
        with watched():
            cutout = read([path])
            check_cutout(cutout)
    except DustpostError as error:
        sentence = str(error)
        assert sentence.strip() and "\n" not in sentence
        assert str(path) in sentence or path.name in sentence
        return sentence
    assert cutout.data.shape[1:] == (64, 64)
    assert np.isfinite(cutout.data).all() and np.isfinite(cutout.ivar).all()
    assert (cutout.ivar >= 0).all() and np.isfinite(cutout.psf).all()
    return ""


@cache
def sources(folder: Path, data: Path | None = None) -> list[bytes]:
    """Sound files of all kinds that are read; with the example data those of it too."""
    paths = [write(folder / "own.fits", good_hdus(wcs=tan_wcs()))]
    plane = galaxy(bands=1)[0]
    planes = np.ones_like(plane), np.zeros_like(plane), {"BAD": 0}
    paths.append(write_exposure(folder / "exposure.fits", plane, *planes, FILTER="HSC-I"))
    paths.append(Path(str(resources.files("dustpost") / "data" / "demo.fits")))
    if data is not None:
        paths += sorted(data.glob("real/hsc*.fits"))
    sound = [path.read_bytes() for path in paths]
    if data is not None:
        sound += [_boxed(path) for path in sorted(data.glob("real/decals*grz*.fits"))]
        sound += [_weighted(path) for path in sorted(data.glob("rt/*.fits"))[:8]]
    return sound


def _boxed(path: Path) -> bytes:
    """A Legacy Survey cutout's middle 64x64 pixels, header and all."""
    buffer = io.BytesIO()
    with fits.open(path) as hdus:
        for hdu in hdus:
            if hdu.header["NAXIS"] == 2:
                hdu.data = hdu.data[99:163, 95:159]
        hdus.writeto(buffer)
    return buffer.getvalue()


def _weighted(path: Path) -> bytes:
    """A noise-free radiative-transfer cutout with the weight that it lacks."""
    buffer = io.BytesIO()
    with fits.open(path) as hdus:
        noise = 0.01 * hdus[0].data.max()
        ivar = np.full(hdus[0].data.shape, noise**-2.0, np.float32)
        hdus.append(fits.ImageHDU(ivar, name="IVAR"))
        hdus.writeto(buffer)
    return buffer.getvalue()


def check_one(path: Path, given_data: st.DataObject, choices: list[bytes]) -> None:
    contents = given_data.draw(st.sampled_from(choices))
    _, damaged = given_data.draw(spoilt(contents))
    path.write_bytes(damaged)
    attempt(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("malformed")


def test_sound_files_are_read(folder):
    for contents in sources(folder):
        path = folder / "sound.fits"
        path.write_bytes(contents)
        assert attempt(path) == ""


def test_forty_malformed_files(folder):
    choices = sources(folder)

    @FEW
    @given(st.data())
    def one(data):
        check_one(folder / "malformed.fits", data, choices)

    one()
    assert {p.name for p in folder.iterdir()} <= {
        *("own.fits", "exposure.fits", "sound.fits", "malformed.fits")
    }


@pytest.mark.slow
def test_five_hundred_malformed_files(folder, shared_data):
    choices = sources(folder, shared_data)
    for contents in choices:
        (folder / "sound.fits").write_bytes(contents)
        assert attempt(folder / "sound.fits") == ""

    @MANY
    @given(st.data())
    def one(data):
        check_one(folder / "malformed.fits", data, choices)

    one()
