"""dustpost reproduce fig2 | fig3: the paper's figures, with error bars."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dustpost.cli.options import Config, Seed
from dustpost.errors import DustpostError
from dustpost.settings import read_settings

SMALL = dict(chains=2, relax=50, warmup=10, draws=20, keep=2, prior_draws=4, directions=16)
SMALL_GALAXIES = {"fig2": 8, "fig3": 3}


class FigureName(StrEnum):
    """Figures of Siegel & Melchior (2024)."""

    fig2 = "fig2"
    fig3 = "fig3"


def reproduce(
    figure: Annotated[FigureName, typer.Argument(help="Figure of Siegel & Melchior (2024).")],
    out: Annotated[Path, typer.Option(help="Output folder; the same one resumes it.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of FITS files with truth, or of NIHAO-SKIRT's; else simulated."),
    ] = None,
    small: Annotated[bool, typer.Option("--small", help="Minutes in place of hours.")] = False,
    map_only: Annotated[
        bool, typer.Option("--map-only", help="The MAPs alone, without posteriors.")
    ] = False,
    galaxies: Annotated[
        int | None, typer.Option(min=1, help="Galaxies; by default 65.", show_default=False)
    ] = None,
    views: Annotated[
        int | None, typer.Option(min=1, help="Sides of each; by default 3.", show_default=False)
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Of fig3: fiducial, monochromatic (hosts of one colour); else both."),
    ] = None,
    signal_to_noise: Annotated[float, typer.Option(help="Of the brightest pixel in r.")] = 100.0,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Galaxies sampled side by side; by default 1, on a GPU 16."),
    ] = None,
    seed: Seed = None,
    config: Config = None,
) -> None:
    """Make a figure of the paper from galaxies with truth: PNG and ECSV."""
    from dataclasses import replace

    from dustpost.io.folder import prepare_output
    from dustpost.progress import bars
    from dustpost.reproduce import campaign, fig2, fig3
    from dustpost.reproduce.sources import find_views
    from dustpost.reproduce.trial import VARIANTS, Plan

    if not 0 < signal_to_noise < float("inf"):
        raise DustpostError(f"--signal-to-noise {signal_to_noise}: expected a positive number")
    known = VARIANTS if figure == "fig3" else (fig2.VARIANT,)
    variants = tuple(dict.fromkeys(variant or known))
    for name in set(variants) - set(known):
        raise DustpostError(f"--variant {name}: {figure} has {' and '.join(known)} galaxies")
    settings = read_settings(config, dict(seed=seed))
    settings = replace(settings, **SMALL) if small else settings
    number = galaxies or (SMALL_GALAXIES[figure] if small else 65)
    found = find_views(data, number, views or (1 if small else 3), settings.seed)
    folder = prepare_output(out)
    source = f"suite {settings.seed}" if data is None else Path(data).resolve().name
    plan = Plan(folder / "fits", settings, signal_to_noise, source=source)
    if figure == "fig2":
        with bars() as progress:
            found = fig2.choose(found, progress)
    if not small:
        methods = ("map",) if map_only else ("map", "posterior")
        print(campaign.estimate(found, variants, plan, methods), flush=True)
    with bars() as progress:
        fits, errors = campaign.run(found, variants, plan, not map_only, batch, progress)
    if figure == "fig2":
        written = fig2.write(folder, found, fits)
    else:
        written = fig3.write(folder, found, variants, fits, signal_to_noise)
    for error in errors:
        print(error)
    print(f"written: {', '.join(str(path) for path in written)}")
