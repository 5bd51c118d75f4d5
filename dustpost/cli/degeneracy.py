"""dustpost degeneracy: the ladder of covering fractions."""

from pathlib import Path
from typing import Annotated

import typer

from dustpost.cli.options import Config, FluxPrior
from dustpost.settings import read_settings


def degeneracy(
    out: Annotated[Path, typer.Option(help="Output folder; the same one resumes it.")],
    small: Annotated[bool, typer.Option("--small", help="Minutes in place of hours.")] = False,
    prior: Annotated[
        str, typer.Option(help="analytic: exact world; networks: `sample` on simulated galaxies.")
    ] = "analytic",
    galaxies: Annotated[
        int | None, typer.Option(min=1, help="Galaxies a rung; by default 1 with networks.")
    ] = None,
    flux_prior: FluxPrior = None,
    signal_to_noise: Annotated[float, typer.Option(help="Of the brightest pixel.")] = 30.0,
    depth: Annotated[
        list[float] | None, typer.Option(help="Mean attenuation, mag; by default 0.1, 0.2, 0.4.")
    ] = None,
    fraction: Annotated[
        list[float] | None, typer.Option(help="Share of the light behind dust; by default 10.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    config: Config = None,
) -> None:
    """Study the covering-fraction degeneracy: degeneracy.ecsv, cliff.ecsv, degeneracy.png."""
    from dustpost.ladder import study
    from dustpost.progress import bars

    plan = study.plan_of(
        prior,
        small,
        galaxies,
        flux_prior,
        signal_to_noise,
        seed,
        read_settings(config, {}),
        tuple(depth or ()),
        tuple(fraction or ()),
    )
    with bars() as progress:
        written = study.study(out, plan, small, progress)
    print(f"written: {', '.join(str(path) for path in written)}")
