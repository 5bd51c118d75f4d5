"""Train a network from the command line: pairs, task, loop.

`dust` is the conditional dust network p(D | S), see `dustpost.networks.dust`; `host` is the
network of hosts and dust together, see `dustpost.networks.joint`, or, as an energy, that of
hosts alone, see `dustpost.networks.host`.
"""

import json
from pathlib import Path
from typing import NamedTuple

from dustpost.errors import DustpostError
from dustpost.io.folder import prepare_output
from dustpost.networks import checkpoint, training
from dustpost.pairs import Pairs, from_folder, from_npz, simulated
from dustpost.progress import Stage, quiet


class Source(NamedTuple):
    """Where the pairs come from: a file, else a folder, else the simulator."""

    npz: Path | None = None
    folder: Path | None = None
    count: int = 20_000


class Design(NamedTuple):
    """What is trained; see `dustpost.networks.dust.task` and `unet`. None: the task's own."""

    coordinate: str | None = None
    parameterisation: str = "score"
    channels: tuple[int, ...] | None = None
    fold: int = 2
    contrast: float = 0.0


def train_network(
    kind: str,
    out: Path,
    source: Source,
    design: Design,
    config: training.Config,
    every: int = 500,
    start: Path | None = None,
    progress: Stage = quiet,
) -> Path:
    """Train a network, or go on training one.

    Parameters
    ----------
    kind : str
        "dust" or "host".
    out : Path
        Folder for the weights, the state, the log and simulated pairs.
    source : Source
    design : Design
    config : Config
    every : int
        Steps between checkpoints.
    start : Path, optional
        Weights to start from.
    progress : callable
        (name, total) -> advance, see `dustpost.progress`.

    Returns
    -------
    Path
        The weight file.

    Raises
    ------
    DustpostError
        If the pairs, the options or the start cannot be used.
    """
    make = _maker(kind)
    if design.contrast and design.parameterisation != "energy":
        raise DustpostError(f"--contrast {design.contrast}: for --parameterisation energy alone.")
    weights, facts = (None, {}) if start is None else checkpoint.load(start)
    if source.npz is not None and source.folder is not None:
        raise DustpostError("--pairs and --data both name the training set: give one of them.")
    out = prepare_output(out)
    pairs = gather(out, source, config.seed, progress)
    named = {} if design.coordinate is None else {"v": design.coordinate}
    if design.contrast:
        named["weight"] = design.contrast
    task = make(
        pairs.host,
        pairs.transmission,
        parameterisation=design.parameterisation,
        channels=design.channels,
        fold=design.fold,
        **named,
    )
    if start is not None:
        task = task.after({name: json.loads(value) for name, value in facts.items()})
    training.train(task, *pairs, out, config, every, weights, progress)
    return out / training.WEIGHTS


def gather(out: Path, source: Source, seed: int, progress: Stage = quiet) -> Pairs:
    """Read or draw the pairs; simulated ones are kept in `out`."""
    if source.npz is not None:
        return from_npz(source.npz)
    if source.folder is not None:
        return from_folder(source.folder)
    return simulated(out, source.count, seed, progress)


def _maker(kind: str):
    if kind == "dust":
        from dustpost.networks import dust

        return dust.task
    if kind == "host":
        from dustpost.networks import host

        return host.task
    raise DustpostError(f"train {kind}: choose dust or host.")
