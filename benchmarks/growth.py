"""Claim: a sweep's cost grows as pixels, bands and chains do, not faster.

    python benchmarks/growth.py [--parts pixels bands chains networks]

CPU seconds of a sweep of score-HMC (dust, host and orbit moves of 8 leapfrog steps) in the
world of kernels.py, where priors are closed forms, and with the shipped networks on the demo
cutout at 64x64. The median of several sweeps; only ratios within one run mean something.

Writes growth.json.
"""

import argparse
import json
import time
from importlib.resources import files
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp

from benchmarks import kernels_world as world
from benchmarks.exact_targets import machine
from dustpost.assemble import build_target
from dustpost.io.read import read
from dustpost.samplers import gibbs
from dustpost.samplers import map as climb
from dustpost.settings import Settings

SIDES, BANDS, CHAINS, SEED = (32, 64, 128), (3, 5, 8), (1, 4, 16), 11
SCAN, STEPS, REPEATS = ("orbit", "dust", "host", "slope"), 8, 9


def seconds(target, position, chains: int, repeats: int = REPEATS) -> float:
    """CPU seconds of a sweep of all chains."""
    tuning = jax.jit(gibbs.tune, static_argnames="scan")(target, position, 0.2, scan=SCAN)
    places = jax.tree.map(lambda a: jnp.stack([a] * chains), position)
    keys = jax.random.split(jax.random.key(SEED), chains)
    states = jax.jit(jax.vmap(gibbs.init, in_axes=(0, 0, None)))(keys, places, target)

    @jax.jit
    def sweep(keys, states, target, tuning):
        one = lambda key, state: gibbs.kernel(key, state, target, tuning, STEPS, scan=SCAN)[0]  # noqa: E731
        return jax.vmap(one)(keys, states)

    program = sweep.lower(keys, states, target, tuning).compile()
    spent = []
    for number in range(repeats):
        keys = jax.random.split(jax.random.key(number), chains)
        clock = time.process_time()
        states = jax.block_until_ready(program(keys, states, target, tuning))
        spent.append(time.process_time() - clock)
    return median(spent[1:])


def analytic(side: int, bands: int, chains: int) -> float:
    """In the world of kernels.py."""
    key = jax.random.key(SEED)
    return seconds(*world.observed(key, world.target(side, bands)), chains)


def networks() -> dict:
    """With the shipped networks, the demo cutout."""
    target = build_target(
        read([files("dustpost") / "data" / "demo.fits"]), Settings(cross_term="cut")
    )
    position = jax.jit(climb.start)(target)
    return {str(n): seconds(target, position, n, 4) for n in CHAINS}


def main() -> None:
    """Measure, with each number over the first of its row."""
    parts = {
        "pixels": lambda: {str(s): analytic(s, 3, 1) for s in SIDES},
        "bands": lambda: {str(b): analytic(64, b, 1) for b in BANDS},
        "chains": lambda: {str(c): analytic(64, 3, c) for c in CHAINS},
        "networks": networks,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=list(parts), choices=list(parts))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    report = json.loads(options.out.read_text()) if options.out.exists() else {}
    report |= {"machine": machine(), "seed": SEED, "leapfrog steps": STEPS, "scan": SCAN}
    for name in options.parts:
        found = parts[name]()
        first = next(iter(found.values()))
        report[name] = {
            "CPU seconds a sweep": {k: round(v, 4) for k, v in found.items()},
            "ratio": {k: round(v / first, 2) for k, v in found.items()},
        }
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        print(name, report[name], flush=True)


if __name__ == "__main__":
    main()
