"""What each part costs: import, compilation, forward model, networks, sweep, end to end.

    python benchmarks/times_each_part.py [--out benchmarks/times_each_part.json]

Medians over repeats on the demo cutout, wall clock, batch of one unless stated. Times on a
shared machine are noisy: compare ratios within one run.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp

from dustpost.assemble import NEAR, build_target
from dustpost.io.read import read
from dustpost.posterior import Target
from dustpost.samplers import hmc, run
from dustpost.samplers import map as climb
from dustpost.samplers.choice import FIRST_STEP, SAMPLERS
from dustpost.settings import Settings
from dustpost.starts import disperse

REPEATS = 30
CHAINS = 4


def timed(function, *arguments) -> float:
    """Seconds of one call, its result waited for."""
    begin = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - begin


def steady(function, *arguments, repeats: int = REPEATS) -> dict[str, float]:
    """First call (with compilation) and median of the later ones, in seconds."""
    first = timed(function, *arguments)
    return {"first": first, "median": median(timed(function, *arguments) for _ in range(repeats))}


def import_seconds() -> float:
    """Median over five fresh interpreters of `import dustpost`."""
    script = "import time; t = time.perf_counter(); import dustpost; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", script]
    return median(float(subprocess.check_output(command)) for _ in range(5))


def end_to_end_seconds(warmup: int, draws: int) -> float:
    """`dustpost demo` in a fresh process, to the report."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from dustpost.cli import main; main()", "demo"]
        command += ["--out", folder, "--warmup", str(warmup), "--draws", str(draws)]
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - begin


def measure() -> dict:
    """All timings, in seconds."""
    target = build_target(
        read([files("dustpost") / "data" / "demo.fits"]), Settings(cross_term="cut")
    )
    position = climb.start(target)
    host, _ = jax.jit(Target.host_of)(target, position.host)
    transmission = jax.jit(Target.dust_of)(target, position.dust, host).transmission

    def explicit(transmission, image, slope):
        return target.explicit(image, transmission, slope)[0]

    forward = jax.jit(jax.value_and_grad(explicit, argnums=(0, 1, 2)))
    found = {
        "forward model with gradient": steady(forward, transmission, host.image, position.slope),
        "host network": steady(jax.jit(target.host_of), position.host),
        "dust network": steady(jax.jit(target.dust_of), position.dust, host),
        "dust block: value and gradient": steady(
            jax.jit(lambda x: hmc.init(x, target.dust_block(host))),
            (position.dust, position.slope),
        ),
        "host block: value and gradient": steady(
            jax.jit(lambda z: hmc.init(z, target.host_block(position.dust, position.slope))),
            position.host,
        ),
    }
    found["Adam, 20 iterations"] = steady(
        climb._chunk, target, climb.init(target, position), repeats=5
    )
    key = jax.random.key(0)
    starts = disperse(key, target, position, CHAINS)
    sampler = SAMPLERS["gibbs"]
    states = run.start(key, starts, target, sampler)
    tuning = jax.jit(sampler.tune)(target, position, FIRST_STEP)
    tuning = jax.tree.map(lambda x: jnp.stack([x] * CHAINS), tuning)
    sweep = partial(run.run, key, states, target, sampler, tuning, 5, NEAR, 5)
    five = steady(lambda: sweep()[0], repeats=3)
    found[f"sweep of {CHAINS} chains"] = {
        "first": five["first"],
        "median": five["median"] / 5,
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--warmup", type=int, default=Settings().warmup)
    parser.add_argument("--draws", type=int, default=Settings().draws)
    options = parser.parse_args()
    found = {"import": {"median": import_seconds()}} | measure()
    found["demo, end to end"] = {"median": end_to_end_seconds(options.warmup, options.draws)}
    found["setting"] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].platform}",
        "python": platform.python_version(),
        "jax": version("jax"),
        "chains": CHAINS,
        "warmup": options.warmup,
        "draws": options.draws,
        "load": os.getloadavg()[0],
    }
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    for name, times in found.items():
        if name != "setting":
            first = f"   first call {times['first']:8.2f} s" if "first" in times else ""
            print(f"{name:<34}{1e3 * times['median']:12.1f} ms{first}")


if __name__ == "__main__":
    main()
