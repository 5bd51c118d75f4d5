"""Claim: one core simulates 20,000 pairs in under two hours and trains on 50 a second.

    python benchmarks/training_throughput.py [--core 0]

On one core (pinned): galaxies a second of the simulator, pairs a second of the training of
each network at its default size and batch, compilation not counted. Medians over steps, CPU
seconds, so that what else runs on the machine counts little. Writes
training_throughput.json next to this file.
"""

import argparse
import json
import os
import time
from pathlib import Path
from statistics import median

import jax
import numpy as np

from dustpost.networks import dust, joint_task, training
from dustpost.simulate.suite import draw_pairs

STEPS, CHUNK = 8, 64


def cpu_seconds(work) -> float:
    """CPU seconds of one call, its result waited for."""
    begin = time.process_time()
    jax.block_until_ready(work())
    return time.process_time() - begin


def pairs_a_second(task, host, transmission) -> float:
    """Pairs a second of the training loop's step."""
    config = training.settle(training.Config())
    state = training.init(task, config)
    times = []
    for step in range(STEPS + 1):
        batch = training.batch_of(host, transmission, config.batch, config.seed, step)
        begin = time.process_time()
        state, value = training.train_step(task, config, state, *batch)
        jax.block_until_ready((state, value))
        times.append(time.process_time() - begin)
    return config.batch / median(times[1:])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    keys = jax.random.split(jax.random.key(0), 5)
    host, transmission = (np.asarray(part) for part in draw_pairs(keys[0], CHUNK))
    host = host / host.max(axis=(1, 2), keepdims=True)
    cost = median(cpu_seconds(lambda key=key: draw_pairs(key, CHUNK)) for key in keys[1:]) / CHUNK
    tasks = {"dust": dust.task(host, transmission), "joint": joint_task.task(host, transmission)}
    report = (
        {
            "simulator_galaxies_a_second": round(1 / cost, 1),
            "hours_for_20000_pairs": round(20_000 * cost / 3600, 2),
        }
        | {
            f"{name}_pairs_a_second": round(pairs_a_second(task, host, transmission), 1)
            for name, task in tasks.items()
        }
        | {
            "device": jax.devices()[0].platform,
        }
    )
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
