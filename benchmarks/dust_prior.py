"""Claim: the shipped dust prior denoises, draws dust maps like its world's, and is stable.

    python benchmarks/dust_prior.py --out docs/figures [--data ../shared/data] [--weights W]

measures, on galaxies that were never trained on, the denoising error against
noise level (own simulator and, where found, RADMC-3D views), a two-sample
comparison of prior draws with truths, the network's own Langevin dynamics from
a bad start, and the cost of a call. Writes dust_prior.json and two figures.
"""

import argparse
import json
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from radmc import radmc_views, summaries
from scipy.stats import ks_2samp

from dustpost.networks.dust import LEVELS, denoise_all
from dustpost.priors.dust import load_dust_prior
from dustpost.simulate.suite import draw_pairs

SEED = 1_000_003  # not the training set's
SPREADS = 0.6  # the noise level of draws, in spreads of the coordinate: 0.05 in transmission


def sigma_of(prior) -> float:
    """Noise level at which draws stop."""
    return float(f"{SPREADS * prior.denoiser.moments.spread:.2g}")


def rms_errors(prior, host, transmission) -> dict[str, dict[str, float]]:
    """Return the rms error of D by noise level: over all pixels, and weighted with S."""
    light = host / host.sum(axis=(1, 2), keepdims=True)
    report = {"all pixels": {}, "weighted with S": {}}
    for level in LEVELS:
        sigma = float(f"{level * prior.denoiser.moments.spread:.3g}")
        found = denoise_all(prior.denoiser, prior.parameters, host, transmission, sigma)
        square = (found - transmission) ** 2
        for name, total in (
            ("all pixels", square.mean()),
            ("weighted with S", (light * square).sum(axis=(1, 2)).mean()),
        ):
            report[name][str(sigma)] = float(np.sqrt(total))
    return report


def draw(prior, host, key) -> np.ndarray:
    """One prior draw of D for each host, one at a time."""

    @jax.jit
    def one(prior, inputs):
        number, light = inputs
        sigma = jnp.asarray(sigma_of(prior))
        return prior.transmission(prior.denoise(prior.sample(number, sigma, light), sigma, light))

    keys = jax.random.split(key, len(host))
    return np.stack([one(prior, (k, jnp.asarray(h))) for k, h in zip(keys, host, strict=True)])


def denoised(prior, host, transmission, key) -> np.ndarray:
    """Truths as the denoised target sees them: D0(v(D) + sigma e)."""

    @jax.jit
    def one(prior, inputs):
        number, light, clean = inputs
        sigma = jnp.asarray(sigma_of(prior))
        x = prior.latent(clean) + sigma * jax.random.normal(number, clean.shape)
        return prior.transmission(prior.denoise(x, sigma, light))

    keys = jax.random.split(key, len(host))
    both = zip(keys, jnp.asarray(host), jnp.asarray(transmission), strict=True)
    return np.stack([one(prior, inputs) for inputs in both])


def random_pixels(host, transmission, seed: int = 7) -> np.ndarray:
    """D of each galaxy at one pixel, drawn with the light as its probability: independent."""
    random = np.random.default_rng(seed)
    light = host.reshape(len(host), -1).astype(float)
    chosen = [random.choice(row.size, p=row / row.sum()) for row in light]
    return transmission.reshape(len(host), -1)[np.arange(len(host)), chosen]


def compare(host, truth, draws) -> dict:
    """Quartiles and Kolmogorov-Smirnov tests of the summaries, and of D where the light is."""
    report = {}
    names = ("mean_attenuation", "covering_fraction", "transmission_of_a_pixel")
    samples = ((*summaries(host, maps), random_pixels(host, maps)) for maps in (truth, draws))
    for name, a, b in zip(names, *samples, strict=True):
        test = ks_2samp(a, b)
        report[name] = {
            "truth_q16_q50_q84": np.quantile(a, [0.16, 0.5, 0.84]).round(4).tolist(),
            "draws_q16_q50_q84": np.quantile(b, [0.16, 0.5, 0.84]).round(4).tolist(),
            "ks": round(float(test.statistic), 3),
            "p": round(float(test.pvalue), 3),
        }
    return report


def langevin(prior, host, start: float, steps: int = 2000) -> dict:
    """x <- x + (e/2) score + sqrt(e) n with e = 0.3 sigma^2, from one D everywhere."""
    sigma = jnp.asarray(sigma_of(prior))
    size = 0.3 * sigma**2

    @jax.jit
    def run(prior, light):
        def step(x, key):
            x = x + 0.5 * size * prior.score(x, sigma, light)
            x = x + jnp.sqrt(size) * jax.random.normal(key, x.shape)
            return x, jnp.stack([x.min(), x.max()])

        keys = jax.random.split(jax.random.key(5), steps)
        x, track = jax.lax.scan(step, prior.latent(jnp.full((64, 64), start)), keys)
        return prior.transmission(prior.denoise(x, sigma, light)), track[steps // 4 :]

    clean, track = run(prior, jnp.asarray(host))
    depth, cover = summaries(np.asarray(host)[None].clip(0), np.asarray(clean)[None])
    return {
        "x_min": round(float(track[:, 0].min()), 3),
        "x_max": round(float(track[:, 1].max()), 3),
        "mean_attenuation": round(float(depth[0]), 3),
        "covering_fraction": round(float(cover[0]), 3),
    }


def strange_hosts(host: np.ndarray) -> dict[str, np.ndarray]:
    """Hosts the network never saw."""
    random = np.random.default_rng(0)
    axis = np.arange(64) - 31.5
    spot = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / 1.0)
    return {
        "point source": spot.astype(np.float32),
        "white noise": random.uniform(size=(64, 64)).astype(np.float32),
        "galaxy with a star of 5 peaks": host / host.max() + 5 * np.roll(spot, 12, 1),
        "galaxy on negative sky": host / host.max() - np.float32(0.02),
    }


def cost(prior, host) -> dict:
    """Median milliseconds of a call, and of a call with its vector-Jacobian product."""
    x, light = prior.latent(jnp.full((64, 64), 0.9)), jnp.asarray(host)
    sigma = jnp.asarray(sigma_of(prior))

    def call(prior, x):
        return prior.denoise(x, sigma, light)

    def pull(prior, x):
        value, back = jax.vjp(lambda y: call(prior, y), x)
        return back(value)[0]

    def loop(prior, x):
        return jax.lax.fori_loop(0, 20, lambda _, y: pull(prior, y), x)

    report = {}
    for name, function, count in (("call", call, 1), ("call_vjp", pull, 1), ("vjp_loop", loop, 20)):
        compiled = jax.jit(function)
        jax.block_until_ready(compiled(prior, x))
        times = []
        for _ in range(40 // count + 3):
            start = time.perf_counter()
            jax.block_until_ready(compiled(prior, x))
            times.append(1e3 * (time.perf_counter() - start) / count)
        report[f"{name}_ms"] = round(float(np.median(times)), 2)
    return report


def plot_draws(out: Path, host, truth, draws) -> None:
    """Ten hosts, their dust, and four draws each."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(6, 10, figsize=(10, 6.2))
    for column in range(10):
        light = np.arcsinh(50 * host[column] / host[column].max())
        axes[0, column].imshow(light, origin="lower", cmap="gray")
        for row, image in enumerate([truth[column], *draws[4 * column : 4 * column + 4]]):
            axes[row + 1, column].imshow(image, origin="lower", vmin=0, vmax=1, cmap="magma")
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    for row, name in enumerate(["host S", "true D", "draw", "draw", "draw", "draw"]):
        axes[row, 0].set_ylabel(name)
    figure.tight_layout(pad=0.2)
    figure.savefig(out / "dust_prior_draws.png", dpi=90)
    plt.close(figure)


def plot_numbers(out: Path, report: dict, host, truth, draws) -> None:
    """Denoising error, and the two summaries of draws and truths."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.1))
    for name, curves in report["rmse"].items():
        curve = curves["all pixels"]
        axes[0].loglog([float(level) for level in curve], list(curve.values()), "o-", label=name)
    axes[0].set(
        xlabel=f"noise level sigma in {report['coordinate']}",
        ylabel="rms error of D",
        ylim=(5e-4, 0.2),
    )
    axes[0].legend(frameon=False)
    labels = ("mean A [mag]", "covering fraction")
    both = zip(summaries(host, truth), summaries(host, draws), strict=True)
    for axis, label, (a, b) in zip(axes[1:], labels, both, strict=True):
        for values, name in ((a, "truth"), (b, "prior draws")):
            axis.step(np.sort(values), np.linspace(0, 1, len(values)), label=name)
        axis.set(xlabel=label, ylabel="cumulative share")
        axis.legend(frameon=False)
    axes[1].set_xscale("symlog", linthresh=0.01)
    axes[1].set_xlim(0, None)
    figure.tight_layout()
    figure.savefig(out / "dust_prior_numbers.png", dpi=90)
    plt.close(figure)


def main() -> None:
    """Measure, write, plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", default=os.environ.get("DUSTPOST_DATA", "../shared/data"))
    parser.add_argument("--weights", default=None)
    parser.add_argument("--galaxies", type=int, default=500)
    options = parser.parse_args()
    prior = load_dust_prior(options.weights)
    keys = jax.random.split(jax.random.key(SEED), 5)
    host, truth = (np.asarray(a) for a in draw_pairs(keys[0], options.galaxies))
    report = {"coordinate": prior.coordinate, "sigma": sigma_of(prior), "sha256": prior.sha256}
    report |= {"steps": prior.metadata["step"], "galaxies": len(host)}
    report["cost"] = cost(prior, host[0])
    report["rmse"] = {"own simulator": rms_errors(prior, host[:256], truth[:256])}
    draws = draw(prior, host, keys[1])
    report["draws_vs_truth"] = compare(host, truth, draws)
    report["draws_vs_denoised_truth"] = compare(host, denoised(prior, host, truth, keys[2]), draws)
    unseen = strange_hosts(host[0])
    if (Path(options.data) / "rt").is_dir():
        rt_host, rt_truth = radmc_views(Path(options.data))
        report["rmse"]["RADMC-3D views"] = rms_errors(prior, rt_host, rt_truth)
        rt_draws = draw(prior, rt_host, keys[3])
        report["radmc_draws_vs_truth"] = compare(rt_host, rt_truth, rt_draws)
        unseen["RADMC-3D spiral"] = rt_host[4]
    for start in (0.05, 0.97):
        runs = {name: langevin(prior, light, start) for name, light in unseen.items()}
        report[f"langevin_from_{start}"] = runs

    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "dust_prior.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    dusty = np.flatnonzero(summaries(host, truth)[0] > 0.02)[:10]
    plot_draws(
        options.out, host[dusty], truth[dusty], draw(prior, host[dusty].repeat(4, 0), keys[4])
    )
    plot_numbers(options.out, report, host, truth, draws)


if __name__ == "__main__":
    main()
