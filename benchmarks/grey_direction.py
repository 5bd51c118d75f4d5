"""Claim: HSC-64 takes a simulated galaxy for dustier than it is, the host prior `sim` does not.

    python benchmarks/grey_direction.py [--seeds 6]

Along D -> D^(1+a), S -> S D / D^(1+a), which a grey curve would hide from the data, from the
demo's truth (a = 0): the integral of each prior's score over a, latents with their noise held,
mean and sd over draws of the noise. S moves by a given image, so that the host's integral is
the change of its log-density; the dust's also has the volume of a pattern that is stretched,
and is shown for scale. Written beside this file as JSON.
"""

import argparse
import json
from importlib.resources import files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dustpost import coordinates
from dustpost.assemble import build_target
from dustpost.io.read import read
from dustpost.posterior import Target
from dustpost.settings import Settings

STEPS = np.round(np.arange(-0.4, 0.81, 0.1), 2)
OUT = Path(__file__).with_suffix(".json")


@jax.jit
def slopes(target: Target, host, transmission, a, noise) -> tuple:
    """Mean A, and d log p / da of host and dust at one a."""
    level = target.host_prior.level(target.sigma_host)

    def path(a):
        deeper = transmission ** (1 + a)
        bare = host * transmission / deeper
        clean = coordinates.clean_from_image(bare / bare.sum() / (host / host.sum()).max())
        z = level.scale * clean + level.sigma * noise[0]
        return z, target.dust_prior.latent(deeper) + target.sigma_dust * noise[1]

    (z, x), (dz, dx) = jax.jvp(path, (a,), (jnp.ones_like(a),))
    seen, score = target.host_of(z)
    dust = target.dust_of(x, seen)
    depth = coordinates.mean_attenuation(seen.image, dust.transmission, target.k_pivot)
    return depth, jnp.vdot(score, dz), jnp.vdot(dust.score, dx)


def profile(target: Target, truth, seeds: int) -> dict:
    """Mean A, and both integrals from a = 0, at each of `STEPS`."""
    host, transmission = jnp.asarray(truth.host), jnp.asarray(np.clip(truth.transmission, 1e-3, 1))
    found = []
    for seed in range(seeds):
        noise = jax.random.normal(jax.random.key(seed), (2, *host.shape))
        found.append([slopes(target, host, transmission, jnp.float32(a), noise) for a in STEPS])
    depth, *along = np.moveaxis(np.asarray(found), -1, 0)
    result = {"mean_attenuation": depth.mean(axis=0).round(3).tolist()}
    for name, values in zip(("host", "dust"), along, strict=True):
        parts = 0.5 * (values[:, 1:] + values[:, :-1]) * np.diff(STEPS)
        total = np.concatenate([np.zeros((seeds, 1)), np.cumsum(parts, axis=1)], axis=1)
        total -= total[:, [int(np.argmin(np.abs(STEPS)))]]
        result[name] = total.mean(axis=0).round(1).tolist()
        result[f"{name}_sd"] = total.std(axis=0).round(1).tolist()
    return result


def main() -> None:
    """Both host priors on the demo galaxy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args()
    cutout = read([files("dustpost") / "data" / "demo.fits"])
    result = {"a": STEPS.tolist(), "seeds": options.seeds}
    for name in ("hsc64", "sim"):
        target = build_target(cutout, Settings(cross_term="cut", host_prior=name))
        result[name] = profile(target, cutout.truth, options.seeds)
        print(name, result[name]["host"])
    OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
