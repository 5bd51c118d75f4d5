"""dustpost simulate: dusty galaxies with their truth."""

from typing import Annotated

import typer

from dustpost.cli.options import Out


def simulate(
    out: Out,
    galaxies: Annotated[int, typer.Option(min=1, help="Galaxies.")] = 10,
    views: Annotated[int, typer.Option(min=1, help="Orientations of each.")] = 1,
    monochromatic: Annotated[
        bool, typer.Option("--monochromatic", help="Hosts of one colour.")
    ] = False,
    survey: Annotated[
        str, typer.Option(help="hsc-wide, hsc-cosmos, lsst, decals; none: no PSF and no noise.")
    ] = "hsc-wide",
    magnitude: Annotated[
        float, typer.Option(min=5, max=30, help="AB magnitude in r without dust.")
    ] = 18.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
) -> None:
    """Simulate dusty galaxies: cutouts with noise, PSF and truth, sim_<galaxy>_<view>.fits."""
    from dustpost.mock import write_suite
    from dustpost.progress import bars

    with bars() as progress:
        written = write_suite(
            out, galaxies, views, seed, survey, magnitude, monochromatic, progress
        )
    print(f"{len(written)} files written to {out}")
