"""Draws of the HSC-64 host prior, to check the noise bookkeeping by eye.

    python docs/figures/host_draws.py

Top: draws at t = 0.02 by reverse diffusion from t = 10, denoised, S in arcsinh stretch.
Bottom: the same draws as the network sees them, noise and all.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

from dustpost.coordinates import STRETCH
from dustpost.networks.diffusion import sigma_of
from dustpost.priors.host import load_host_prior

DRAWS, SEED, TIME = 10, 3, 0.02


def main() -> None:
    prior, sigma = load_host_prior(), sigma_of(TIME)
    keys = jax.random.split(jax.random.key(SEED), DRAWS)
    latents = jax.jit(lambda keys: jax.lax.map(lambda k: prior.sample(k, sigma), keys))(keys)
    clean = jax.vmap(lambda z: prior.denoise(z, sigma))(latents)
    figure = Figure(figsize=(2 * DRAWS / 2, 2.3), layout="constrained")
    axes = figure.subplots(2, DRAWS)
    for row, images in zip(axes, (clean, latents), strict=True):
        for axis, image in zip(row, images, strict=True):
            axis.imshow(jnp.arcsinh(20 * jnp.expm1(STRETCH * image)), origin="lower", cmap="magma")
            axis.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=80)
    peaks = jnp.max(jnp.expm1(STRETCH * clean), axis=(1, 2))
    print("peaks", jnp.round(peaks, 2))


if __name__ == "__main__":
    main()
