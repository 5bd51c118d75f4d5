"""Claim: no chain runs away, and four that begin far apart end at the same place.

    python -m benchmarks.runaway [--data ../shared/data/rt] [--galaxies 12] [--only VIEW ...]
                                 [--config TOML] [--noise 30] [--table]

The chains of `dustpost sample` as shipped (in every share of the amount of dust in turn; with
`amount = "model"` in the configuration, all by the model), but for where they begin: one at the
truth, one at the MAP of the score networks, one without dust (D = 0.97) and one behind a screen of
1 mag. The galaxies are one view of each of the first of `dustpost simulate` or, with --data, of a
folder of FITS with truth (or the views that --only names), seen by HSC's PSFs at a peak S/N in r
as in `covers_radiative_transfer_truth`.

runaway.jsonl has a line a galaxy: of each chain the mean and sd of every scalar, the
deepest draw, R-hat and bulk ESS over the four, and how far delta gets under its prior
in sds. Lines that are there with the same settings and weights (`mark`) are not run again, and
--table prints all of them.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from benchmarks.exact_targets import machine
from benchmarks.named_views import named
from dustpost.coordinates import clean_from_image
from dustpost.diagnostics.convergence import DEEPEST, EDGE, EDGE_BAD
from dustpost.diagnostics.ranks import bulk_ess, rhat
from dustpost.diagnostics.shares import levelled, share_of
from dustpost.galaxy import Position
from dustpost.io.cutout import Cutout
from dustpost.networks.diffusion import perturb
from dustpost.posterior import Target
from dustpost.priors import slope
from dustpost.priors.peak import PEAK
from dustpost.reproduce import trial
from dustpost.reproduce.fit import Known, known
from dustpost.reproduce.sources import find_views
from dustpost.sample import sample_many
from dustpost.samplers.map import START_TRANSMISSION
from dustpost.settings import Settings, read_settings
from dustpost.starts import find_map, map_target

LOG = Path(__file__).with_suffix(".jsonl")
STARTS = ("truth", "MAP", "no dust", "screen")
SCREEN = 10**-0.4  # 1 mag at the pivot
SCALARS = ("mean_attenuation", "covering_fraction", "log_screen", "delta")
KNOWN = ("mean_attenuation", "covering_fraction", "slope")
LIMIT = 1.02  # of R-hat


def begin_far_apart(cutout: Cutout, truth: Known, settings: Settings):
    """A `start` of `dustpost.sample.sample_many`: a chain at each of STARTS."""
    found = find_map(map_target(cutout, settings))
    fitted, fitted_slope = found.galaxy, found.position.slope
    true_slope = np.where(np.isfinite(truth.slope), truth.slope, slope.MEAN)

    def start(key: jax.Array, target: Target, best: Position, *_) -> Position:
        first = target.galaxy(best)
        size = first.host.shape
        hosts = truth.host, fitted.host, first.host, first.host
        smooth = np.full(size, START_TRANSMISSION), np.full(size, SCREEN)
        dusts = truth.transmission, fitted.transmission, *smooth
        dtype = best.host.dtype
        host = [clean_from_image(PEAK * jnp.asarray(s, dtype) / jnp.max(s)) for s in hosts]
        dust = [target.dust_prior.latent(jnp.asarray(d, dtype)) for d in dusts]
        host_key, dust_key = jax.random.split(key)
        slopes = (true_slope, fitted_slope, best.slope, best.slope)
        return Position(
            perturb(host_key, jnp.stack(host), target.host_prior.level(target.sigma_host)),
            perturb(dust_key, jnp.stack(dust), target.dust_prior.level(target.sigma_dust)),
            jnp.stack([jnp.asarray(one, dtype) for one in slopes]),
        )

    return start


def measure(cutout: Cutout, settings: Settings) -> dict:
    """The four chains of one galaxy."""
    begin = time.perf_counter()
    truth = known(cutout)
    start = begin_far_apart(cutout, truth, settings)
    keys = jax.random.key(settings.seed)[None]
    (tree,) = sample_many(keys, [cutout], settings, start=start)
    if not isinstance(tree, xr.DataTree):
        return {"error": str(tree)}
    draws = {name: np.asarray(tree["posterior"][name]) for name in SCALARS}
    judged = {name: levelled(v, share_of(tree)) for name, v in draws.items()}
    far = np.asarray(slope.distance(slope.slope_prior(), draws["delta"]))
    return {
        "truth": {n: round(float(getattr(truth, n)), 4) for n in KNOWN},
        "mean": {n: np.round(v.mean(axis=1), 4).tolist() for n, v in draws.items()},
        "sd": {n: np.round(v.std(axis=1), 4).tolist() for n, v in draws.items()},
        "deepest": round(float(draws["mean_attenuation"].max()), 3),
        "delta_beyond": round(float((far > EDGE).mean(axis=1).max()), 3),
        "rhat": {n: round(float(rhat(v)), 3) for n, v in judged.items()},
        "ess": {n: round(float(bulk_ess(v)), 1) for n, v in judged.items()},
        **{n: of_chains(tree["sample_stats"][n]) for n in ("log_likelihood", "energy")},
        "seconds": round(time.perf_counter() - begin),
    }


def of_chains(draws: xr.DataArray) -> list[float]:
    """Mean of each chain's draws, nat."""
    return np.round(draws.values.mean(axis=1), 1).tolist()


def table(lines: list[dict]) -> str:
    """A row a galaxy, and what the claim asks of all."""
    heads = ["galaxy", "true A", *(f"from {s}" for s in STARTS), "R-hat", "least ESS", "delta"]
    rows = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for line in lines:
        if "error" in line:
            rows.append(f"| {line['galaxy']} | {line['error']} |")
            continue
        means, sds = line["mean"]["mean_attenuation"], line["sd"]["mean_attenuation"]
        cells = [line["galaxy"], f"{line['truth']['mean_attenuation']:.3f}"]
        cells += [f"{m:.3f} ± {s:.3f}" for m, s in zip(means, sds, strict=True)]
        cells += [f"{max(line['rhat'].values()):.2f}", f"{min(line['ess'].values()):.0f}"]
        cells += [f"{min(line['mean']['delta']):.2f} to {max(line['mean']['delta']):.2f}"]
        rows.append("| " + " | ".join(cells) + " |")
    fine = [line for line in lines if "error" not in line]
    agree = sum(max(line["rhat"].values()) < LIMIT for line in fine)
    away = sum(line["deepest"] > DEEPEST or line["delta_beyond"] > EDGE_BAD for line in fine)
    rows.append(f"{agree} of {len(lines)} have R-hat < {LIMIT}; {away} have a chain run away")
    return "\n".join(rows)


def main() -> None:
    """Run what is missing, write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of FITS with truth")
    parser.add_argument("--galaxies", type=int, default=12)
    parser.add_argument("--only", nargs="+", metavar="VIEW", help="names, such as rt_027_2")
    parser.add_argument("--noise", type=float, default=30.0)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    lines = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    if options.table:
        print(table(lines))
        return
    settings = replace(read_settings(options.config, dict(seed=options.seed)), chains=len(STARTS))
    source = options.data.resolve().name if options.data else "simulated"
    plan = trial.Plan(Path(), settings, options.noise, source)
    mark = trial.mark(plan, "posterior")
    done = {line["galaxy"] for line in lines if line["mark"] == mark}
    some = (1000, 3) if options.only else (options.galaxies, 1)
    views = find_views(options.data, *some, options.seed)
    for view in named(views, options, parser):
        name = f"{source} {view.name}"
        if name in done:
            continue
        line = dict(galaxy=name, noise=options.noise, draws=settings.draws, mark=mark)
        line |= measure(trial.look(view, "fiducial", plan), settings)
        line["cpu"] = machine()["cpu"]
        with LOG.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(table([line]), flush=True)


if __name__ == "__main__":
    main()
