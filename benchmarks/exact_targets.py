"""Claim: every adjusted kernel is right where the posterior is known.

    python benchmarks/exact_targets.py [--only NAME ...] [--scale 1.0]

On 64x64 pixels, priors known by their scores alone (`tests.log_linear`,
`tests.exact_worlds`): normal and tied to each other, a mixture, skewed. From starts twice as
wide as the posterior (as wide, in the skewed world), the first fifth dropped, for each kernel:

* the bulk ESS of every linear functional and of the mean square of all modes is 400 or more,
* means, variances, the mean square of all modes and the correlations of log_screen with ln F
  lie within 3 standard errors of the exact ones. Of so many numbers some lie beyond by chance
  (0.27 % of them); such a kernel runs again with another seed and four times the sweeps, once,
  and that run decides. Both are written down,
* a classifier trained on half of the chains tells the other half from exact draws in at most
  52 % of the cases.

What must fail is in exact_controls.py, with the accuracy of the ratio and split Gibbs.

Writes exact_targets.json.
"""

import argparse
import json
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.galaxy import Position
from dustpost.samplers import gibbs
from tests import exact_judge, exact_worlds

CHAINS, SEED = 16, 5
ESS, ERRORS, ACCURACY = 400, 3.0, 0.52
DROPPED = 0.2


class Cell(NamedTuple):
    """One kernel in one world.

    Attributes
    ----------
    world : str
    scan : tuple of str
        Moves of `gibbs`; or the kernel's name alone.
    step : float
        In units of the mean posterior precision of the modes.
    steps : int
        Leapfrog steps.
    draws, thin : int
        Sweeps kept of each chain, and sweeps between two of them.
    """

    world: str
    scan: tuple[str, ...]
    step: float
    steps: int
    draws: int
    thin: int = 1


# log_screen behind a wide screen is what the orbit move is for
CELLS = {
    "mixture: score-HMC": Cell("mixture", ("dust",), 0.33, 5, 500),
    "mixture: orbit, dust": Cell("mixture", ("orbit", "dust"), 0.33, 5, 400),
    "mixture: HMC with the density": Cell("exact mixture", ("dust",), 0.33, 5, 500),
    "skewed: score-HMC": Cell("skewed", ("dust",), 0.2, 8, 500),
    "skewed: orbit, dust, slope": Cell("skewed", ("orbit", "dust", "slope"), 0.2, 8, 400),
    "wide screen, skewed: orbit, dust": Cell("wide skewed", ("orbit", "dust"), 0.2, 8, 400),
    "gaussian: score-HMC": Cell("gaussian", ("joint",), 0.28, 6, 500),
    "gaussian: orbit, dust, host, slope": Cell(
        "gaussian", ("orbit", "dust", "host", "slope"), 0.35, 5, 350
    ),
    "gaussian: dust, host": Cell("gaussian", ("dust", "host"), 0.25, 7, 700),
    "gaussian: orbit, joint, slope": Cell("gaussian", ("orbit", "joint", "slope"), 0.28, 6, 350),
    "mixture: MALA": Cell("mixture", ("dust",), 0.4, 1, 300, 30),
    "skewed: MALA": Cell("skewed", ("dust",), 0.33, 1, 300, 40),
    "gaussian: MALA": Cell("gaussian", ("joint",), 0.33, 1, 300, 40),
}


def world(name: str) -> exact_worlds.Exact:
    """Posterior by its name."""
    if name == "exact mixture":
        return exact_worlds.mixture(exact=True)
    if name == "wide skewed":
        return exact_worlds.skewed(screen=0.15)
    return getattr(exact_worlds, name)()


def tune(exact: exact_worlds.Exact, step: float) -> gibbs.Tuning:
    """Masses of the mean precision, the same for every pixel."""
    side = exact.mean.shape[-1]
    precision = np.mean(exact.sd[0] ** -2.0, axis=(1, 2))
    flat = [jnp.full((side, side), p) for p in precision]
    slope = jnp.asarray(0.35**-2)
    low_sd = exact.sd[0, -1, 0, 0] / side
    masses = {
        "orbit": jnp.asarray(low_sd**-2),
        "dust": (flat[-1], slope),
        "host": flat[0],
        "joint": Position(flat[0], flat[-1], slope),
    }
    sizes = dict.fromkeys(masses, jnp.asarray(step)) | {"orbit": jnp.asarray(0.5)}
    screen = jnp.zeros((side, side)).at[0, 0].set(side)  # one everywhere, in modes
    return gibbs.Tuning(sizes, masses, screen)


@partial(jax.jit, static_argnames=("sweep", "take", "draws", "thin"))
def run(key, states, given, sweep, take, draws, thin):
    """Draws (chain, draw, feature) of chains side by side, and their infos' acceptance."""

    def one(key, state):
        def kept(state, key):
            state, rates = jax.lax.scan(
                lambda state, key: sweep(key, state, given), state, jax.random.split(key, thin)
            )
            return state, (take(state, given), jax.tree.map(jnp.mean, rates))

        return jax.lax.scan(kept, state, jax.random.split(key, draws))[1]

    return jax.vmap(one)(jax.random.split(key, CHAINS), states)


def of_gibbs(cell: Cell) -> tuple:
    """Sweep, recorder and start of a scan of `gibbs`."""

    def sweep(key, state, given):
        target, tuning, _ = given
        state, info = gibbs.kernel(key, state, target, tuning, cell.steps, scan=cell.scan)
        return state, info.acceptance

    def take(state, given):
        return exact_judge.record_position(given[2], state.position, state.flux.value)

    def begin(key, positions, target):
        keys = jax.random.split(key, CHAINS)
        return jax.vmap(gibbs.init, in_axes=(0, 0, None))(keys, positions, target)

    return sweep, take, begin


def measure(exact, cell: Cell, parts: tuple, seed: int, longer: int = 1) -> dict:
    """Run one kernel and judge it."""
    sweep, take, begin = parts
    rng = np.random.default_rng(seed)
    prepared = exact_judge.rows(exact)
    start_key, key = jax.random.split(jax.random.key(seed))
    wide = 1.0 if "skewed" in cell.world else 2.0  # a Gumbel tail is steep
    states = begin(start_key, exact_worlds.start(rng, exact, CHAINS, wide), exact.target)
    given = exact.target, tune(exact, cell.step), prepared
    clock = time.perf_counter()
    total = round(cell.draws * longer / (1 - DROPPED))
    draws, rates = run(key, states, given, sweep, take, total, cell.thin)
    draws = np.asarray(draws)[:, total - cell.draws * longer :]
    seconds = time.perf_counter() - clock
    found = exact_judge.judge(exact, draws)
    known = exact_judge.exact_draws(exact, prepared, draws.shape[0] * draws.shape[1], seed + 1)
    accuracy = exact_judge.two_sample(draws, known)
    acceptance = {name: round(float(np.mean(rate)), 3) for name, rate in rates.items()}
    settings = {
        "seed": seed,
        "chains": CHAINS,
        **cell._replace(draws=cell.draws * longer)._asdict(),
    }
    return {
        "settings": settings,
        "acceptance": acceptance,
        "seconds": round(seconds, 1),
        "two-sample accuracy": round(accuracy, 4),
        **{k: _short(v) for k, v in found.items()},
    }


def _short(value):
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def passes(found: dict) -> bool:
    """The gates, in order."""
    return (
        found["least ess"] >= ESS
        and found["largest"] <= ERRORS
        and found["two-sample accuracy"] <= ACCURACY
    )


def with_second_run(exact, cell: Cell, parts: tuple) -> dict:
    """A run, and where it fails one more of four times the length, which decides."""
    found = measure(exact, cell, parts, SEED)
    report = {"passes": passes(found), **found}
    if not passes(found):
        again = measure(exact, cell, parts, SEED + 100, longer=4)
        report = {"passes": passes(again), **again, "first run": found}
    return report


def machine() -> dict:
    """Where and with what this ran."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    return {
        "command": "python " + " ".join(sys.argv),
        "cpu": model or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "jax": jax.__version__,
        "precision": "float32 chains, float64 answers",
    }


def main() -> None:
    """Run the cells, then the controls; write after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="cells whose name begins so; others are kept")
    parser.add_argument("--scale", type=float, default=1.0, help="of all lengths")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    report = json.loads(options.out.read_text()) if options.out.exists() else {}
    report |= {"machine": machine()}
    for name, cell in CELLS.items():
        if options.only is not None and not any(name.startswith(o) for o in options.only):
            continue
        cell = cell._replace(draws=round(cell.draws * options.scale))
        found = with_second_run(world(cell.world), cell, of_gibbs(cell))
        report.setdefault("kernels", {})[name] = found
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        print(name, {k: v for k, v in found.items() if not isinstance(v, dict)}, flush=True)


if __name__ == "__main__":
    main()
