"""dustpost modes: how many solutions a galaxy has, and their weights."""

from pathlib import Path
from typing import Annotated

import typer


def modes(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="As for `sample`.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Output folder; each galaxy gets DIR/<stem>/.")],
    particles: Annotated[
        int, typer.Option(min=16, help="Particles of each run; 1000 for weights to 0.03.")
    ] = 256,
    runs: Annotated[int, typer.Option(min=1, help="Runs, to see whether they agree.")] = 2,
    flux_prior: Annotated[str | None, typer.Option(help="colours, flat.")] = None,
    redshift: Annotated[
        float | None, typer.Option(help="Overrides REDSHIFT in the header.")
    ] = None,
    ebv: Annotated[
        str | None, typer.Option(help="Milky Way E(B-V) in mag to take out, or 'sfd'.")
    ] = None,
    center: Annotated[
        str | None, typer.Option(metavar="RA,DEC", help="Centre of the 64x64 box, degrees.")
    ] = None,
    pixel: Annotated[
        str | None, typer.Option(metavar="X,Y", help="Centre of the box in pixels from 0.")
    ] = None,
    bin: Annotated[int, typer.Option(min=1, help="Pixels summed into one on each axis.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML with any of the settings of `sample`.")
    ] = None,
) -> None:
    """Count the solutions and weigh them, from the prior and not from starts: modes.ecsv."""
    from dustpost import cli

    def work(cutout, folder, findings, settings):
        import jax

        from dustpost import multimodal
        from dustpost.progress import bars
        from dustpost.sample import build_target

        target = build_target(cutout, settings)
        key = jax.random.key(settings.seed)
        with bars() as progress:
            table = multimodal.count(key, target, particles, runs, settings.leapfrog, progress)
        print(multimodal.sentence(table))
        print(f"written: {multimodal.write(folder, table)}")

    settings = cli._settings(config, dict(flux_prior=flux_prior, seed=seed))
    cli._each_galaxy(inputs, out, cli._place(center, pixel, bin, redshift, ebv), work, settings)
