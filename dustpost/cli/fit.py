"""dustpost sample | map | demo."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from dustpost.cli.cutouts import each_galaxy, place_of
from dustpost.cli.options import (
    Amount,
    Bin,
    Center,
    Chains,
    Config,
    CrossTerm,
    Curve,
    Draws,
    DustWeights,
    Ebv,
    Ess,
    FluxPrior,
    HostPrior,
    HostWeights,
    Inflation,
    Inputs,
    Norm,
    Out,
    Pixel,
    Redshift,
    Seed,
    Warmup,
)
from dustpost.settings import read_settings


def sample(
    inputs: Inputs,
    out: Out,
    sampler: Annotated[str | None, typer.Option(help="gibbs, langevin, split-gibbs.")] = None,
    host_prior: HostPrior = None,
    host_weights: HostWeights = None,
    dust_weights: DustWeights = None,
    cross_term: CrossTerm = None,
    amount: Amount = None,
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
    chains: Chains = None,
    warmup: Warmup = None,
    draws: Draws = None,
    ess: Ess = None,
    seed: Seed = None,
    config: Config = None,
) -> None:
    """Draw the posterior: posterior.nc, dustmap.fits, summary.ecsv, report.html."""
    options = dict(
        sampler=sampler,
        host_prior=host_prior,
        host_weights=host_weights,
        dust_weights=dust_weights,
        cross_term=cross_term,
        amount=amount,
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
    place = place_of(center, pixel, bin, redshift, ebv)
    each_galaxy(inputs, out, place, _sample_one, read_settings(config, options))


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
    place = place_of(center, pixel, bin, redshift, ebv)
    each_galaxy(inputs, out, place, _map_one, read_settings(config, options))


def demo(
    out: Out = Path("out"),
    cross_term: CrossTerm = None,
    chains: Chains = None,
    warmup: Warmup = None,
    draws: Draws = None,
    ess: Ess = None,
    seed: Seed = None,
    config: Config = None,
) -> None:
    """Sample the simulated cutout that ships with the package, whose truth is known."""
    # a galaxy of the simulator, hence its host prior
    options = dict(chains=chains, warmup=warmup, draws=draws, ess=ess, seed=seed)
    options |= dict(cross_term=cross_term, host_prior="sim")
    with resources.as_file(resources.files("dustpost") / "data" / "demo.fits") as path:
        each_galaxy([path], out, {}, _sample_one, read_settings(config, options))


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
