"""What a check found: one sentence with its gravity, for the terminal and the report."""

from collections.abc import Iterable
from typing import NamedTuple

LEVELS = ("info", "warning", "error")


class Finding(NamedTuple):
    """One thing that a check noticed.

    Attributes
    ----------
    level : {"info", "warning", "error"}
        An error means that the result (or the input) should not be used as it is.
    code : str
        Short stable name, such as ``rhat`` or ``psf-sum``, for scripts and tests.
    message : str
        One or two sentences: what was found, in numbers, and what to do about it.
    """

    level: str
    code: str
    message: str


def worst(findings: Iterable[Finding]) -> str:
    """Level of the gravest finding; "info" where there is none."""
    return max((f.level for f in findings), key=LEVELS.index, default="info")


def format_findings(findings: Iterable[Finding]) -> list[str]:
    """One line of text per finding, gravest first: ``error   rhat: ...``."""
    ordered = sorted(findings, key=lambda f: -LEVELS.index(f.level))
    return [f"{f.level:<7} {f.code}: {f.message}" for f in ordered]
