"""What one training step sees: pairs, turned and mirrored, with noise levels to add.

Both images of a pair go under the same one of the square's eight symmetries. Noise
levels are stratified over a batch,

    P(sigma) uniform in ln sigma below and above a knee, `SHARE` of it below,

as samplers work at the noise of the maps themselves and below, while the levels above
only have to be there for reverse diffusion to start from nothing. Everything is a
function of the seed and the step's number.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

SHARE = 0.75  # of a batch lies below the knee ...
KNEE = 10.0  # ... which is at this many spreads of the data
WORKING_SHARE = 0.6  # of `working_levels`


def batch_of(host: np.ndarray, transmission: np.ndarray, batch: int, seed: int, step: int) -> tuple:
    """Return the pairs of one step: a function of the seed and the step alone."""
    chosen = np.random.default_rng((seed, step)).integers(0, len(host), batch)
    return host[chosen].astype(np.float32), transmission[chosen].astype(np.float32)


def dihedral(element: Array, image: Array) -> Array:
    """Apply one of the eight symmetries of the square, numbered by three bits."""
    image = jnp.where(element & 1, image[::-1], image)
    image = jnp.where(element & 2, image[:, ::-1], image)
    return jnp.where(element & 4, image.T, image)


def turn(key: Array, host: Array, transmission: Array) -> tuple[Array, Array]:
    """Turn each pair, (batch, y, x) twice, by a random symmetry of the square."""
    element = jax.random.randint(key, (host.shape[0],), 0, 8)
    return jax.vmap(dihedral)(element, host), jax.vmap(dihedral)(element, transmission)


def noise_levels(key: Array, batch: int, low: float, high: float, spread: float) -> Array:
    """Draw noise levels, stratified and in rising order but for one jump.

    Parameters
    ----------
    key : Array
        A jax random key.
    batch : int
        How many.
    low, high : float
        Range of the levels.
    spread : float
        Standard deviation of the data; the knee is at `KNEE` of it.

    Returns
    -------
    Array, (batch,)
    """
    place = (jax.random.uniform(key) + jnp.arange(batch) / batch) % 1.0
    knee = min(max(KNEE * spread, low), high)
    ends = jnp.log(jnp.array([low, knee, high]))
    # interpolation may leave the range by round-off
    return jnp.clip(jnp.exp(jnp.interp(place, jnp.array([0.0, SHARE, 1.0]), ends)), low, high)


def log_uniform(key: Array, count: int, ends: tuple[float, float]) -> Array:
    """Draw numbers between two ends, stratified in their logarithm, (count,)."""
    place = (jax.random.uniform(key) + jnp.arange(count) / count) % 1.0
    return ends[0] * (ends[1] / ends[0]) ** place


def working_levels(
    key: Array, batch: int, low: float, high: float, spread: float, working: tuple[float, float]
) -> Array:
    """Draw noise levels, `WORKING_SHARE` of them where samplers work, (batch,).

    Log-uniform and stratified between the two ends of `working`; the rest as `noise_levels`.
    """
    first, second = jax.random.split(key)
    many = int(WORKING_SHARE * batch)
    quiet = log_uniform(first, many, working)
    return jnp.concatenate([quiet, noise_levels(second, batch - many, low, high, spread)])


def grit(key: Array, host: Array, most: float) -> Array:
    """Add white noise to every second host: at inference hosts are reconstructed.

    Parameters
    ----------
    key : Array
        A jax random key.
    host : Array, (batch, y, x)
    most : float
        Largest sd in units of the peak, the others log-uniform over two decades.

    Returns
    -------
    Array, (batch, y, x)
    """
    grain, size = jax.random.split(key)
    batch = host.shape[0]
    amount = most * 10.0 ** (-2 * jax.random.uniform(size, (batch,)))
    # Strata are in order of sigma, so a checkerboard of pairs stays unbiased.
    amount = jnp.where(jnp.arange(batch) % 2 == 0, amount, 0.0)
    peak = host.max(axis=(1, 2), keepdims=True)
    return host + amount[:, None, None] * peak * jax.random.normal(grain, host.shape)


def blur(images: Array, width: Array) -> Array:
    """Blur images, (batch, y, x), by Gaussians of an sd each, (batch,), pixels; to their edges."""

    def rows(size):
        place = jnp.arange(size)
        apart = place[None, :, None] - place[None, None, :]
        kernel = jnp.exp(-0.5 * jnp.square(apart / width[:, None, None]))
        return kernel / kernel.sum(axis=2, keepdims=True)

    down, along = rows(images.shape[1]), rows(images.shape[2])
    return jnp.einsum("nyu,nuv,nxv->nyx", down, images, along)
