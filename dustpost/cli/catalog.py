"""dustpost catalog run | status | collect | estimate."""

from pathlib import Path
from typing import Annotated

import typer

from dustpost.cli.options import Bin, Chains, Config, Draws, Seed, Warmup
from dustpost.errors import DustpostError
from dustpost.settings import read_settings

app = typer.Typer(
    help="A catalogue of galaxies on one machine or a cluster, by Dask.", no_args_is_help=True
)

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="Folder or 'glob' of FITS, or a table (.parquet, .ecsv): object_id, path[, ra, dec, "
        "redshift].",
        show_default=False,
    ),
]
StoreFolder = Annotated[
    Path, typer.Argument(metavar="STORE", help="The --out of `catalog run`.", show_default=False)
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes here; by default one a GPU.")
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Of a Dask scheduler: tcp:// or tls://.")
]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Galaxies side by side; by default from memory.")
]
Ebv = Annotated[
    str | None, typer.Option(help="'sfd': take out the Milky Way by the dustmaps package.")
]
Report = Annotated[
    bool,
    typer.Option("--report/--no-report", help="A report.html for each galaxy, some 2 MB and 6 s."),
]


@app.command()
def run(
    source: Input,
    out: Annotated[Path, typer.Option(help="The store; the same one resumes.")],
    workers: Workers = None,
    scheduler: Scheduler = None,
    batch: Batch = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before.")
    ] = False,
    bin: Bin = 1,
    ebv: Ebv = None,
    chains: Chains = None,
    warmup: Warmup = None,
    draws: Draws = None,
    seed: Seed = None,
    report: Report = True,
    config: Config = None,
) -> None:
    """Sample every galaxy into STORE; run again to go on. Exit code 1 where some failed."""
    _begin()
    from dustpost.catalog import run as catalog
    from dustpost.catalog.status import sentences

    wish = _wish(batch, bin, ebv, chains, warmup, draws, seed, report, config)
    try:
        states = catalog.run(source, out, wish, workers, scheduler, retry_failed)
    except KeyboardInterrupt:
        print(f"stopped; what has landed in {out} is kept, the same command goes on", flush=True)
        raise
    print("\n".join(sentences(states)))
    raise typer.Exit(1 if any(one.state == "failed" for one in states) else 0)


@app.command()
def status(
    store: StoreFolder,
    failed: Annotated[
        bool, typer.Option("--failed", help="Every failed galaxy with the sentence why.")
    ] = False,
) -> None:
    """Say what is done, failed and pending, and write manifest.parquet."""
    _begin()
    from dustpost.catalog.status import sentences
    from dustpost.catalog.store import Store

    opened = Store.open(store)
    states = opened.states()
    path = opened.write_manifest(states)
    print("\n".join(sentences(states, all_failures=failed)))
    print(f"written to {path}")


@app.command()
def collect(
    store: StoreFolder,
    out: Annotated[
        Path | None, typer.Option(help="The table; by default STORE/catalog.parquet.")
    ] = None,
) -> None:
    """One Parquet row a galaxy, and a page to look them over: catalog.parquet, catalog.html."""
    _begin()
    from dustpost.catalog.collect import collect as gather
    from dustpost.catalog.store import Store
    from dustpost.progress import bars

    with bars() as progress:
        written = gather(Store.open(store), out, progress)
    print(f"written: {', '.join(str(path) for path in written)}")


@app.command()
def estimate(
    source: Input,
    workers: Workers = None,
    scheduler: Scheduler = None,
    batch: Batch = None,
    bin: Bin = 1,
    ebv: Ebv = None,
    chains: Chains = None,
    warmup: Warmup = None,
    draws: Draws = None,
    seed: Seed = None,
    report: Report = True,
    config: Config = None,
) -> None:
    """Galaxies an hour, measured on two batches; nothing is kept."""
    _begin()
    from dustpost.catalog import estimate as estimates

    wish = _wish(batch, bin, ebv, chains, warmup, draws, seed, report, config)
    found = estimates.estimate(source, wish, workers, scheduler)
    print("\n".join(estimates.sentences(*found)))


def _wish(batch, bin, ebv, chains, warmup, draws, seed, report, config):
    from dustpost.catalog.memory import check_width
    from dustpost.catalog.run import Wish

    if ebv not in (None, "sfd"):
        raise DustpostError(f"--ebv {ebv}: expected sfd, for one number cannot fit a catalogue")
    options = dict(chains=chains, warmup=warmup, draws=draws, seed=seed)
    settings = read_settings(config, options)
    if batch is not None:
        check_width(batch, settings)
    return Wish(settings, bin, ebv or "", batch, report)


def _begin() -> None:
    try:
        import distributed  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise DustpostError(
            f'dustpost catalog needs {error.name}; run pip install "dustpost[catalog]"'
        ) from None
    import jax

    # this process only hands out work: the memory of a GPU is for the workers
    jax.config.update("jax_platforms", "cpu")
