"""dustpost train dust | host: the networks, on pairs of hosts and dust."""

from pathlib import Path
from typing import Annotated

import typer

from dustpost.errors import DustpostError


def train(
    kind: Annotated[str, typer.Argument(metavar="dust|host", help="Network to train.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the same one resumes it.")],
    pairs: Annotated[
        Path | None, typer.Option(help="npz with arrays host and transmission, (n, y, x).")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of FITS files with truth, or of NIHAO-SKIRT's.")
    ] = None,
    pairs_count: Annotated[
        int, typer.Option(min=8, help="Pairs to simulate where none are given.")
    ] = 20_000,
    steps: Annotated[int, typer.Option(min=1, help="Steps; the rate decays until then.")] = 10_000,
    batch: Annotated[int, typer.Option(min=1, help="Pairs a step.")] = 32,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    start: Annotated[
        Path | None, typer.Option(metavar="WEIGHTS", help="Weights to start from.")
    ] = None,
    coordinate: Annotated[
        str | None, typer.Option(help="transmission, optical_depth, log_attenuation.")
    ] = None,
    parameterisation: Annotated[str, typer.Option(help="score, energy.")] = "score",
    fold: Annotated[int, typer.Option(help="Pixels folded into channels on an axis, 1 or 2.")] = 2,
    channels: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Widths, finest level first.")
    ] = None,
    contrast: Annotated[
        float, typer.Option(min=0, help="Weight of an energy's contrast with its own chains.")
    ] = 0.0,
) -> None:
    """Train a network, or go on training it: weights.safetensors, log.jsonl."""
    from dustpost.networks.training import Config
    from dustpost.progress import bars
    from dustpost.train import Design, Source, train_network

    if not 0 < rate < 1:
        raise DustpostError(f"--rate {rate}: expected a number between 0 and 1")
    design = Design(coordinate, parameterisation, _widths(channels), fold, contrast)
    config = Config(steps=steps, batch=batch, seed=seed, rate=rate)
    source = Source(pairs, data, pairs_count)
    with bars() as progress:
        written = train_network(kind, out, source, design, config, every, start, progress)
    print(f"written to {written}")


def _widths(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise DustpostError(f"--channels {text}: expected whole numbers joined by commas") from None
