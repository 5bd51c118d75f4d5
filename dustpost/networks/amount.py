"""How much dust a galaxy has, as far as its image in three bands tells: a network's density.

    q(u | Y) = softmax(f(Y))_b / width   for g(u) in bin b,   g(u) = arsinh(u / FAINT),

u = sum S A / sum S, the light-weighted mean attenuation at 0.4754 micron. f is learnt by maximum
likelihood of simulated galaxies' own u, so that q is their posterior given all that f can see: a
neural posterior estimate (Papamakarios & Murray 2016; Cranmer, Brehmer & Louppe 2020, PNAS 117,
30055), in one dimension. It sees images in which every band has the same light-weighted mean:
what is left of colour is how it changes over the galaxy, of which the calibration of the bands and
the stars' spectrum as a whole are no part.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.networks.batches import dihedral

FAINT = 0.03  # mag
BINS, DEEPEST = 28, 5.6  # of g; 4 mag
FINEST = FAINT * np.sinh(DEEPEST / BINS)  # mag; the first bin
SOFT = 2.0  # noise levels that a colour is softened by
BRIGHT = 5  # side of the mean that tells where there is light, pixel
STEEPEST = 2.0  # colours are cut there


def coordinate(amount: Array) -> Array:
    """g(u) of a mean attenuation in mag: linear where there is no dust, logarithmic where much."""
    return jnp.arcsinh(amount / FAINT)


def amount_at(place: Array) -> Array:
    """The mean attenuation in mag at a place g: the inverse of `coordinate`."""
    return FAINT * np.sinh(place)


def features(data: Array, noise: Array, width: Array) -> Array:
    """What the network sees of a cutout.

    Parameters
    ----------
    data : Array, (3, y, x)
        Near g, r and z, in any unit; 0 where masked.
    noise : Array, (3,)
        Standard deviation of a pixel, in the same unit.
    width : Array, (3,)
        Of the PSFs, pixel: the square root of the noise-equivalent area.

    Returns
    -------
    Array, (y, x, 6)
        Signal-to-noise in r, two colours, and the widths.
    """
    seen = data[1] / noise[1]
    window = jnp.full((1, 1, BRIGHT, BRIGHT), BRIGHT**-2.0, data.dtype)
    smooth = jax.lax.conv(seen[None, None], window, (1, 1), "SAME")[0, 0]
    light = jnp.maximum(smooth, 0.0)
    level = jnp.sum(data * light[None], axis=(1, 2)) / jnp.sum(light)
    level = jnp.maximum(level, noise)  # a band without light stays finite
    even, sd = data / level[:, None, None], noise / level
    mean = jnp.maximum(jnp.mean(even, axis=0), 0.0) + SOFT * jnp.sqrt(jnp.mean(sd**2))
    colours = jnp.clip((even[:-1] - even[1:]) / mean[None], -STEEPEST, STEEPEST)
    widths = jnp.broadcast_to(width[:, None, None] / 4 - 1, (3, *seen.shape))
    return jnp.concatenate([jnp.arcsinh(seen / 2)[None], colours, widths]).transpose(1, 2, 0)


class Amount(nn.Module):
    """Images (n, y, x, 6) of `features` -> logits (n, bin).

    Convolutions with a stride of two, residual but for the first, summed three ways: weighted by
    the light, evenly, and the greatest.
    """

    widths: tuple[int, ...] = (32, 64, 96)

    @nn.compact
    def __call__(self, images: Array) -> Array:
        side = 2 ** len(self.widths)
        light = jnp.maximum(jnp.sinh(images[..., :1]), 0.0) + 1e-3
        light = nn.avg_pool(light, (side, side), (side, side))
        light = light / jnp.sum(light, axis=(1, 2), keepdims=True)
        found = images
        for number, width in enumerate(self.widths):
            found = nn.Conv(width, (4, 4), strides=(2, 2))(found)
            found = nn.gelu(nn.GroupNorm(8)(found))
            if number:
                inner = nn.gelu(nn.Conv(width, (3, 3))(found))
                found = found + nn.Conv(width, (3, 3))(inner)
        sums = jnp.sum(found * light, axis=(1, 2)), found.mean(axis=(1, 2)), found.max(axis=(1, 2))
        hidden = nn.gelu(nn.Dense(128)(jnp.concatenate(sums, axis=-1)))
        return nn.Dense(BINS)(nn.gelu(nn.Dense(64)(hidden)))


def loss(parameters: dict, images: Array, amount: Array, network: Amount) -> Array:
    """-ln q of true amounts (n,) in mag, mean over images (n, y, x, 6)."""
    logits = jax.nn.log_softmax(network.apply(parameters, images))
    bin_ = jnp.clip(coordinate(amount) / DEEPEST * BINS, 0, BINS - 1).astype(int)
    return -jnp.mean(jnp.take_along_axis(logits, bin_[:, None], axis=1))


def probabilities(parameters: dict, image: Array, network: Amount) -> Array:
    """Share of each bin, (bin,), of an image (y, x, 6): the mean of its eight turns."""
    of_channels = jax.vmap(dihedral, in_axes=(None, -1), out_axes=-1)
    turned = jax.vmap(of_channels, in_axes=(0, None))(jnp.arange(8), image)
    return jnp.mean(jax.nn.softmax(network.apply(parameters, turned)), axis=0)


def quantiles(share: np.ndarray, at: Sequence[float]) -> list[float]:
    """Amounts in mag below which `at` of the density lies, of the shares (bin,) of all bins."""
    cumulative = np.concatenate([[0.0], np.cumsum(np.asarray(share, float))])
    edges = np.linspace(0.0, DEEPEST, BINS + 1)
    return amount_at(np.interp(at, cumulative / cumulative[-1], edges)).tolist()
