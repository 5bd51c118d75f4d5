"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...",
        help="dustpost FITS, Legacy Survey cutout [and its PSF file], or one exposure per band.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="Output folder; each galaxy gets DIR/<stem>/.")]
Center = Annotated[
    str | None, typer.Option(metavar="RA,DEC", help="Centre of the 64x64 box, degrees.")
]
Pixel = Annotated[
    str | None, typer.Option(metavar="X,Y", help="Centre of the box in pixels from 0.")
]
Bin = Annotated[int, typer.Option(min=1, help="Pixels summed into one on each axis.")]
Redshift = Annotated[float | None, typer.Option(help="Overrides REDSHIFT in the header.")]
Ebv = Annotated[
    str | None,
    typer.Option(help="Milky Way E(B-V) in mag to take out, or 'sfd' for the dustmaps package."),
]
HostPrior = Annotated[str | None, typer.Option(help="auto, hsc64, sim.")]
CrossTerm = Annotated[str | None, typer.Option(help="anchored, cut, full.")]
Amount = Annotated[str | None, typer.Option(help="How much dust: image, model.")]
HostWeights = Annotated[str | None, typer.Option(help="File of the host network's weights.")]
DustWeights = Annotated[str | None, typer.Option(help="File of the dust network's weights.")]
FluxPrior = Annotated[str | None, typer.Option(help="colours, flat.")]
Curve = Annotated[str | None, typer.Option(help="calzetti-noll, paper.")]
Norm = Annotated[str | None, typer.Option(help="lambda0, paper.")]
Inflation = Annotated[float | None, typer.Option(help="Factor on the noise sd.")]
Config = Annotated[Path | None, typer.Option(help="TOML with any of the settings.")]
Chains = Annotated[int | None, typer.Option(help="Chains.")]
Warmup = Annotated[int | None, typer.Option(help="Sweeps before the draws.")]
Draws = Annotated[int | None, typer.Option(help="Draws per chain.")]
Ess = Annotated[
    int | None,
    typer.Option(help="End early once every scalar has this bulk ESS and R-hat below 1.01."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of all random numbers.")]
