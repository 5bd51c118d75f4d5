"""Claim: kernels with one thing wrong are seen by the gates of exact_targets.py.

    python benchmarks/exact_controls.py [--only controls lines ratio apart split]

* controls: kernels of the dust's `Block` in the skewed world, F drawn with each draw; each
  must exceed 3 standard errors or 52 % of the classifier, the right one neither.
* lines: likewise the straight line from end to end, in the skewed prior without data, where
  trajectories are long; with data that confine them it is accurate (ratio).
* ratio: the prior's change over a proposal against the exact density's, nat rms, at draws of
  the posterior; the package's Simpson rule on each segment against three others.
* apart: a mixture of posterior components 3 sd apart, which score-HMC crosses, and one of 8 sd,
  which it does not: changes of side in 1000 sweeps, and the share of draws on the second side.
* split: split Gibbs in the law of its own two copies, for several steps of reverse diffusion.

Writes exact_controls.json.
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.exact_targets import CHAINS, SEED, Cell, machine, measure, passes, run, tune
from dustpost.galaxy import Host, Position
from dustpost.samplers import flux, hmc, split_gibbs
from tests import exact_judge, exact_worlds, wrong_kernels

PROPOSALS = 200
SHORT, LONG, LINE = 8, 32, 16
APART, SWEEPS = (3.0, 8.0), 300
LEVELS = (24, 72)


def block_of(target):
    """The dust's block; the host stands still."""
    nothing = jnp.zeros(target.observation.data.shape[-2:])
    return target.dust_block(Host(nothing, nothing))


def of_kernel(kernel, steps: int) -> tuple:
    """Sweep, recorder and start of a kernel of the dust's block."""

    def sweep(key, state, given):
        target, tuning, _ = given
        tuned = tuning.step["dust"], tuning.precision["dust"]
        (state, _), key = state, jax.random.split(key)
        state, info = kernel(key[0], state, block_of(target), *tuned, steps)
        drawn = flux.draw(key[1], state.evaluation.galaxy, target.flux_prior)
        return (state, drawn.value), {"dust": info.acceptance}

    def take(state, given):
        (dust, slope), log_flux = state[0].moving, state[1]
        return exact_judge.record_position(given[2], Position(dust, dust, slope), log_flux)

    def begin(key, positions, target):
        make = lambda x, slope: hmc.init((x, slope), block_of(target))  # noqa: E731
        return jax.vmap(make)(positions.dust, positions.slope), jnp.zeros((CHAINS, 3))

    return sweep, take, begin


def steep(moving):
    """A mass that depends on what it moves."""
    dust, slope = moving
    return 120.0 * jnp.exp(jnp.clip(2.0 * dust, -1.0, 1.0)), jnp.full_like(slope, 0.35**-2)


def controls() -> dict:
    """The right kernel and the wrong ones."""
    exact = exact_worlds.skewed()
    rules = wrong_kernels.with_ratio
    kernels = {
        "right": (hmc.kernel, SHORT),
        "right, long trajectories": (hmc.kernel, LONG),
        "no acceptance": (rules(wrong_kernels.trapezoid, always=True), SHORT),
        "trapezoid on the leapfrog nodes": (rules(wrong_kernels.trapezoid), SHORT),
        "mass of the moving variables": (wrong_kernels.moving_mass(steep), SHORT),
    }
    report = {}
    for name, (kernel, steps) in kernels.items():
        cell = Cell("skewed", (name,), 0.2, steps, 250 if steps == SHORT else 100)
        found = measure(exact, cell, of_kernel(kernel, steps), SEED)
        right = found["largest"] <= 3.0 and found["two-sample accuracy"] <= 0.52
        report[name] = {"passes": passes(found), "seen": not right, **found}
        print(name, found["acceptance"], found["largest"], found["two-sample accuracy"], flush=True)
    return report


def lines() -> dict:
    """The straight line where trajectories are long: in the skewed prior, without data."""
    exact, report = exact_worlds.skewed_prior(), {}
    kernels = {
        "right": hmc.kernel,
        "straight line, 4 even nodes": wrong_kernels.with_ratio(wrong_kernels.even_chord),
        "straight line, 4 nodes of Gauss": wrong_kernels.with_ratio(wrong_kernels.chord),
        "straight line, Simpson on 4 intervals": wrong_kernels.with_ratio(
            wrong_kernels.simpson_chord
        ),
    }
    for name, kernel in kernels.items():
        cell = Cell("skewed prior", (name,), 0.15, LINE, 150)
        found = measure(exact, cell, of_kernel(kernel, LINE), SEED)
        found["ratio error"] = errors("skewed_prior", kernel, 0.15, LINE)
        right = found["largest"] <= 3.0 and found["two-sample accuracy"] <= 0.52
        report[name] = {"passes": passes(found), "seen": not right, **found}
        brief = found["acceptance"], found["largest"], found["two-sample accuracy"]
        print(name, *brief, found["worst"], found["ratio error"], flush=True)
    return report


def errors(world: str, kernel, step: float, steps: int) -> dict:
    """Rms error of the prior's change by one rule, nat."""
    exact = getattr(exact_worlds, world)()
    block, density = block_of(exact.target), exact.target.dust_prior.density
    tuning = tune(exact, step)
    drawn, _ = exact.draw(np.random.default_rng(SEED), PROPOSALS)

    @jax.jit
    def every(keys, starts):
        def one(inputs):
            key, start = inputs
            state = hmc.init((start, jnp.asarray(0.1)), block)
            tuned = tuning.step["dust"], tuning.precision["dust"]
            end, info = kernel(key, state, block, *tuned, steps)
            change = density(end.moving[0]) - density(start)
            return info.prior_change - change, info.accepted, info.acceptance

        return jax.lax.map(one, (keys, starts))

    keys = jax.random.split(jax.random.key(SEED), PROPOSALS)
    error, taken, rate = (np.asarray(a) for a in every(keys, jnp.asarray(drawn[:, 0], float)))
    error = error[taken]  # where a proposal is refused, its end is not known
    return {
        "rms, nat": round(float(np.sqrt(np.mean(error**2))), 4) if len(error) else None,
        "accepted proposals": len(error),
        "acceptance": round(float(rate.mean()), 3),
        "step": step,
    }


def ratio() -> dict:
    """Every rule in both worlds, at the steps of exact_targets.py."""
    rules = {
        "Simpson on each segment": hmc.kernel,
        "trapezoid on the leapfrog nodes": wrong_kernels.with_ratio(wrong_kernels.trapezoid),
        "straight line, 4 nodes": wrong_kernels.with_ratio(wrong_kernels.chord),
        "straight line, Simpson on 4 intervals": wrong_kernels.with_ratio(
            wrong_kernels.simpson_chord
        ),
    }
    report = {}
    for world, step in (("skewed", 0.2), ("mixture", 0.33)):
        for name, kernel in rules.items():
            for steps in (SHORT, LONG):
                label = f"{world}: {name}, {steps} steps"
                report[label] = errors(world, kernel, step, steps)
                print(label, report[label], flush=True)
    return report


def sides(distance: float) -> dict:
    """How often chains change sides of a mixture this far apart."""
    exact = exact_worlds.mixture(apart=distance)
    first, second = exact.mean[:, 0]
    # where the two components weigh the same, but for the widths of their screens
    normal = (second - first) / exact.sd[0, 0] ** 2
    edge = np.sum(normal * (first + second)) / 2 + np.log(exact.weight[0] / exact.weight[1])
    across = jnp.asarray(normal, float)

    def take(state, given):
        return jnp.sum(across * state[0].moving[0]) > edge

    rng = np.random.default_rng(SEED)
    sweep, _, begin = of_kernel(hmc.kernel, 5)
    key = jax.random.key(SEED)
    states = begin(key, exact_worlds.start(rng, exact, CHAINS), exact.target)
    given = exact.target, tune(exact, 0.33), exact_judge.rows(exact)
    side = np.asarray(run(key, states, given, sweep, take, SWEEPS, 1)[0])[:, SWEEPS // 6 :]
    known, _ = exact.draw(rng, 4000)
    share = np.mean(np.sum(normal * known[:, 0], axis=(1, 2)) > edge)
    changes = 1e3 * np.mean(side[:, 1:] != side[:, :-1])
    return {
        "changes of side in 1000 sweeps": round(float(changes), 2),
        "chains that never change": int(np.sum(np.ptp(side.astype(int), axis=1) == 0)),
        "chains": CHAINS,
        "share on the second side": round(float(side.mean()), 3),
        "exact": round(float(share), 3),
    }


def apart() -> dict:
    """Mixtures near and far."""
    report = {f"{distance:g} sd": sides(distance) for distance in APART}
    print(report, flush=True)
    return report


def split() -> dict:
    """Both copies of split Gibbs."""
    report = {}
    seen, clean = exact_worlds.split()
    for levels in LEVELS:
        prepared = exact_judge.rows(seen), exact_judge.rows(clean)

        def sweep(key, state, given, levels=levels):
            state, info = split_gibbs.kernel(key, state, given[0], given[1], 5, 2, levels)
            return state, {"likelihood": info.acceptance}

        def take(state, given):
            log_flux = state.flux.value
            place = state.position._replace(host=state.seen[0], dust=state.seen[1])
            of_seen = exact_judge.record_position(given[2][0], place, log_flux)
            return of_seen, exact_judge.record_position(given[2][1], state.position, log_flux)

        keys = jax.random.split(jax.random.key(SEED), CHAINS + 1)
        start = exact_worlds.start(np.random.default_rng(SEED), clean, CHAINS)
        init = jax.vmap(split_gibbs.init, in_axes=(0, 0, None))
        states = init(keys[1:], start, seen.target)
        given = seen.target, jnp.asarray(0.22), prepared
        draws, rates = run(keys[0], states, given, sweep, take, 150 if levels == 24 else 80, 1)
        for name, exact, rows, found in zip(
            ("w", "v"), (seen, clean), prepared, draws, strict=True
        ):
            found = np.asarray(found)[:, found.shape[1] // 5 :]
            judged = exact_judge.judge(exact, found)
            known = exact_judge.exact_draws(exact, rows, found.shape[0] * found.shape[1])
            judged["two-sample accuracy"] = exact_judge.two_sample(found, known)
            judged["mean square of all modes (1)"] = float(found[..., -7].mean())
            judged["acceptance"] = float(np.mean(rates["likelihood"]))
            report[f"{name}, {levels} levels"] = judged
            brief = {k: v for k, v in judged.items() if not isinstance(v, dict)}
            print(name, levels, brief, flush=True)
    return report


def main() -> None:
    """Run the parts; write after each."""
    parts = {"controls": controls, "lines": lines, "ratio": ratio, "apart": apart, "split": split}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(parts), choices=list(parts))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    report = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.only:
        report[name] = {"machine": machine(), "seed": SEED, **parts[name]()}
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
