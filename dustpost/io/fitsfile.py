"""A FITS file opened with suspicion: every failure is one sentence that names file and HDU.

The only place that calls astropy.io.fits for reading. Sizes are checked in the headers
before pixels are read, and what astropy raises or warns of (not a FITS, truncated, cut-off
tables) leaves as `DustpostError`. Compressed files (.gz, .fz, .bz2) are read as astropy
reads them.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from dustpost.errors import DustpostError
from dustpost.io.blocks import check_blocks

MAX_SIDE = 8192
"""Largest image side in pixels."""

MAX_BANDS = 64
"""Largest number of planes in a cube."""

MAX_PIXELS = 2**27
"""Largest number of pixels in one HDU (half a GiB in float32)."""

MAX_ROWS = 10_000
"""Largest number of table rows that is read."""


class FitsFile:
    """One open FITS file; indices count HDUs from 0, the primary.

    Parameters
    ----------
    path : Path
        Named in every error.
    hdus : astropy.io.fits.HDUList
    """

    def __init__(self, path: Path, hdus: fits.HDUList):
        self.path = path
        self._hdus = hdus

    def __len__(self) -> int:
        return len(self._hdus)

    def error(self, message: str, index: int | None = None) -> DustpostError:
        """The exception to raise: `message` after the file's and the HDU's name."""
        where = f"{self.path}" if index is None else f"{self.path}, HDU {self.label(index)}"
        return DustpostError(f"{where}: {message}")

    def name(self, index: int) -> str:
        """EXTNAME, or EXTTYPE as in older HSC cutouts, in capitals; "" where neither is."""
        try:
            header = self.header(index)
            return str(header.get("EXTNAME") or header.get("EXTTYPE") or "").strip().upper()
        except Exception:  # a name that cannot be parsed is no name
            return ""

    def label(self, index: int) -> str:
        """How a person finds this HDU: its number and its name."""
        name = self.name(index) or ("primary" if index == 0 else "")
        return f"{index} ({name})" if name else f"{index}"

    def find(self, *names: str) -> int | None:
        """Index of the first HDU with one of these names, None where there is none."""
        for name in names:
            for index in range(len(self)):
                if self.name(index) == name:
                    return index
        return None

    def header(self, index: int = 0) -> fits.Header:
        """Header of an HDU."""
        return self._hdus[index].header

    def value(self, index: int, key: str) -> object:
        """A header value; None where the key is absent or its value undefined.

        Raises
        ------
        DustpostError
            The card cannot be parsed.
        """
        try:
            value = self.header(index).get(key)
        except Exception as error:  # broken cards fail in many ways
            raise self.error(f"keyword {key} cannot be read ({_first(error)})", index) from None
        return None if isinstance(value, fits.card.Undefined) else value

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of an image HDU in numpy's order, from its header; () if empty or a table."""
        hdu = self._hdus[index]
        try:
            # an HDU whose header is damaged may have no shape at all
            return tuple(getattr(hdu, "shape", None) or ()) if hdu.is_image else ()
        except Exception as error:  # broken cards fail in many ways
            raise self.error(f"its header cannot be read ({_first(error)})", index) from None

    def image(self, index: int, ndim: tuple[int, ...] = (2, 3), dtype=np.float32) -> np.ndarray:
        """Pixels of an image HDU.

        Parameters
        ----------
        index : int
        ndim : tuple of int
            Allowed numbers of axes.
        dtype : numpy dtype
            Native type of the result.

        Raises
        ------
        DustpostError
            No image, wrong number of axes, absurd size, or unreadable pixels.
        """
        shape = self.shape(index)
        if len(shape) not in ndim:
            wanted = " or ".join(f"{n}-D" for n in ndim)
            raise self.error(f"has shape {shape}, expected a {wanted} image", index)
        if (
            max(shape[-2:]) > MAX_SIDE
            or int(np.prod(shape[:-2], dtype=object)) > MAX_BANDS
            or int(np.prod(shape, dtype=object)) > MAX_PIXELS
        ):
            raise self.error(
                f"has shape {shape}, more than {MAX_BANDS} bands, {MAX_SIDE} pixels a side or "
                f"{MAX_PIXELS} pixels in all: cut out the galaxy first",
                index,
            )
        with self._guard("pixels", index):
            data = np.asarray(self._hdus[index].data)
            if data.shape != shape:
                raise ValueError(f"{data.shape} instead of {shape}")
            # overflow (a float64 of 1e300) becomes infinite, and is masked as such later
            with np.errstate(over="ignore", invalid="ignore"):
                return data.astype(dtype)

    def column(self, index: int, name: str) -> tuple[np.ndarray, str] | None:
        """One column of a table HDU with its unit, None where there is no such column.

        Parameters
        ----------
        index : int
        name : str
            Column name, in any case.

        Raises
        ------
        DustpostError
            The HDU is no table, or its rows cannot be read.
        """
        hdu = self._hdus[index]
        if not isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
            raise self.error("is an image, expected a table", index)
        if int(hdu.header.get("NAXIS2", 0)) > MAX_ROWS:
            raise self.error(f"has more than {MAX_ROWS} rows", index)
        with self._guard("table", index):
            names = {n.lower(): n for n in hdu.columns.names}
            if name.lower() not in names:
                return None
            column = hdu.columns[names[name.lower()]]
            return np.array(hdu.data[column.name]), (column.unit or "").strip()

    def celestial(self, index: int) -> WCS | None:
        """Celestial part of an HDU's WCS; None where there is none or it is unusable."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                wcs = WCS(self.header(index)).celestial
                if wcs.naxis != 2 or not wcs.has_celestial:
                    return None
                back = wcs.world_to_pixel(wcs.pixel_to_world(1.0, 2.0))
                usable = np.allclose(back, (1.0, 2.0), atol=0.01)
            except Exception:  # broken headers fail in many ways
                return None
        return wcs if usable else None

    @contextmanager
    def _guard(self, what: str, index: int) -> Iterator[None]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            except DustpostError:
                raise
            except Exception as error:  # so do damaged pixels
                raise self.error(
                    f"the {what} cannot be read ({_first(error)}): the file is truncated or "
                    "damaged, fetch it again",
                    index,
                ) from None
        self._refuse_truncation(caught)

    def _refuse_truncation(self, caught: list[warnings.WarningMessage]) -> None:
        for warning in caught:
            if "truncated" in str(warning.message):
                raise self.error(
                    f"is truncated ({_first(warning.message)}), fetch it again"
                ) from None


@contextmanager
def open_fits(path: Path) -> Iterator[FitsFile]:
    """Open a FITS file for reading, or say in one sentence why that cannot be done.

    Parameters
    ----------
    path : Path

    Yields
    ------
    FitsFile

    Raises
    ------
    DustpostError
        Missing file, folder, empty file, not a FITS, truncated.
    """
    if not path.exists():
        raise DustpostError(f"{path}: no such file")
    if path.is_dir():
        raise DustpostError(f"{path} is a folder, expected a FITS file")
    with ExitStack() as stack:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if path.stat().st_size == 0:
                    raise DustpostError(f"{path} is empty, expected a FITS file")
                check_blocks(path)
                # opened here, for astropy leaves files open that it cannot parse
                handle = stack.enter_context(path.open("rb"))
                hdus = fits.open(handle, memmap=False, lazy_load_hdus=False)
                stack.callback(hdus.close)
            except DustpostError:
                raise
            except Exception as error:  # files that are no FITS fail in many ways
                raise DustpostError(
                    f"{path} cannot be read as FITS ({_first(error)}): expected a FITS cutout, "
                    "whole and undamaged"
                ) from None
        file = FitsFile(path, hdus)
        file._refuse_truncation(caught)
        yield file


def _first(error: object) -> str:
    """First line of a message, shortened to fit in a sentence."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return text if len(text) < 120 else text[:117] + "..."
