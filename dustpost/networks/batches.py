"""What one training step sees: pairs, turned and mirrored, with noise added.

    noisy = D + sigma e,   ln sigma stratified over its range,

both images of a pair under the same one of the square's eight symmetries.
Everything is a function of the seed and the step's number.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.networks.unet import condition


def batch_of(host: np.ndarray, transmission: np.ndarray, batch: int, seed: int, step: int) -> tuple:
    """Return the pairs of one step: a function of the seed and the step alone."""
    chosen = np.random.default_rng((seed, step)).integers(0, len(host), batch)
    return host[chosen].astype(np.float32), transmission[chosen].astype(np.float32)


def dihedral(element: Array, image: Array) -> Array:
    """Apply one of the eight symmetries of the square, numbered by three bits."""
    image = jnp.where(element & 1, image[::-1], image)
    image = jnp.where(element & 2, image[:, ::-1], image)
    return jnp.where(element & 4, image.T, image)


def corrupt(
    key: Array,
    host: Array,
    transmission: Array,
    sigma_range: tuple[float, float],
    host_noise: float,
) -> tuple[Array, Array, Array, Array]:
    """Augment a batch and add noise.

    Parameters
    ----------
    key : Array
        A jax random key.
    host, transmission : Array, (batch, y, x)
    sigma_range : tuple of float
        Lowest and highest noise level, log-uniform between them.
    host_noise : float
        Largest white noise added to every second host, in units of its peak.

    Returns
    -------
    clean, noisy, condition : Array, (batch, y, x)
    sigma : Array, (batch,)
        Stratified over the range, so that each batch covers it.
    """
    batch = host.shape[0]
    turn, level, noise, grain, size = jax.random.split(key, 5)
    element = jax.random.randint(turn, (batch,), 0, 8)
    host = jax.vmap(dihedral)(element, host)
    clean = jax.vmap(dihedral)(element, transmission)
    place = (jax.random.uniform(level) + jnp.arange(batch) / batch) % 1.0
    low, high = sigma_range
    span = jnp.log(high / low)
    sigma = low * jnp.exp(span * place)
    noisy = clean + sigma[:, None, None] * jax.random.normal(noise, clean.shape)

    grit = host_noise * 10.0 ** (-2 * jax.random.uniform(size, (batch,)))
    # Strata are in order of sigma, so a checkerboard of pairs stays unbiased.
    grit = jnp.where(jnp.arange(batch) % 2 == 0, grit, 0.0)
    peak = host.max(axis=(1, 2), keepdims=True)
    host = host + grit[:, None, None] * peak * jax.random.normal(grain, host.shape)
    return clean, noisy, condition(host), sigma
