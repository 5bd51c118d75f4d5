"""Claim: the sampler leaves its target invariant, and finds it from afar (SBC, Talts et al. 2018).

    python benchmarks/sbc.py [--world networks-32] [--cross full] [--start truth]
                             [--simulations 300] [--minutes 60] [--pairs NPZ] [--cache out/sbc]

Each simulation draws host and dust (z, x) from the networks by reverse diffusion at the
target's noise levels, F and delta from their priors, then noise (`sbc_truths.py`), and ranks
the truth among draws of its posterior. Each is a file in the cache: a run that was stopped
goes on, `--simulations 0` only reports. All that the cache holds goes to sbc.json, in the place
of what was there of the same kind, and all that is there to docs/figures/sbc.png.

`--start truth` is Besag & Clifford's (1989) serial test. A sweep is K = K_1 ... K_n, moves
that are reversible each, so its reversal is K* = K_n ... K_1, the same moves in reverse
order. With m uniform on 0..L the truth is put at place m of a path, K runs L - m times
forward from it and K* runs m times backward. If the posterior is invariant, the path is
stationary and independent of m, and the rank of the truth is uniform on 0..L exactly, for any
number of sweeps and however slow the mixing. Nothing that tunes a sweep has seen the truth:
the masses are those at a first guess from the data, the step sizes are set on other
simulations. A slow chain weakens the test, it cannot fail it. What can: a wrong acceptance
or a wrong collapse, scores that are no gradient, and truths that do not come from the
prior whose score is used. Under `cut` there is no joint density; what it does is shown.

`--start afar` is what a user does: MAP, dispersed starts, relaxation, warm-up, draws. It tests
mixing too, and the draws are thinned to what their ESS allows; where it does not, all that
were kept are ranked, and the entry says so.

The Stein ratio -E[(s.u)(q.u - E q.u)] of the score s along a unit vector u is 1, and E[s.u] is
0, where s is the score of the law that the truths q come from (no sampler is involved).
"""

import argparse
import json
import platform
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from sbc_report import NAMES, draw_figure, judge
from sbc_truths import LEAPFROG, RELAX, numbers, pixels, simulate
from sbc_worlds import WORLDS, without_cross, world

from dustpost import coordinates
from dustpost.posterior import Target
from dustpost.samplers import flux as fluxes
from dustpost.samplers import gibbs, run
from dustpost.samplers import map as climb
from dustpost.samplers.choice import FIRST_STEP, SAMPLERS
from dustpost.settings import Settings
from dustpost.starts import approach, find_map

SEED, PILOTS = 4, 1_000_000
SCANS = {"full": gibbs.JOINT, "cut": gibbs.APART}
KEEP, THIN = 39, 1  # draws of a path, and sweeps between them
PILOT_SWEEPS, PILOT_GALAXIES, ACCEPTANCE = 40, 4, 0.8
AFAR = Settings(chains=2, relax=300, warmup=60, draws=200, keep=5, leapfrog=LEAPFROG)
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "sbc.png"
REPORT = Path(__file__).with_suffix(".json")


@partial(jax.jit, static_argnames="scan")
def tune(target: Target, step: dict, scan: tuple) -> gibbs.Tuning:
    """Masses at a first guess from the data, step sizes as given."""
    tuning = gibbs.tune(target, climb.start(target), 1.0, scan)
    return tuning._replace(step=step)


@partial(jax.jit, static_argnames=("scan", "reverse"))
def walk(key, state, target, tuning, length, scan: tuple, reverse: bool):
    """`length` times `THIN` sweeps: numbers after each `THIN`, (KEEP, ...), 0 where not run.

    Also the sums over sweeps of the acceptance of each move, and the first curl defect.
    """
    order = scan[::-1] if reverse else scan

    def sweep(i, carry):
        state, kept, rates, curl = carry
        now = jax.random.fold_in(key, i)
        state, info = gibbs.kernel(now, state, target, tuning, LEAPFROG, i == 0, order)
        row = numbers(target, state.galaxy, state.position.slope, state.flux.value)
        rate = jnp.stack([info.acceptance[name] for name in (*tuning.step, "flux")])
        curl = jnp.where(i == 0, info.curl_defect, curl)
        return state, kept.at[i // THIN].set(row), rates + rate, curl

    kept, rates = jnp.zeros((KEEP, len(NAMES))), jnp.zeros(len(tuning.step) + 1)
    begin = state, kept, rates, jnp.zeros(())
    return jax.lax.fori_loop(0, length * THIN, sweep, begin)[1:]


def from_truth(key, target: Target, position, flux, step: dict, scan: tuple) -> dict:
    """Besag & Clifford's path through the truth."""
    place_key, start_key, back_key, on_key = jax.random.split(key, 4)
    state = gibbs.init(start_key, position, target)
    state = state._replace(flux=fluxes.weigh(flux, state.galaxy, target.flux_prior))
    tuning = tune(target, step, scan)
    place = int(jax.random.randint(place_key, (), 0, KEEP + 1))
    back, rates, curl = walk(back_key, state, target, tuning, place, scan, True)
    on, more, defect = walk(on_key, state, target, tuning, KEEP - place, scan, False)
    return {
        "draws": np.concatenate([back[:place][::-1], on[: KEEP - place]])[None],
        "acceptance": (rates + more) / (KEEP * THIN),
        "curl": max(float(curl), float(defect)),
    }


@jax.jit
def settle(key, target: Target, position, tuning: gibbs.Tuning) -> dict:
    """Step sizes for an acceptance of `ACCEPTANCE`, by Robbins & Monro from the truth."""
    start_key, key = jax.random.split(key)
    scan = SCANS["cut" if "host" in tuning.step else "full"]
    begin = gibbs.init(start_key, position, target), tuning.step, tuning.step

    def sweep(i, carry):
        state, step, mean = carry
        now = tuning._replace(step=step)
        state, info = gibbs.kernel(
            jax.random.fold_in(key, i), state, target, now, LEAPFROG, False, scan
        )
        gain = 2.0 / jnp.sqrt(1.0 + i)
        step = {
            name: value * jnp.exp(gain * (info.acceptance[name] - ACCEPTANCE))
            for name, value in step.items()
        }
        share = 1.0 / jnp.maximum(1.0, i + 1 - PILOT_SWEEPS // 2)
        mean = {name: mean[name] + share * (step[name] - mean[name]) for name in step}
        return state, step, mean

    return jax.lax.fori_loop(0, PILOT_SWEEPS, sweep, begin)[2]


def steps_of(free: Target, sampled, scan: tuple, path: Path) -> dict:
    """Step sizes of a world and a scan, from simulations that are not ranked; kept in a file."""
    if not path.exists():
        found = []
        for number in range(PILOT_GALAXIES):
            key = jax.random.fold_in(jax.random.key(SEED), PILOTS + number)
            position, _, target, _, _ = simulate(key, free)
            target = sampled(target)
            first = gibbs.tune(target, climb.start(target), FIRST_STEP, scan)
            found.append({k: float(v) for k, v in settle(key, target, position, first).items()})
        mean = {k: float(np.exp(np.mean([np.log(f[k]) for f in found]))) for k in found[0]}
        path.write_text(json.dumps(mean))
    return {name: jnp.asarray(value) for name, value in json.loads(path.read_text()).items()}


def from_afar(key, target: Target) -> dict:
    """The package's own run, see `dustpost.sample.sample`."""
    start_key, begin_key, warm_key, run_key = jax.random.split(key, 4)
    sampler, plan = SAMPLERS["gibbs"], dict(steps=LEAPFROG, chunk=AFAR.keep)
    best = find_map(target).position
    starts = approach(start_key, target, best, AFAR)
    tuning = jax.jit(sampler.tune)(target, best, FIRST_STEP)
    tuning = jax.tree.map(lambda x: jnp.stack([x] * AFAR.chains), tuning)
    states = run.start(begin_key, starts, target, sampler)
    states, tuning, _ = run.warm_up(warm_key, states, target, sampler, tuning, AFAR.warmup, **plan)
    _, trace = run.run(run_key, states, target, sampler, tuning, AFAR.draws, **plan)
    s, info = trace.scalars, trace.info
    scalars = [s.slope, s.log_screen, s.mean_attenuation, s.covering_fraction]
    table = np.concatenate([s.template_flux, np.stack(scalars, axis=-1)], axis=-1)[:, trace.kept]
    dust = coordinates.attenuation(trace.transmission, target.k_pivot)
    rates = [np.mean(info.acceptance[name]) for name in (*tuning.step, "flux")]
    return {
        "draws": np.concatenate([table, dust[:, :, *pixels(dust.shape[-1])]], axis=-1),
        "acceptance": np.array(rates),
        "curl": float(np.nanmax(info.curl_defect)),
    }


def simulations(options: argparse.Namespace) -> None:
    """Run what is missing of one kind, a file each."""
    free = world(options.world, options.cache, options.pairs)
    sampled = without_cross if options.cross == "cut" else lambda target: target
    scan, sweeps = SCANS[options.cross], RELAX * options.world.startswith("relaxed")
    kind = f"{options.world} {options.cross} {options.start}"
    folder = options.cache / kind.replace(" ", "-")
    folder.mkdir(exist_ok=True)
    if options.start == "truth":
        steps = options.cache / f"steps-{options.world}-{options.cross}.json"
        step = steps_of(free, sampled, scan, steps)
    begin = time.perf_counter()
    for number in range(options.simulations):
        path = folder / f"{number:05d}.npz"
        if path.exists():
            continue
        if time.perf_counter() - begin > 60 * options.minutes:
            break
        clock = time.perf_counter()
        key, run_key = jax.random.split(jax.random.fold_in(jax.random.key(SEED), number))
        position, flux, target, truth, stein = simulate(key, free, sweeps)
        target = sampled(target)
        if options.start == "truth":
            found = from_truth(run_key, target, position, flux, step, scan)
        else:
            found = from_afar(run_key, target)
        found |= {"truth": truth, "stein": stein, "seconds": time.perf_counter() - clock}
        part = path.with_suffix(".part.npz")
        np.savez(part, **{name: np.asarray(value) for name, value in found.items()})
        part.rename(path)
        print(kind, number, f"{found['seconds']:.1f} s", found["acceptance"], flush=True)


def report(cache: Path) -> None:
    """Judge all that the cache holds; write sbc.json and the figure."""
    facts = {
        "command": "python benchmarks/sbc.py --world WORLD --cross CROSS --start START",
        "machine": f"{platform.machine()}, {jax.devices()[0].platform}, one core",
        "seed": SEED,
        "leapfrog": LEAPFROG,
        "sweeps between draws of a path": THIN,
    }
    results = json.loads(REPORT.read_text())["results"] if REPORT.exists() else {}
    for folder in sorted(f for f in cache.glob("*-*-*-*") if f.is_dir()):
        kind = " ".join(folder.name.rsplit("-", 2))
        files = [np.load(path) for path in sorted(folder.glob("[0-9]*[0-9].npz"))]
        if len(files) > 1:
            runs = {name: np.stack([file[name] for file in files]) for name in files[0].files}
            results[kind] = judge(runs, independent=kind.endswith("truth"))
            if " cut " in kind:
                results[kind]["draws ranked"] = f"{KEEP}; no joint density: shown, not a test"
    REPORT.write_text(json.dumps(facts | {"results": results}, indent=1) + "\n")
    if results:
        FIGURE.write_bytes(draw_figure(results))


def main() -> None:
    """Simulate, judge, write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", choices=WORLDS, default="networks-32")
    parser.add_argument("--cross", choices=tuple(SCANS), default="full")
    parser.add_argument("--start", choices=("truth", "afar"), default="truth")
    parser.add_argument("--simulations", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--pairs", type=Path, help="npz of 64x64 pairs; simulated where none")
    parser.add_argument("--cache", type=Path, default=Path("out/sbc"))
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(options.cache.resolve() / "xla"))
    if options.simulations:
        simulations(options)
    report(options.cache)


if __name__ == "__main__":
    main()
