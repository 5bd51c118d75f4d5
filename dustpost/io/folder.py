"""Writing without leftovers: a file takes its final name only when it is whole."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dustpost.errors import DustpostError


def prepare_output(folder: Path) -> Path:
    """Create an output folder and make sure that files can be written into it.

    Parameters
    ----------
    folder : Path
        Created with its parents where it does not exist.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    DustpostError
        It cannot be created, is a file, or cannot be written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DustpostError(
            f"the output folder {folder} cannot be written ({error.strerror or error}): give "
            "another folder with --out"
        ) from None
    return folder


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` if the block succeeds.

    Parameters
    ----------
    path : Path
        Final name; its folder must exist.

    Yields
    ------
    Path
        Hidden name in the same folder and with the same suffix, for writers that look at it.

    Raises
    ------
    DustpostError
        The operating system refuses: no such folder, no permission, disk full.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise DustpostError(f"{path} cannot be written ({error.strerror or error})") from None
    finally:
        # missing_ok covers the success; the rest (folder gone) must not hide the first error
        with suppress(OSError):
            partial.unlink(missing_ok=True)
