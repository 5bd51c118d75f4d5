"""Ways to spoil a FITS file, as hypothesis strategies: bytes in, bytes out.

Bytes flipped, the file cut, blocks of 2880 lost, doubled or swapped, header cards with wrong
numbers or words, pixels of nan, infinity and huge size, junk inserted.
"""

from hypothesis import strategies as st

BLOCK, CARD = 2880, 80
KEYWORDS = (
    *("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "PCOUNT", "GCOUNT", "TFIELDS", "EXTEND"),
    *("BSCALE", "BZERO", "TFORM1", "TTYPE1", "TDIM1", "TNULL1", "THEAP", "EXTNAME", "XTENSION"),
    *("CTYPE1", "CRVAL1", "CRPIX1", "CD1_1", "BUNIT", "REDSHIFT", "MWEBV", "PADDING", "BAND"),
    *("IMAGETYP", "ZCMPTYPE", "ZNAXIS1", "SIMPLE", "END"),
)
VALUES = (
    *("0", "-1", "1", "3", "7", "8", "-32", "-64", "64", "65", "2880", "999", "1000"),
    *("2147483647", "-2147483648", "9223372036854775807", "99999999999999999999"),
    *("1E308", "NAN", "INF", "T", "F", "''", "'IVAR'", "'PSF'", "'image'", "'1E'", "'1PE(9)'"),
    *("'A3DTABLE'", "'abc", "1.5", "(1,2)", "'9999999999A'", "'\u00e9'", "=", ""),
)
FLOATS = tuple(
    bytes.fromhex(text)
    for text in ("7fc00000", "7f800000", "ff800000", "7f7fffff", "ff7fffff", "00000001", "80000000")
)


@st.composite
def spoilt(draw, contents: bytes) -> tuple[str, bytes]:
    """Names of one or two mutations, and the file that they leave."""
    kinds = draw(st.lists(st.sampled_from(OFTEN), min_size=1, max_size=2))
    for kind in kinds:
        contents = MUTATIONS[kind](draw, contents)
    return "+".join(kinds), contents


def _place(draw, size: int) -> int:
    return draw(st.integers(0, max(size - 1, 0)))


def flip(draw, data: bytes) -> bytes:
    """A few bytes anywhere."""
    spoiled = bytearray(data)
    for _ in range(draw(st.integers(1, 30)) if data else 0):
        spoiled[_place(draw, len(data))] = draw(st.integers(0, 255))
    return bytes(spoiled)


def cut(draw, data: bytes) -> bytes:
    """The file ends too early, or at a block's end."""
    end = _place(draw, len(data))
    return data[: end // BLOCK * BLOCK] if draw(st.booleans()) else data[:end]


def blocks(draw, data: bytes) -> bytes:
    """A block lost, doubled, or swapped with another."""
    parts = [data[i : i + BLOCK] for i in range(0, len(data), BLOCK)]
    if not parts:
        return data
    here, there = _place(draw, len(parts)), _place(draw, len(parts))
    match draw(st.sampled_from(("lose", "double", "swap"))):
        case "lose":
            del parts[here]
        case "double":
            parts.insert(there, parts[here])
        case "swap":
            parts[here], parts[there] = parts[there], parts[here]
    return b"".join(parts)


def card(draw, data: bytes) -> bytes:
    """A header card with another value, at one of the places where it stands."""
    keyword = draw(st.sampled_from(KEYWORDS)).ljust(8).encode()
    places = [i for i in range(0, len(data), CARD) if data.startswith(keyword, i)]
    if not places:
        return data
    place = draw(st.sampled_from(places))
    text = keyword + b"= " + draw(st.sampled_from(VALUES)).encode("latin-1").rjust(20)
    return data[:place] + text.ljust(CARD)[:CARD] + data[place + CARD :]


def pixels(draw, data: bytes) -> bytes:
    """A run of nan, infinite, huge or tiny float32."""
    start = _place(draw, len(data)) // 4 * 4
    run = draw(st.sampled_from(FLOATS)) * draw(st.sampled_from((1, 100, 5000)))
    return data[:start] + run[: len(data) - start] + data[start + len(run) :]


def junk(draw, data: bytes) -> bytes:
    """Bytes inserted."""
    place = _place(draw, len(data) + 1)
    return data[:place] + draw(st.binary(min_size=1, max_size=200)) + data[place:]


MUTATIONS = {f.__name__: f for f in (flip, cut, blocks, card, pixels, junk)}
# what leaves the chain of blocks whole gets past the first check, and comes more often
OFTEN = ("blocks", "cut", "junk", *("card", "flip", "pixels") * 3)
