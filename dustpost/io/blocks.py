"""A walk over a FITS file's 2880-byte blocks, before astropy is let loose on it.

Each header starts with SIMPLE or XTENSION, ends with END, and says how many bytes of data
follow (FITS standard 4.0, section 4.4.1). Where that chain breaks the file is truncated or
damaged; astropy would look for the lost END through all of the pixels, for minutes.
"""

import gzip
import re
from pathlib import Path
from typing import BinaryIO

from dustpost.errors import DustpostError

BLOCK = 2880
MAX_HEADER_BLOCKS = 200

_KEYWORD = re.compile(rb"BITPIX|NAXIS\d{0,3}|PCOUNT|GCOUNT")
_INTEGER = re.compile(rb"= *([+-]?\d+) *(?:/.*)?")


def check_blocks(path: Path) -> None:
    """Refuse a FITS file whose HDUs do not follow one another.

    Parameters
    ----------
    path : Path
        Plain or gzipped; other files are left for astropy to judge.

    Raises
    ------
    DustpostError
        Truncated or damaged.
    """
    with path.open("rb") as file:
        start = file.read(9)
        if start.startswith(b"\x1f\x8b"):
            with gzip.open(path) as unpacked:
                _walk(path, unpacked)
        elif start.startswith(b"SIMPLE  "):
            file.seek(0)
            _walk(path, file)


def _walk(path: Path, file: BinaryIO) -> None:
    index = 0
    while block := file.read(BLOCK):
        if not block.startswith((b"SIMPLE  ", b"XTENSION")):
            if not block.strip(b"\0 ") and index:
                return  # padding at the end
            raise _broken(path, index, "does not begin with a header")
        size = _data_size(_read_header(path, index, block, file))
        if size is None:
            raise _broken(path, index, "has a header whose BITPIX or NAXIS cannot be read")
        place = file.tell()
        # the last block may lack its padding, but not its last pixel
        if size and (file.seek(place + size - 1) != place + size - 1 or not file.read(1)):
            raise _broken(path, index, f"ends before its {size} bytes of data do")
        file.seek(place + -(-size // BLOCK) * BLOCK)
        index += 1


def _read_header(path: Path, index: int, block: bytes, file: BinaryIO) -> list[bytes]:
    cards = []
    for _ in range(MAX_HEADER_BLOCKS):
        new = [block[i : i + 80] for i in range(0, BLOCK, 80)]
        if not block.isascii():
            break
        cards += new
        if any(card.rstrip() == b"END" for card in new):
            return cards
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            break
    raise _broken(path, index, "has a header without END")


def _data_size(cards: list[bytes]) -> int | None:
    """Bytes of data that follow a header, None where it does not say."""
    values: dict[bytes, int] = {}
    for card in cards:
        keyword = card[:8].rstrip()
        if _KEYWORD.fullmatch(keyword):
            if not (found := _INTEGER.fullmatch(card[8:].rstrip())):
                return None
            values.setdefault(keyword, int(found[1]))
    axes = values.get(b"NAXIS")
    if axes is None or b"BITPIX" not in values or not 0 <= axes <= 999:
        return None
    if axes == 0:
        return 0
    product = 1
    for axis in range(1, axes + 1):
        length = values.get(b"NAXIS%d" % axis)
        if length is None or length < 0:
            return None
        product *= length
    groups, extra = values.get(b"GCOUNT", 1), values.get(b"PCOUNT", 0)
    size = abs(values[b"BITPIX"]) // 8 * groups * (extra + product)
    return size if size >= 0 else None


def _broken(path: Path, index: int, what: str) -> DustpostError:
    return DustpostError(
        f"{path}: HDU {index} {what}: the file is truncated or damaged, fetch it again"
    )
