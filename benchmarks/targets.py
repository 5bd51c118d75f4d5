"""Which target, at which noise level: four chains of each galaxy from four starts.

    python benchmarks/targets.py [--configurations "cut denoised 0.1" ...] [--galaxies 4]
                                [--sweeps 100] [--radmc FOLDER]

A chain starts from the truth, one from no dust, one from a screen of 1 mag and one from the
MAP; they relax, warm up and draw as `dustpost sample` has them. The galaxies
are the first of `dustpost simulate --seed 21` with 0.1 to 0.6 mag or, with `--radmc`, the
first such view of each of FOLDER/rt_*.fits (RADMC-3D), seen by the same survey. Each line of
targets.jsonl is one galaxy under one configuration (cross term, what the likelihood sees,
sigma_dust): the truth, the mean of every chain's draws, R-hat and bulk ESS over the four,
the greatest z of delta under its prior. Lines already there are not run again.
`--table` prints the lines as one row a configuration.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from astropy.io import fits

from dustpost import coordinates
from dustpost.assemble import build_target
from dustpost.diagnostics.ranks import bulk_ess, rhat
from dustpost.galaxy import Position
from dustpost.io.cutout import Cutout, Truth
from dustpost.mock import cutout_of, draw_view, expose_cutout
from dustpost.networks.diffusion import perturb
from dustpost.posterior import Target
from dustpost.priors.slope import distance
from dustpost.samplers import annealed, burn_in, run
from dustpost.samplers.choice import FIRST_STEP, SAMPLERS
from dustpost.settings import PAPERS_MODEL, Settings
from dustpost.simulate.survey import get_survey
from dustpost.starts import find_map

LOG = Path(__file__).with_suffix(".jsonl")
STARTS = ("truth", "no dust", "screen", "map")
CONFIGURATIONS = tuple(
    f"{cross} {kind} {sigma}"
    for cross, kind, sigma in (
        ("cut", "denoised", 0.05),
        ("cut", "denoised", 0.1),
        ("cut", "denoised", 0.2),
        ("cut", "denoised", 0.4),
        ("cut", "smoothed", 0.05),
        ("cut", "smoothed", 0.01),
        ("full", "denoised", 0.1),
        ("full", "denoised", 0.25),
        ("full", "denoised", 0.5),
        ("full", "denoised", 1.0),
    )
)
SEED, SURVEY, MAGNITUDE = 21, "hsc-wide", 21.0
LEAST, MOST = 0.1, 0.6  # mean attenuation of the simulated galaxies, mag
SCREEN = 10**-0.4  # 1 mag at the pivot
SCALARS = ("slope", "mean_attenuation", "covering_fraction", "log_screen")


def own_world(galaxies: int) -> list[tuple[str, Cutout]]:
    """Simulated galaxies with their names."""
    survey, found, number = get_survey(SURVEY), [], -1
    while len(found) < galaxies:
        number += 1
        key, structure = draw_view(SEED, number, 0)
        cutout = cutout_of(key, structure, survey.bands)
        if LEAST < mean_attenuation(cutout) < MOST:
            noise_key = jax.random.fold_in(jax.random.key(SEED), number)
            found.append((f"own {number}", expose_cutout(noise_key, cutout, survey, MAGNITUDE)))
    return found


def radmc_world(folder: Path, galaxies: int) -> list[tuple[str, Cutout]]:
    """RADMC-3D's galaxies, a view of each, with their names."""
    survey, found = get_survey(SURVEY), []
    for number, path in enumerate(sorted(folder.glob("rt_*.fits"))):
        with fits.open(path) as view:
            data = np.array(view["PRIMARY"].data[1:], np.float32)  # without u
            wavelength = np.array(view["BANDS"].data["wavelength"][1:], float)
            flux = np.array(view["TRUTH"].data["F"][1:], float)
            images = (np.array(view[name].data, float) for name in ("TRUE_HOST", "TRUE_TRANS"))
            host, transmission = images
            slope = view["TRUTH"].header.get("DELTA")  # none where the dust is grey or gone
        truth = Truth(host, None, transmission, flux, None, None, slope)
        cutout = Cutout(
            data=data,
            ivar=np.zeros_like(data),
            psf=np.ones((len(data), 1, 1), np.float32),
            bands=survey.bands,
            wavelength=wavelength,
            unit="",
            wcs=None,
            source=path,
            truth=truth,
        )
        known = path.stem[:6] in {name[:6] for name, _ in found}  # rt_<galaxy>_<view>
        if LEAST < mean_attenuation(cutout) < MOST and not known and len(found) < galaxies:
            noise_key = jax.random.fold_in(jax.random.key(SEED), number)
            found.append((path.stem, expose_cutout(noise_key, cutout, survey, MAGNITUDE)))
    return found


def mean_attenuation(cutout: Cutout) -> float:
    """True light-weighted mean A in mag."""
    truth = cutout.truth
    return float(coordinates.mean_attenuation(truth.host, truth.transmission, 1.0))


def starts(key: jax.Array, target: Target, cutout: Cutout, best: Position) -> Position:
    """Positions of the four chains, (chain, ...) each."""
    host_key, dust_key = jax.random.split(key)
    truth = cutout.truth
    found = target.galaxy(best).transmission
    dust = (truth.transmission, np.full_like(found, 0.97), np.full_like(found, SCREEN), found)
    dust = jnp.stack([target.dust_prior.latent(jnp.asarray(d, found.dtype)) for d in dust])
    true_host = coordinates.clean_from_image(
        jnp.asarray(truth.host / truth.host.max(), found.dtype)
    )
    fitted = target.host_prior.denoise(best.host, target.sigma_host, None)
    host = jnp.stack([true_host, fitted, fitted, fitted])
    slope = jnp.stack([jnp.asarray(truth.slope or 0.0, best.slope.dtype)] + 3 * [best.slope])
    return Position(
        perturb(host_key, host, target.host_prior.level(target.sigma_host)),
        perturb(dust_key, dust, target.dust_prior.level(target.sigma_dust)),
        slope,
    )


def measure(name: str, cutout: Cutout, configuration: str, options: argparse.Namespace) -> dict:
    """Run the four chains of one galaxy under one configuration."""
    cross_term, kind, sigma = configuration.split()
    settings = Settings(
        cross_term=cross_term,
        target=kind,
        sigma_dust=float(sigma),
        chains=len(STARTS),
        **PAPERS_MODEL,
    )
    begin = time.perf_counter()
    target = build_target(cutout, settings)
    keys = jax.random.split(jax.random.key(settings.seed), 5)
    best = find_map(target).position
    sampler = SAMPLERS["gibbs"]
    tuning = jax.jit(sampler.tune)(target, best, FIRST_STEP)
    mass = jax.jit(annealed.likelihood_mass)(target, best)
    tuning, mass = jax.tree.map(lambda x: jnp.stack([x] * len(STARTS)), (tuning, mass))
    places = starts(keys[0], target, cutout, best)
    places = burn_in.relax(keys[1], places, target, mass, options.relax)
    states = run.start(keys[2], places, target, sampler)
    plan = dict(steps=options.leapfrog, chunk=settings.keep)
    held = target, sampler
    states, tuning, _ = run.warm_up(keys[3], states, *held, tuning, settings.warmup, **plan)
    states, trace = run.run(keys[4], states, *held, tuning, options.sweeps, **plan)
    draws = {scalar: np.asarray(getattr(trace.scalars, scalar)) for scalar in SCALARS}
    truth = cutout.truth
    out = np.asarray(distance(target.slope_prior, draws["slope"]))
    images = truth.host, truth.transmission
    return {
        "galaxy": name,
        "configuration": configuration,
        "sweeps": options.sweeps,
        "leapfrog": options.leapfrog,
        "relax": options.relax,
        "host_prior": target.host_prior.name,
        "dust": target.dust_prior.sha256[:12],
        "seconds": round(time.perf_counter() - begin),
        "machine": f"{platform.machine()}, {jax.devices()[0].platform}",
        "truth": {
            "slope": truth.slope,
            "mean_attenuation": mean_attenuation(cutout),
            "covering_fraction": float(coordinates.covering_fraction(*images, 1.0, 0.05)),
            "log_screen": float(coordinates.log_screen(*images)),
        },
        "mean": {s: np.round(v.mean(axis=1), 4).tolist() for s, v in draws.items()},
        "sd": {s: np.round(v.std(axis=1), 4).tolist() for s, v in draws.items()},
        "rhat": {s: round(float(rhat(v)), 3) for s, v in draws.items()},
        "ess": {s: round(float(bulk_ess(v)), 1) for s, v in draws.items()},
        "slope_z": round(float(np.nanmax(out)), 2),
        "log_likelihood": np.round(trace.scalars.log_likelihood.mean(axis=1), 1).tolist(),
        "curl": round(float(np.nanmedian(np.abs(trace.info.curl_defect))), 3),
        "acceptance": {k: round(float(v.mean()), 2) for k, v in trace.info.acceptance.items()},
    }


def table(lines: list[dict]) -> str:
    """One row a configuration: errors of the chains' means, and whether they agree."""
    rows = [
        f"| target | galaxies | bias A, rms, from {', '.join(STARTS)} | rms cover | rms delta "
        "| R-hat A, median, worst | ESS A | curl | beyond 3 sd of delta |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(line["configuration"] for line in lines):
        of = [line for line in lines if line["configuration"] == name]

        def error(scalar, of=of):
            known = np.array([[line["truth"][scalar]] for line in of], float)
            return np.array([line["mean"][scalar] for line in of]) - known

        attenuation = error("mean_attenuation")
        slope = error("slope")
        worst = np.array([line["rhat"]["mean_attenuation"] for line in of])
        ess = np.median([line["ess"]["mean_attenuation"] for line in of])
        bias, rms = attenuation.mean(axis=0), np.sqrt(np.mean(attenuation**2, axis=0))
        starts = [f"{b:+.2f} {r:.2f}" for b, r in zip(bias, rms, strict=True)]
        cells = [name, len(of), "; ".join(starts)]
        cells += [f"{np.sqrt(np.mean(error('covering_fraction') ** 2)):.2f}"]
        cells += [f"{np.sqrt(np.nanmean(slope**2)):.2f}"]
        cells += [f"{np.median(worst):.2f}, {worst.max():.2f}", f"{ess:.0f}"]
        cells += [f"{np.median([line['curl'] for line in of]):.2f}"]
        cells += [sum(line["slope_z"] > 3 for line in of)]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def main() -> None:
    """Run what is missing, write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", nargs="+", default=CONFIGURATIONS)
    parser.add_argument("--galaxies", type=int, default=4)
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--relax", type=int, default=200)
    parser.add_argument("--leapfrog", type=int, default=8)
    parser.add_argument("--radmc", type=Path, help="folder of RADMC-3D views")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    lines = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    if options.table:
        print(table(lines))
        return
    done = {(line["galaxy"], line["configuration"], line["sweeps"]) for line in lines}
    if options.radmc:
        galaxies = radmc_world(options.radmc, options.galaxies)
    else:
        galaxies = own_world(options.galaxies)
    for name, cutout in galaxies:
        for configuration in options.configurations:
            if (name, configuration, options.sweeps) not in done:
                line = measure(name, cutout, configuration, options)
                with LOG.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
