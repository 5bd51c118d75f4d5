"""dustpost sensitivity: what other priors of F and delta would have said."""

from pathlib import Path
from typing import Annotated

import typer

from dustpost.cli.cutouts import each_galaxy, place_of
from dustpost.cli.options import Bin, Center, Config, Ebv, Pixel, Redshift, Seed
from dustpost.errors import DustpostError
from dustpost.settings import read_settings


def sensitivity(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="As for `sample`; DIR/<stem>/posterior.nc is taken where `sample` left it.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Output folder, that of `sample`; resumes.")],
    redraw: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="Priors to sample anew: none (the draws are weighed), untrusted (where weights "
            "do not reach, Pareto k > 0.7), all.",
        ),
    ] = "none",
    flux_prior: Annotated[str | None, typer.Option(help="Of the fit: colours, flat.")] = None,
    redshift: Redshift = None,
    ebv: Ebv = None,
    center: Center = None,
    pixel: Pixel = None,
    bin: Bin = 1,
    seed: Seed = None,
    config: Config = None,
) -> None:
    """Vary the priors of F and delta: sensitivity.ecsv, sensitivity.png."""
    from dustpost.sensitivity.study import FIGURE, REDRAW, TABLE, study

    if redraw not in REDRAW:
        raise DustpostError(f"--redraw {redraw}: expected {', '.join(REDRAW)}")

    def work(cutout, folder, findings, settings):
        from dustpost.progress import bars

        with bars() as progress:
            table = study(folder, cutout, findings, settings, redraw, progress)
        print("\n".join(sentences(table)))
        print(f"written: {folder / TABLE}, {folder / FIGURE}")

    settings = read_settings(config, dict(flux_prior=flux_prior, seed=seed))
    each_galaxy(inputs, out, place_of(center, pixel, bin, redshift, ebv), work, settings)


def sentences(table) -> list[str]:
    """The largest shift of each choice, and which choices to draw anew."""
    found, doubtful = [], []
    for choice in dict.fromkeys(table["choice"]):
        rows = table[table["choice"] == choice]
        known = [row for row in rows if abs(row["shift"]) >= 0]
        if choice == "fitted" or not known:
            continue
        most = max(known, key=lambda row: abs(row["shift"]))
        name = f"{most['name']}[{most['band']}]" if most["band"] else most["name"]
        mean = next(row for row in rows if row["name"] == "mean_attenuation")
        found.append(
            f"{choice:<13} mean A {mean['mean']:.3f} +- {mean['sd']:.3f} mag "
            f"({mean['shift']:+.2f} sd); most: {name} {most['shift']:+.2f} sd"
        )
        if mean["how"] == "weighed" and not mean["pareto_k"] <= 0.7:
            doubtful.append(choice)
    if doubtful:
        found.append(
            f"Pareto k above 0.7: not to be trusted are {', '.join(doubtful)}; draw them anew "
            "with --redraw untrusted"
        )
    return found
