"""dustpost modes: how many solutions a galaxy has, and their weights."""

from typing import Annotated

import typer

from dustpost.cli.cutouts import each_galaxy, place_of
from dustpost.cli.options import (
    Bin,
    Center,
    Config,
    Ebv,
    FluxPrior,
    Inputs,
    Out,
    Pixel,
    Redshift,
    Seed,
)
from dustpost.settings import read_settings


def modes(
    inputs: Inputs,
    out: Out,
    particles: Annotated[
        int, typer.Option(min=16, help="Particles of each run; 1000 for weights to 0.03.")
    ] = 256,
    runs: Annotated[int, typer.Option(min=1, help="Runs, to see whether they agree.")] = 2,
    flux_prior: FluxPrior = None,
    redshift: Redshift = None,
    ebv: Ebv = None,
    center: Center = None,
    pixel: Pixel = None,
    bin: Bin = 1,
    seed: Seed = None,
    config: Config = None,
) -> None:
    """Count the solutions and weigh them, from the prior and not from starts: modes.ecsv."""

    def work(cutout, folder, findings, settings):
        import jax

        from dustpost import multimodal
        from dustpost.assemble import build_target, leapfrogs
        from dustpost.progress import bars

        target = build_target(cutout, settings)
        key = jax.random.key(settings.seed)
        with bars() as progress:
            steps = leapfrogs(settings, target)
            table = multimodal.count(key, target, particles, runs, steps, progress)
        print(multimodal.sentence(table))
        print(f"written: {multimodal.write(folder, table)}")

    settings = read_settings(config, dict(flux_prior=flux_prior, seed=seed))
    each_galaxy(inputs, out, place_of(center, pixel, bin, redshift, ebv), work, settings)
