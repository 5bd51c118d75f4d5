"""Claim: for equal CPU seconds, the shipped dust network's design beats the others here.

    python benchmarks/compare_networks.py --pairs pairs.npz --out compare.json \
        [--data ../shared/data] [--seconds 360] [--coordinate transmission] [--variants ...]

trains each variant on one core for the same CPU seconds, on a schedule whose length is
fitted to them, and measures on pairs that were held out and on RADMC-3D views:

- the error of D = decode(v0), light-weighted and over all pixels. For coordinates to
  compare, sigma is such that the noise itself, |decode(v + sigma e) - D|, has the same
  light-weighted rms for all of them;
- the antisymmetric part of the denoiser's Jacobian J, rms(v'Jw - w'Jv)/rms(v'Jw + w'Jv)
  over white probes v, w: 0 for a gradient field;
- prior draws against truths: medians, and Kolmogorov-Smirnov distances, of the mean
  attenuation and the covering fraction, and the gap from reverse diffusion;
- milliseconds of a call, and of a call with its vector-Jacobian product, alone and in a
  loop, and the parameters.

What is done is kept: a variant that the JSON file holds is not run again.
"""

import os

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import argparse
import json
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from radmc import radmc_views, summaries
from scipy.stats import ks_2samp

from dustpost.networks import dust, edm, training
from dustpost.networks.unet import condition

NOISE = (0.003, 0.01, 0.03, 0.1, 0.3)  # light-weighted rms in D
COORDINATES = ("transmission", "optical_depth", "log_attenuation")
SHAPES = {  # channels, fold, parameterisation
    "energy": ((32, 64, 96), 2, "energy"),
    "energy-half": ((16, 32, 64), 2, "energy"),
    "fold-1": ((8, 32, 64, 96), 1, "score"),
    "small": ((24, 48, 72), 2, "score"),
    "large": ((48, 96, 128), 2, "score"),
}
HELD_OUT = 512
DRAWN = 96
BATCH = 32


def make_task(name: str, v: str, host, transmission):
    """Return the task of a variant; `v` is the coordinate of those that do not name one."""
    if name in COORDINATES:
        return dust.task(host, transmission, name)
    channels, fold, parameterisation = SHAPES[name]
    return dust.task(host, transmission, v, parameterisation, channels, fold)


def fit(task, host, transmission, seconds: float, seed: int) -> tuple[dict, dict]:
    """Train for so many CPU seconds, compilation not counted; return weights and facts."""

    def run(config, state, steps, first=0):
        for step in range(first, first + steps):
            pairs = training.batch_of(host, transmission, config.batch, config.seed, step)
            state, value = training.train_step(task, config, state, *pairs)
            jax.block_until_ready(value)
        return state, value

    trial = training.settle(training.Config(batch=BATCH, seed=seed))
    state, _ = run(trial, training.init(task, trial), 1)
    start = time.process_time()
    run(trial, state, 8, 1)
    steps = int(8 * seconds / (time.process_time() - start))
    config = trial._replace(steps=steps, warmup=min(300, steps // 8))
    run(config, training.init(task, config), 1)
    start = time.process_time()
    state, value = run(config, training.init(task, config), steps)
    facts = {"steps": steps, "cpu_seconds": round(time.process_time() - start, 1)}
    return state.average, facts | {"last_loss": round(float(value), 4)}


def weigh(host, square) -> float:
    """Light-weighted rms over pixels of errors whose squares are given."""
    weight = host / host.sum(axis=(1, 2), keepdims=True)
    return float(np.sqrt((weight * square).sum(axis=(1, 2)).mean()))


def matched_sigma(axis, host, transmission, wanted: float) -> float:
    """Return the noise level at which the noise in D has the wanted rms, by bisection."""
    clean = axis.encode(jnp.asarray(transmission))
    noise = jax.random.normal(jax.random.key(7), clean.shape)
    low, high = 1e-5, 1e3
    for _ in range(40):
        middle = (low * high) ** 0.5
        moved = np.asarray(axis.decode(clean + middle * noise))
        low, high = (
            (low, middle)
            if weigh(host, (moved - transmission) ** 2) > wanted
            else (
                middle,
                high,
            )
        )
    return middle


def errors(denoiser, params, host, transmission) -> dict:
    """Return sigma and the rms errors of D at each matched noise."""
    report = {}
    for wanted in NOISE:
        sigma = matched_sigma(denoiser.axis, host, transmission, wanted)
        found = dust.denoise_all(denoiser, params, host, transmission, sigma)
        square = (found - transmission) ** 2
        report[str(wanted)] = {
            "sigma": round(sigma, 5),
            "light_weighted": round(weigh(host, square), 5),
            "plain": round(float(np.sqrt(square.mean())), 5),
        }
    return report


def curl(denoiser, params, host, transmission, sigma: float, probes: int = 16) -> float:
    """Return the relative size of the antisymmetric part of the denoiser's Jacobian."""

    @jax.jit
    def pair(x, light, v, w):
        def run(y):
            return denoiser.denoise(params, y[None], jnp.full(1, sigma), light[None])[0]

        return (v * jax.vjp(run, x)[1](w)[0]).sum(), (w * jax.vjp(run, x)[1](v)[0]).sum()

    products = []
    for number, (light, clean) in enumerate(zip(host, transmission, strict=True)):
        e, *rest = jax.random.normal(jax.random.key(number), (1 + 2 * probes, *clean.shape))
        x = denoiser.axis.encode(jnp.asarray(clean)) + sigma * e
        for v, w in zip(rest[:probes], rest[probes:], strict=True):
            products.append(pair(x, condition(jnp.asarray(light)), v, w))
    first, second = np.array(products).T
    return round(float(np.sqrt(((first - second) ** 2).mean() / ((first + second) ** 2).mean())), 4)


def draws(task, params, host, transmission, sigma: float) -> dict:
    """Compare prior draws for some hosts, stopped at sigma and denoised, with truths."""
    denoiser = task.denoiser

    @jax.jit
    def one(params, key, light):
        light = condition(light)

        def run(x, level):
            return denoiser.denoise(params, x[None], level[None], light[None])[0]

        first, rest = jax.random.split(key)
        start = denoiser.moments.mean + task.sigma_high * jax.random.normal(first, light.shape)
        levels = edm.ladder(task.sigma_high, sigma, 48)
        return denoiser.axis.decode(
            run(edm.reverse_diffusion(rest, run, start, levels, 20.0), jnp.float32(sigma))
        )

    keys = jax.random.split(jax.random.key(3), len(host))
    found = np.stack([one(params, k, jnp.asarray(h)) for k, h in zip(keys, host, strict=True)])
    report = {}
    names = ("mean_attenuation", "covering_fraction")
    for name, a, b in zip(
        names, summaries(host, transmission), summaries(host, found), strict=True
    ):
        quantiles = [np.quantile(x, [0.16, 0.5, 0.84]).round(3).tolist() for x in (a, b)]
        report[name] = {"truth": quantiles[0], "draws": quantiles[1]}
        report[name]["ks"] = round(float(ks_2samp(a, b).statistic), 3)
    return report


def cost(denoiser, params, host, transmission) -> dict:
    """Return milliseconds of a call and its vector-Jacobian product: the fastest of some."""
    x = denoiser.axis.encode(jnp.asarray(transmission))
    light = condition(jnp.asarray(host))

    def call(params, y):
        return denoiser.denoise(params, y[None], jnp.full(1, 0.05), light[None])[0]

    def pull(params, y):
        value, back = jax.vjp(partial(call, params), y)
        return back(value)[0]

    def loop(params, y):
        return jax.lax.fori_loop(0, 20, lambda _, z: pull(params, z), y)

    report = {}
    for name, function, count in (("call", call, 1), ("call_vjp", pull, 1), ("vjp_loop", loop, 20)):
        compiled = jax.jit(function)
        jax.block_until_ready(compiled(params, x))
        times = []
        for _ in range(40 // count + 3):
            start = time.perf_counter()
            jax.block_until_ready(compiled(params, x))
            times.append(1e3 * (time.perf_counter() - start) / count)
        report[f"{name}_ms"] = round(min(times), 2)
    return report


def measure(name: str, options, host, transmission, views) -> dict:
    """Train and measure one variant."""
    known = len(host) - HELD_OUT
    task = make_task(name, options.coordinate, host[:known], transmission[:known])
    denoiser = task.denoiser
    params, facts = fit(task, host[:known], transmission[:known], options.seconds, options.seed)
    own = [images[known : known + 256].astype(np.float32) for images in (host, transmission)]
    few = [images[:DRAWN] for images in own]
    report = facts | {
        "coordinate": denoiser.coordinate,
        "parameterisation": denoiser.parameterisation,
        "fold": denoiser.network.fold,
        "channels": denoiser.network.channels,
        "moments": denoiser.moments[:2],
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "cost": cost(denoiser, params, own[0][0], own[1][0]),
        "errors": {"own": errors(denoiser, params, *own)},
    }
    sigma = report["errors"]["own"]["0.03"]["sigma"]
    report["curl"] = curl(denoiser, params, own[0][:8], own[1][:8], sigma)
    report["draws"] = draws(task, params, *few, sigma)
    if views is not None:
        report["errors"]["radmc"] = errors(denoiser, params, *views)
    if options.weights:
        options.weights.mkdir(parents=True, exist_ok=True)
        facts = training.checkpoint.describe(**task.describe())
        training.checkpoint.save(options.weights / f"{name}.safetensors", params, facts)
    return report


def table(results: dict) -> str:
    """Return the results as a Markdown table: errors are light-weighted, in units of 1e-4."""
    sets = [s for s in ("own", "radmc") if any(s in r["errors"] for r in results.values())]
    head = ["variant", "v", "parameters", "steps", "call / +VJP / in loop [ms]", "curl"]
    head += [f"{s} {noise}" for s in sets for noise in NOISE] + ["KS mean A, covering"]
    rows = [head, ["---"] * len(head)]
    for name, result in results.items():
        times = " / ".join(str(value) for value in result["cost"].values())
        row = [name, result["coordinate"], result["parameters"], result["steps"], times]
        row += [result["curl"]]
        row += [
            f"{1e4 * result['errors'][s][str(noise)]['light_weighted']:.0f}"
            for s in sets
            for noise in NOISE
        ]
        row += [", ".join(str(part["ks"]) for part in result["draws"].values())]
        rows.append(row)
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows) + "\n"


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", default=os.environ.get("DUSTPOST_DATA", "../shared/data"))
    parser.add_argument("--seconds", type=float, default=360.0)
    parser.add_argument("--coordinate", default="transmission", choices=COORDINATES)
    parser.add_argument("--variants", nargs="+", default=[*COORDINATES, *SHAPES])
    parser.add_argument("--weights", type=Path, help="folder to keep the weights in")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with np.load(options.pairs) as pairs:
        host, transmission = pairs["host"], pairs["transmission"]
    views = radmc_views(Path(options.data)) if (Path(options.data) / "rt").is_dir() else None
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.variants:
        if name in results:
            continue
        results[name] = measure(name, options, host, transmission, views)
        part = options.out.with_name(options.out.name + ".part")
        part.write_text(json.dumps(results, indent=1) + "\n")
        part.replace(options.out)
        options.out.with_suffix(".md").write_text(table(results))
        print(name, json.dumps(results[name]), flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
