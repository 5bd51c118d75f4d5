"""Which speclite filter a survey means: from FITS headers and file names.

Surveys write "HSC-G", "g DECam SDSS c0001 4720.0 1520.0", "r_03" or plain "i" into FILTER,
PHYSICAL_FILTER or BAND; a plain letter needs the survey, from INSTRUME, TELESCOP or the
file's name.
"""

import re

from dustpost.bands import filter_names
from dustpost.io.fitsfile import FitsFile

KEYS = ("FILTER", "FILTER01", "PHYSICAL_FILTER", "BAND")

SURVEYS = {
    "hsc": "hsc2017",
    "hyper": "hsc2017",
    "decam": "decam2014",
    "lsst": "lsst2023",
    "sdss": "sdss2010",
    "pan-starrs": "panstarrs",
    "ps1": "panstarrs",
    "gpc1": "panstarrs",
    "euclid": "Euclid",
    "megacam": "cfht_megacam",
}


def find_filter(file: FitsFile, index: int) -> str:
    """Speclite name of the band of a one-band file.

    Parameters
    ----------
    file : FitsFile
    index : int
        HDU of the image; the primary's header is looked at as well.

    Returns
    -------
    str

    Raises
    ------
    DustpostError
        Neither header nor file name says it.
    """
    headers = dict.fromkeys((index, 0))
    values = [str(file.value(i, key) or "") for key in KEYS for i in headers]
    hints = " ".join(str(file.value(i, k) or "") for k in ("INSTRUME", "TELESCOP") for i in headers)
    stem = file.path.name.split(".fits")[0]
    group = next((g for s, g in SURVEYS.items() if s in f"{hints} {stem}".lower()), None)
    # words of the file name come last: "cutout-HSC-G-9813" and "lsst_r_cutout"
    words = [f"HSC-{m}" for m in re.findall(r"HSC-([A-Z]\d?)(?![A-Za-z])", stem)]
    words += re.split(r"[_.\s]|-(?=\D)", stem) if group else []
    for value in [v.strip() for v in values if v.strip()] + [stem] + words:
        if name := _match(value, group):
            return name
    found = ", ".join(repr(v) for v in values if v) or "no FILTER"
    raise file.error(
        f"the band cannot be told (the header says {found}): set FILTER to a filter name such as "
        "hsc2017-g, or put it into the file name",
        index,
    )


def _match(value: str, group: str | None) -> str | None:
    """Filter name meant by one header value or word, None where it is none."""
    known = filter_names()
    if value in known:
        return value
    inside = [name for name in known if re.search(rf"(?<![\w-]){name}(?![\w])", value)]
    if inside:
        return max(inside, key=len)
    if found := re.fullmatch(r"HSC-([GRIZY])(2?)", value):
        return f"hsc2017-{found[1].lower()}{found[2]}"
    if found := re.match(r"([ugrizY]) DECam", value):
        return f"decam2014-{found[1]}"
    found = re.fullmatch(r"(?:NISP_|NIR_)?([A-Za-z]+2?)(_\d+)?", value)
    if group is None or found is None:
        return None
    letter = found[1]
    for candidate in (letter, letter.lower(), letter.upper()):
        if f"{group}-{candidate}" in known:
            return f"{group}-{candidate}"
    return None
