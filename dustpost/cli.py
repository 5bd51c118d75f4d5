"""The command line: dustpost sample | map | demo | simulate | train | degeneracy | check | doctor.

Exit codes: 0 all is well; 1 `check` or `doctor` found errors; 2 the input or the options
are wrong (one sentence on standard error, nothing half-written).
"""

import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from dustpost import cli_catalog, cli_modes, cli_reproduce, cli_sensitivity
from dustpost.errors import DustpostError

app = typer.Typer(
    help="Posterior samples of a galaxy's dust map from one multi-band cutout.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_catalog.app, name="catalog")
app.command()(cli_reproduce.reproduce)
app.command()(cli_sensitivity.sensitivity)
app.command()(cli_modes.modes)

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
HostWeights = Annotated[str | None, typer.Option(help="File of the host network's weights.")]
DustWeights = Annotated[str | None, typer.Option(help="File of the dust network's weights.")]
FluxPrior = Annotated[str | None, typer.Option(help="colours, flat.")]
Curve = Annotated[str | None, typer.Option(help="calzetti-noll, paper.")]
Norm = Annotated[str | None, typer.Option(help="lambda0, paper.")]
Inflation = Annotated[float | None, typer.Option(help="Factor on the noise sd.")]
Config = Annotated[Path | None, typer.Option(help="TOML with any of the settings.")]


@app.command()
def sample(
    inputs: Inputs,
    out: Out,
    sampler: Annotated[str | None, typer.Option(help="gibbs, langevin, split-gibbs.")] = None,
    host_prior: HostPrior = None,
    host_weights: HostWeights = None,
    dust_weights: DustWeights = None,
    cross_term: CrossTerm = None,
    target: Annotated[str | None, typer.Option(help="denoised, smoothed.")] = None,
    flux_prior: FluxPrior = None,
    curve: Curve = None,
    norm: Norm = None,
    noise_inflation: Inflation = None,
    redshift: Redshift = None,
    ebv: Ebv = None,
    center: Center = None,
    pixel: Pixel = None,
    bin: Bin = 1,
    chains: Annotated[int | None, typer.Option(help="Chains.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Sweeps before the draws.")] = None,
    draws: Annotated[int | None, typer.Option(help="Draws per chain.")] = None,
    ess: Annotated[
        int | None,
        typer.Option(help="End early once every scalar has this bulk ESS and R-hat below 1.01."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    config: Config = None,
) -> None:
    """Draw the posterior: posterior.nc, dustmap.fits, summary.ecsv, report.html."""
    options = dict(
        sampler=sampler,
        host_prior=host_prior,
        host_weights=host_weights,
        dust_weights=dust_weights,
        cross_term=cross_term,
        target=target,
        flux_prior=flux_prior,
        curve=curve,
        norm=norm,
        noise_inflation=noise_inflation,
        chains=chains,
        warmup=warmup,
        draws=draws,
        ess=ess,
        seed=seed,
    )
    place = _place(center, pixel, bin, redshift, ebv)
    _each_galaxy(inputs, out, place, _sample_one, _settings(config, options))


@app.command("map")
def map_(
    inputs: Inputs,
    out: Out,
    host_prior: HostPrior = None,
    host_weights: HostWeights = None,
    dust_weights: DustWeights = None,
    flux_prior: FluxPrior = None,
    curve: Curve = None,
    norm: Norm = None,
    noise_inflation: Inflation = None,
    redshift: Redshift = None,
    ebv: Ebv = None,
    center: Center = None,
    pixel: Pixel = None,
    bin: Bin = 1,
    config: Config = None,
) -> None:
    """Find the maximum a posteriori: dustmap.fits."""
    options = dict(
        host_prior=host_prior,
        host_weights=host_weights,
        dust_weights=dust_weights,
        flux_prior=flux_prior,
        curve=curve,
        norm=norm,
        noise_inflation=noise_inflation,
    )
    place = _place(center, pixel, bin, redshift, ebv)
    _each_galaxy(inputs, out, place, _map_one, _settings(config, options))


@app.command()
def demo(
    out: Out = Path("out"),
    cross_term: CrossTerm = None,
    chains: Annotated[int | None, typer.Option(help="Chains.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Sweeps before the draws.")] = None,
    draws: Annotated[int | None, typer.Option(help="Draws per chain.")] = None,
    ess: Annotated[
        int | None,
        typer.Option(help="End early once every scalar has this bulk ESS and R-hat below 1.01."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    config: Config = None,
) -> None:
    """Sample the simulated cutout that ships with the package, whose truth is known."""
    # a galaxy of the simulator, hence its host prior
    options = dict(chains=chains, warmup=warmup, draws=draws, ess=ess, seed=seed)
    options |= dict(cross_term=cross_term, host_prior="sim")
    with resources.as_file(resources.files("dustpost") / "data" / "demo.fits") as path:
        _each_galaxy([path], out, {}, _sample_one, _settings(config, options))


@app.command()
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


@app.command()
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


@app.command()
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
        _settings(config, {}),
        tuple(depth or ()),
        tuple(fraction or ()),
    )
    with bars() as progress:
        written = study.study(out, plan, small, progress)
    print(f"written: {', '.join(str(path) for path in written)}")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="POSTERIOR", help="posterior.nc of `sample`.")],
) -> None:
    """Have the chains converged? Exit code 1 and advice where they have not."""
    from dustpost.diagnostics import convergence
    from dustpost.findings import format_findings
    from dustpost.io.netcdf import open_posterior

    findings = convergence.check(open_posterior(path))
    print("\n".join(format_findings(findings)))
    raise typer.Exit(0 if convergence.converged(findings) else 1)


@app.command()
def doctor() -> None:
    """Devices, versions, weights and the numerics canary of this machine."""
    from dustpost.doctor import examine
    from dustpost.findings import format_findings, worst

    findings = examine()
    print("\n".join(format_findings(findings)))
    raise typer.Exit(1 if worst(findings) == "error" else 0)


def main() -> None:
    """Entry point of the `dustpost` command."""
    try:
        app()
    except DustpostError as error:
        print(f"dustpost: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("dustpost: interrupted", file=sys.stderr)
        sys.exit(130)


def _widths(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise DustpostError(f"--channels {text}: expected whole numbers joined by commas") from None


def _settings(config: Path | None, options: dict):
    from dustpost.settings import read_settings

    return read_settings(config, options)


def _each_galaxy(inputs: list[Path], out: Path, place: dict, work: Callable, settings) -> None:
    """Read, check and work on galaxy after galaxy; one that fails does not stop the others."""
    from dustpost.findings import format_findings
    from dustpost.io.checks import check_cutout
    from dustpost.io.folder import prepare_output
    from dustpost.io.inputs import group
    from dustpost.io.read import read

    galaxies = group(inputs)
    if len(galaxies) > 1 and (place.get("center") or place.get("pixel")):
        raise DustpostError(
            f"--center and --pixel choose one galaxy, but {len(galaxies)} were given"
        )
    failures, seen = [], {}
    for paths in galaxies:
        try:
            cutout = read(paths, **place)
            if cutout.stem in seen:
                raise DustpostError(
                    f"{paths[0]}: would be written over {seen[cutout.stem]}; rename one of them"
                )
            seen[cutout.stem] = paths[0]
            findings = check_cutout(cutout)
            print("\n".join([f"{cutout.source}:", *format_findings(findings)]))
            if any(finding.level == "error" for finding in findings):
                raise DustpostError(f"{cutout.source}: see the errors above; nothing was written")
            folder = prepare_output(Path(out) / cutout.stem)
            work(cutout, folder, findings, settings)
        except DustpostError as error:
            failures.append(error)
            if len(galaxies) > 1:
                print(f"dustpost: {error}", file=sys.stderr)
    if failures and len(galaxies) > 1:
        raise DustpostError(f"{len(failures)} of {len(galaxies)} galaxies failed, see above")
    if failures:
        raise failures[0]


def _sample_one(cutout, folder: Path, findings: list, settings) -> None:
    import jax

    from dustpost.diagnostics import convergence
    from dustpost.findings import format_findings
    from dustpost.outputs import write_outputs
    from dustpost.progress import bars
    from dustpost.sample import sample as draw

    with bars() as progress:
        tree = draw(jax.random.key(settings.seed), cutout, settings, progress)
    rows = write_outputs(folder, tree, cutout, findings)
    for row in rows:
        name = f"{row.name}[{row.band}]" if row.band else row.name
        print(
            f"{name:<22} {row.mean:10.4g} +- {row.sd:<9.3g} {row.unit:<10} "
            f"R-hat {row.rhat:.3f}  ESS {row.ess_bulk:.0f}"
        )
    print("\n".join(format_findings(convergence.check(tree, rows))))
    print(f"written to {folder}")


def _map_one(cutout, folder: Path, findings: list, settings) -> None:
    from dustpost.assemble import describe
    from dustpost.outputs import write_map
    from dustpost.progress import bars
    from dustpost.starts import find_map, map_target

    target = map_target(cutout, settings)
    with bars() as progress:
        best = find_map(target, progress)
    written = describe(target, cutout, settings, float(best.position.slope))
    write_map(folder, target, best, cutout, written)
    print(f"{best.iterations} iterations, written to {folder}")


def _place(center: str | None, pixel: str | None, bin: int, redshift, ebv) -> dict:
    """Arguments of `io.read.read` that say which part of a file to take, and how."""
    return dict(
        center=_pair(center, "--center"),
        pixel=_pair(pixel, "--pixel"),
        bin=bin,
        redshift=redshift,
        ebv=ebv,
    )


def _pair(text: str | None, option: str) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise DustpostError(f"{option} {text}: expected two numbers joined by a comma") from None
    return first, second
