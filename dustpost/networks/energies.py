"""What an energy has to learn beyond denoising, and its loss.

    L = w(s) <|D0 - v|^2 + a |N - v|^2> + (sigma/s)^4 h_1(coarse(D0 - v))
        + b h_c((dE/dln(sigma) + |e|^2)^2) / n,                           s = rms(x - v),

h_c(t) = 2 c^2 [sqrt(1 + t/c^2) - 1], Huber's, that a few very dusty galaxies do not rule the
gradient, with D0 = x - sigma^2 grad E and N of `dustpost.networks.edm`, x = v + d + sigma e of
n pixels.

At one noise level denoising (d = 0) is learnt where noise of that level leads: an energy is free
everywhere else, and with it the weights of galaxies far from each other, such as those with and
without dust. Its change with the noise level ties them: of the density smoothed by sigma, as
dp/dln(sigma) = sigma^2 laplace(p),

    dE/dln(sigma) = -E[|e|^2 | x]

where exp(-E)/(2 pi sigma^2)^(n/2) is to be normalised, and at the highest noise, under which all
galaxies are alike, there is nothing left to weigh (dual score matching: Guth, Kadkhodaie &
Simoncelli 2025, arXiv:2506.05310). It is asked for where d = 0, and samplers work or more noise is.

Some x, of the dust, are moved off the data by smooth fields d, and are to be led back: long
chains would settle where no data were. Noise hides next to nothing of such a
field, so that near the data the optimum stays E[v | x]. N is what the likelihood sees.
"""

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.networks import edm

DISPLACED = 0.3  # of a batch is moved ...
AMPLITUDES = (0.3, 6.0)  # ... by so many noise levels ...
SCALES = (1.5, 40.0)  # ... in fields so many pixels wide
PICTURE = 0.3  # a
COARSE = (8, 4, 1)  # blocks on a side over which `coarse` takes means
COARSE_WEIGHT = 0.25
RATE_WEIGHT = 1.0  # b
RATE_CORNER = 30.0  # c, nat: more than |e|^2 leaves open


def displacement(key: Array, like: Array, sigma: Array) -> Array:
    """Draw d: Gaussian random fields for `DISPLACED` of some images, zero for the others.

    Amplitude and scale are log-uniform in `AMPLITUDES` and `SCALES`.

    Parameters
    ----------
    key : Array
        A jax random key.
    like : Array, (batch, y, x)
        Images of the shape wanted.
    sigma : Array, (batch,)
        Noise levels.

    Returns
    -------
    Array, (batch, y, x)
    """
    chosen, size, width, noise = jax.random.split(key, 4)
    batch, height, across = like.shape
    moved = jax.random.uniform(chosen, (batch,)) < DISPLACED

    def between(key, ends):
        return ends[0] * (ends[1] / ends[0]) ** jax.random.uniform(key, (batch, 1, 1))

    # twice the size, so that no edge meets the opposite one
    wide = 2 * height, 2 * across
    up, right = jnp.fft.fftfreq(wide[0]), jnp.fft.rfftfreq(wide[1])
    wave = (jnp.square(up)[:, None] + jnp.square(right)[None])[None]
    smooth = jnp.exp(-2 * jnp.square(jnp.pi * between(width, SCALES)) * wave)
    white = jnp.fft.rfft2(jax.random.normal(noise, (batch, *wide), like.dtype))
    field = jnp.fft.irfft2(white * smooth, s=wide)[:, :height, :across]
    field = field / _rms(field)[:, None, None]
    return jnp.where(moved, sigma, 0.0)[:, None, None] * between(size, AMPLITUDES) * field


def loss(
    parts: edm.Parts,
    clean: Array,
    noisy: Array,
    sigma: Array,
    spread: float,
    tied: Array,
    weight: Array | float = 1.0,
) -> Array:
    """Return L of each image, (batch,).

    Parameters
    ----------
    parts : edm.Parts
        D0, N and dE/dln(sigma) of the noisy images.
    clean, noisy : Array, (batch, y, x)
        v and x.
    sigma : Array, (batch,)
    spread : float
        Standard deviation of the data.
    tied : Array, (batch,), bool
        Of which images the energy's change with the noise counts.
    weight : Array, (batch, y, x)
        Of the pixels, with a mean of 1.
    """
    size = _rms(noisy - clean)
    error = parts.denoised - clean
    square = jnp.square(error) + PICTURE * jnp.square(parts.picture - clean)
    fine = edm.loss_weight(size, spread) * jnp.mean(weight * square, axis=(1, 2))
    pixels = clean[0].size
    noise = pixels * jnp.square(size / sigma)  # |e|^2 of an image that was not moved
    rate = RATE_WEIGHT * _huber(jnp.square(parts.rate + noise), RATE_CORNER) / pixels
    # the means of an image that was moved are not known to the noise's accuracy
    rough = (sigma / size) ** 4 * _huber(coarse(error / size[:, None, None]), 1.0)
    return fine + rough + jnp.where(tied, rate, 0.0)


def coarse(error: Array) -> Array:
    """Square error of means over blocks, each in units of its own noise, (batch,).

    What moves many pixels at once is a small part of the mean over pixels, yet the noise
    hides it least: at noise sigma the mean of n pixels is known to sigma/sqrt(n).

    Parameters
    ----------
    error : Array, (batch, y, x)
        Of the denoised image, in units of the noise level: at high noise it fades.
    """
    batch, height, width = error.shape

    def of_means(side):
        blocks = error.reshape(batch, height // side, side, width // side, side)
        return jnp.mean(jnp.square(side * blocks.mean(axis=(2, 4))), axis=(1, 2))

    return COARSE_WEIGHT * sum(of_means(height // count) for count in COARSE)


def _huber(square: Array, corner: float) -> Array:
    return 2 * corner**2 * (jnp.sqrt(1 + square / corner**2) - 1)


def _rms(images: Array) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(images), axis=(1, 2)))
