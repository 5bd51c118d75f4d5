"""Cutouts named on the command line: read, checked and worked on one after the other."""

import sys
from collections.abc import Callable
from pathlib import Path

from dustpost.errors import DustpostError


def each_galaxy(inputs: list[Path], out: Path, place: dict, work: Callable, settings) -> None:
    """Read, check and work on galaxy after galaxy; one that fails does not stop the others."""
    from dustpost.findings import format_findings
    from dustpost.io.checks import check_cutout
    from dustpost.io.folder import prepare_output
    from dustpost.io.inputs import group
    from dustpost.io.read import read

    galaxies = group(inputs)
    if len(galaxies) > 1 and (place.get("center") or place.get("pixel")):
        raise DustpostError(
            f"--center and --pixel choose one galaxy, but {len(galaxies)} were given"
        )
    failures, seen = [], {}
    for paths in galaxies:
        try:
            cutout = read(paths, **place)
            if cutout.stem in seen:
                raise DustpostError(
                    f"{paths[0]}: would be written over {seen[cutout.stem]}; rename one of them"
                )
            seen[cutout.stem] = paths[0]
            findings = check_cutout(cutout)
            print("\n".join([f"{cutout.source}:", *format_findings(findings)]))
            if any(finding.level == "error" for finding in findings):
                raise DustpostError(f"{cutout.source}: see the errors above; nothing was written")
            folder = prepare_output(Path(out) / cutout.stem)
            work(cutout, folder, findings, settings)
        except DustpostError as error:
            failures.append(error)
            if len(galaxies) > 1:
                print(f"dustpost: {error}", file=sys.stderr)
    if failures and len(galaxies) > 1:
        raise DustpostError(f"{len(failures)} of {len(galaxies)} galaxies failed, see above")
    if failures:
        raise failures[0]


def place_of(center: str | None, pixel: str | None, bin: int, redshift, ebv) -> dict:
    """Arguments of `io.read.read` that say which part of a file to take, and how."""
    return dict(
        center=_pair(center, "--center"),
        pixel=_pair(pixel, "--pixel"),
        bin=bin,
        redshift=redshift,
        ebv=ebv,
    )


def _pair(text: str | None, option: str) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise DustpostError(f"{option} {text}: expected two numbers joined by a comma") from None
    return first, second
