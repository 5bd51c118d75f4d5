"""From what the networks denoise to what the model sees, and what is read off it.

    S = max(x, 0) / sum max(x, 0),   x = e^{0.1 z0} - 1        host
    D = min(max(D0, 1e-4), 1)                                  transmission

The denoised target (DESIGN) is the push-forward of its latents through these maps: no
density is carried through them, so there is no Jacobian.
"""

import jax.numpy as jnp
from jax import Array

# A = 10 mag: darker than any pixel that still tells something
LEAST_TRANSMISSION = 1e-4
STRETCH = 0.1  # z0 = ln(1 + x) / STRETCH, the coordinate that HSC-64 was trained in


def host_from_clean(clean: Array) -> Array:
    """Host of unit sum, (y, x), from a clean latent z0 = ln(1 + x) / 0.1.

    x < 0 is an error of the network, of the order of 1e-3 of the peak; over the whole
    frame it would still move the sum, so it is cut off.
    """
    image = image_from_clean(clean)
    return image / jnp.sum(image)


def image_from_clean(clean: Array) -> Array:
    """The same host as an image x >= 0 whose peak is about 1, (y, x)."""
    return jnp.maximum(jnp.expm1(STRETCH * clean), 0.0)


def clean_from_image(image: Array) -> Array:
    """Clean latent z0 of an image x >= 0 whose peak is about 1."""
    return jnp.log1p(image) / STRETCH


def transmission_from_clean(clean: Array) -> Array:
    """Transmission in [1e-4, 1], (y, x), from a denoised dust latent."""
    return jnp.clip(clean, LEAST_TRANSMISSION, 1.0)


def attenuation(transmission: Array, k_pivot: float) -> Array:
    """A at 0.4754 micron in mag; `k_pivot` is k there, 1 unless norm="paper"."""
    return -2.5 * k_pivot * jnp.log10(transmission)


def mean_attenuation(host: Array, transmission: Array, k_pivot: float) -> Array:
    """Light-weighted mean of A at 0.4754 micron, mag."""
    return jnp.sum(host * attenuation(transmission, k_pivot))


def covering_fraction(host: Array, transmission: Array, k_pivot: float, threshold: float) -> Array:
    """Share of the host's light behind more than `threshold` mag at 0.4754 micron."""
    return jnp.sum(host * (attenuation(transmission, k_pivot) > threshold)) / jnp.sum(host)


def log_screen(host: Array, transmission: Array) -> Array:
    """Light-weighted mean of ln D: moves by ln c along the orbit D -> c D."""
    return jnp.sum(host * jnp.log(transmission))
