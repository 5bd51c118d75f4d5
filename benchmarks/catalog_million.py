"""Claim: what a million galaxies cost, on paper, from what one costs here.

    python -m benchmarks.catalog_million [--cross-term anchored] [--draws 10 30]

Two trials of `catalog estimate` on copies of the demo cutout, which differ in their draws
alone, give the processor time of a sweep of a galaxy's chains, of its four files, and of all the
rest (starts, frames, prior draws), compilation left out; the defaults' sweeps follow. The floating
point operations of a gradient of the target are XLA's count of the program before it is optimised,
and those of all sweeps are gradients x steps x chains x sweeps; over the time they give what a core
here does a second, by which the rest is counted as well.

On a GPU nothing was measured. The table says what is assumed: a share of the peak of an H100 in
single precision without tensor cores, and so many CPU cores a GPU for the files. Writes
catalog_million.json.
"""

import argparse
import json
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jax

from benchmarks.exact_targets import machine
from dustpost.assemble import build_target, leapfrogs
from dustpost.catalog import batch
from dustpost.catalog.estimate import trial
from dustpost.catalog.plan import plan_of
from dustpost.io.objects import Object
from dustpost.io.read import read
from dustpost.samplers import map as climb
from dustpost.settings import Settings
from dustpost.warm_up import anchored, light_of, stages_of, sweeps_of

DEMO = files("dustpost") / "data" / "demo.fits"
PEAK = 67e12  # single precision operations a second of an H100 SXM, its maker's number
SHARES = (0.1, 0.3)  # of the peak
CORES = 8  # a GPU
GPUS, MANY = (1, 10, 100), 1_000_000
FEW = dict(warmup=0, prior_draws=4)


class Clock:
    """Processor time spent in a function."""

    def __init__(self, function):
        self.function, self.spent = function, []

    def __call__(self, *arguments, **options):
        begin = time.process_time()
        found = self.function(*arguments, **options)
        self.spent.append(time.process_time() - begin)
        return found


def seconds(settings: Settings) -> tuple[float, float]:
    """Processor time of one galaxy once all is compiled, and of its files."""
    plan = plan_of(settings, 1, "", 1)
    objects = [Object(name, (str(DEMO),)) for name in ("first", "second")]
    files = batch.write_outputs = Clock(batch.write_outputs)
    begin = time.process_time()
    cost = trial(plan, objects)
    spent = time.process_time() - begin
    batch.write_outputs = files.function
    if cost.failed:
        raise SystemExit(cost.failed[0])
    # as processor time follows the clock through both batches alike
    return spent * cost.second / (cost.first + cost.second), files.spent[-1]


def operations(settings: Settings) -> tuple[float, int]:
    """Floating point operations of one chain's gradient, and steps of a trajectory."""
    target = build_target(read([DEMO]), settings)
    place = jax.jit(climb.start)(target)
    target = anchored(target, light_of(target, place)[None], settings)
    gradient = jax.jit(lambda target, place: target.joint_block().evaluate(place))
    return gradient.lower(target, place).cost_analysis()["flops"], leapfrogs(settings, target)


def main() -> None:
    """Measure, reckon, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cross-term", default="anchored", choices=("anchored", "full"))
    parser.add_argument("--draws", type=int, nargs=2, default=(10, 30))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    whole = Settings(cross_term=options.cross_term)
    (few, _), (many, files) = (
        seconds(replace(whole, draws=draws, **FEW)) for draws in options.draws
    )
    sweep = (many - few) / (options.draws[1] - options.draws[0])
    rest = few - sweep * options.draws[0] - files
    sweeps = stages_of(whole) * sweeps_of(whole) + whole.draws
    cost, steps = operations(whole)
    rate = cost * steps * whole.chains / sweep
    galaxy = rate * (rest + sweep * sweeps)
    report = machine() | {
        "command": f"python -m benchmarks.catalog_million --cross-term {whole.cross_term}",
        "settings": f"defaults, cross_term = {whole.cross_term}",
        "CPU seconds of a sweep": round(sweep, 3),
        "CPU seconds of the files": round(files, 2),
        f"CPU seconds of the rest, with {FEW['prior_draws']} prior draws": round(rest, 1),
        "sweeps": sweeps,
        "CPU seconds a galaxy": round(files + rest + sweep * sweeps),
        "operations of a gradient": cost,
        "operations a galaxy": galaxy,
        "operations a second of a core here": round(rate),
        "a million, core years": round(MANY * (files + rest + sweep * sweeps) / 3.156e7, 1),
        "assumed": f"peak {PEAK:g} a second, shares {SHARES}, {CORES} cores a GPU for the files",
    }
    report["a million on GPUs, days"] = {
        str(number): [
            round(MANY * max(galaxy / (PEAK * share), files / CORES) / number / 86400, 2)
            for share in SHARES
        ]
        for number in GPUS
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
