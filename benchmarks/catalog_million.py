"""Estimate: what a million galaxies cost on 1, 10 and 100 GPUs, from what a CPU measures.

    python -m benchmarks.catalog_million

    T(w + d sweeps) = fixed + (w + d) sweep       of one galaxy on one core, program at hand
    work            = (w + d) sweep r,            r: flop a second of this core
    GPU seconds     = work / (share x peak)

`dustpost catalog`'s own work on the demo cutout (reading to writing) with two numbers of
draws gives `sweep` and `fixed`; XLA's count of the operations of both blocks' gradients, over the
CPU seconds of the same program, gives r. No GPU was measured: the peak is the data sheet's of an
H100 SXM in float32 without tensor cores, the share reached is assumed, low and high. `fixed`
(reading, MAP, prior draws, maps, report) is taken to stay on the CPU, `CORES` of them a GPU.
Writes catalog_million.json.
"""

import json
import math
import time
from importlib.resources import files
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp

from benchmarks.exact_targets import machine
from dustpost.assemble import build_target
from dustpost.catalog.estimate import trial
from dustpost.catalog.plan import plan_of
from dustpost.io.objects import Object
from dustpost.io.read import read
from dustpost.samplers import hmc
from dustpost.samplers import map as climb
from dustpost.settings import Settings

DEMO = files("dustpost") / "data" / "demo.fits"
FEW, MORE, WARMUP = 20, 80, 20  # sweeps
PEAK, SHARES, CORES = 67e12, (0.1, 0.3), 16  # flop a second
GALAXIES, GPUS = 1_000_000, (1, 10, 100)


def cpu_seconds(settings: Settings) -> float:
    """Of one galaxy of a catalogue, compiled before."""
    plan = plan_of(settings, 1, "", 1)
    clock = time.process_time()
    cost = trial(plan, [Object(name, (str(DEMO),)) for name in ("first", "second")])
    spent = time.process_time() - clock
    if cost.failed:
        raise RuntimeError(cost.failed[0])
    return spent * cost.second / (cost.first + cost.second)


def rate() -> dict[str, float]:
    """Operations of the gradients of both blocks for all chains, and this core's speed at them."""
    target = build_target(read([DEMO]), Settings())
    position = jax.jit(climb.start)(target)
    chains = jax.tree.map(lambda a: jnp.stack([a] * Settings().chains), position)

    @jax.jit
    @jax.vmap
    def gradients(place):
        host, _ = target.host_of(place.host)
        dust = hmc.init((place.dust, place.slope), target.dust_block(host))
        return dust, hmc.init(place.host, target.host_block(place.dust, place.slope))

    program = gradients.lower(chains).compile()
    spent = []
    for _ in range(9):
        clock = time.process_time()
        jax.block_until_ready(program(chains))
        spent.append(time.process_time() - clock)
    operations = float(program.cost_analysis()["flops"])
    return dict(operations=operations, seconds=median(spent), rate=operations / median(spent))


def main() -> None:
    """Measure, estimate, write."""
    common = dict(warmup=WARMUP, keep=FEW)
    times = {n: cpu_seconds(Settings(draws=n, **common)) for n in (FEW, MORE)}
    sweep = (times[MORE] - times[FEW]) / (MORE - FEW)
    fixed = times[FEW] - (WARMUP + FEW) * sweep
    sweeps, speed = Settings().warmup + Settings().draws, rate()
    work = sweeps * sweep * speed["rate"]
    hours = {}
    for share in SHARES:
        a_galaxy = max(work / (share * PEAK), fixed / CORES)
        hours[f"{share:g} of the peak"] = {
            "seconds a galaxy and GPU": round(a_galaxy, 3),
            "limited by": "GPU" if work / (share * PEAK) >= fixed / CORES else "CPUs",
            "hours of a million": {str(n): round(GALAXIES * a_galaxy / 3600 / n) for n in GPUS},
        }
    core = fixed + sweeps * sweep
    report = machine() | {
        "command": "python -m benchmarks.catalog_million",
        "CPU seconds by draws": {str(k): round(v, 1) for k, v in times.items()},
        "CPU seconds of a sweep of 4 chains": round(sweep, 3),
        "CPU seconds of all else": round(fixed, 1),
        "CPU seconds of a galaxy with the defaults": round(core),
        "core hours of a million": math.ceil(GALAXIES * core / 3600),
        "gradients of both blocks, Gflop": round(speed["operations"] / 1e9, 3),
        "Gflop a second of a core": round(speed["rate"] / 1e9, 2),
        "Tflop of a galaxy": round(work / 1e12, 2),
        "assumed: peak of a GPU, Tflop a second": PEAK / 1e12,
        "assumed: CPU cores a GPU": CORES,
        "estimate": hours,
    }
    report.pop("precision")
    text = json.dumps(report, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
