"""A small U-Net that sees a noisy dust map beside its host.

Pixels are folded 2x2 into channels first (64x64x2 -> 32x32x8): on a CPU the
wide, shallow layers cost most. Three levels of residual blocks follow, each

    h = conv(silu(film(rms(x)))),   x + conv(silu(film(rms(h)))),

with the noise level entering by feature-wise scale and shift (Perez et al.
2018) of a Fourier embedding, and self-attention over the 8x8 positions of the
coarsest level: how much dust there is in all is a global question. The last
convolution starts at zero, so an untrained network changes nothing.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from dustpost.networks.convolution import Conv


def condition(host: Array) -> Array:
    """Turn a host into the network's second channel, in training and after.

    x = S sum(S) / sum(S^2) has a light-weighted mean of 1 whatever the unit
    of S; arcsinh(10 x)/3 compresses its peak and is smooth through zero, so
    slightly negative pixels of a reconstructed host are harmless.

    Parameters
    ----------
    host : Array, (..., y, x)
        Dust-free light, any normalisation.

    Returns
    -------
    Array, (..., y, x)
        About 0 on blank sky, 1 on the bright half of the light.
    """
    total = host.sum(axis=(-2, -1), keepdims=True)
    squares = (host**2).sum(axis=(-2, -1), keepdims=True)
    return jnp.arcsinh(10.0 * host * (total / squares)) / 3.0


def fold(image: Array) -> Array:
    """Move 2x2 neighbours into channels: (batch, y, x, c) -> (batch, y/2, x/2, 4c)."""
    batch, height, width, channels = image.shape
    blocks = image.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, 4 * channels)


def unfold(blocks: Array) -> Array:
    """Undo `fold`."""
    batch, height, width, channels = blocks.shape
    image = blocks.reshape(batch, height, width, 2, 2, channels // 4)
    return image.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, channels // 4)


def average(image: Array, block: int) -> Array:
    """Average over blocks; the first channel so that white noise stays of unit variance.

    Parameters
    ----------
    image : Array, (batch, y, x, 2)
        Scaled noisy map, host.
    block : int
        Side of a block, pixel.

    Returns
    -------
    Array, (batch, y/block, x/block, 2)
        arcsinh tames the first where there is much dust and little noise.
    """
    batch, height, width, _ = image.shape
    blocks = image.reshape(batch, height // block, block, width // block, block, 2)
    noisy, host = jnp.split(blocks.mean(axis=(2, 4)), 2, axis=-1)
    return jnp.concatenate([jnp.arcsinh(block * noisy), host], axis=-1)


class Film(nn.Module):
    """RMS normalisation over channels, then scale and shift by the embedding."""

    @nn.compact
    def __call__(self, x: Array, embedding: Array) -> Array:
        channels = x.shape[-1]
        scale, shift = jnp.split(nn.Dense(2 * channels)(embedding), 2, axis=-1)
        size = jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)
        return x * size * (1 + scale)[:, None, None, :] + shift[:, None, None, :]


class Block(nn.Module):
    """Two 3x3 convolutions around a residual connection."""

    channels: int

    @nn.compact
    def __call__(self, x: Array, embedding: Array) -> Array:
        h = Conv(self.channels)(nn.silu(Film()(x, embedding)))
        h = nn.silu(Film()(h, embedding))
        h = Conv(self.channels, kernel_init=nn.initializers.zeros)(h)
        if x.shape[-1] != self.channels:
            x = nn.Dense(self.channels, use_bias=False)(x)
        return x + h


class Attention(nn.Module):
    """Self-attention over all positions of a coarse map."""

    heads: int

    @nn.compact
    def __call__(self, x: Array, embedding: Array) -> Array:
        batch, height, width, channels = x.shape
        tokens = Film()(x, embedding).reshape(batch, height * width, channels)
        shape = (batch, height * width, 3, self.heads, channels // self.heads)
        query, key, value = jnp.moveaxis(nn.Dense(3 * channels)(tokens).reshape(shape), 2, 0)
        logits = jnp.einsum("bqhc,bkhc->bhqk", query, key) * (channels // self.heads) ** -0.5
        mixed = jnp.einsum("bhqk,bkhc->bqhc", nn.softmax(logits), value)
        out = nn.Dense(channels, kernel_init=nn.initializers.zeros)(mixed.reshape(tokens.shape))
        return x + out.reshape(x.shape)


class UNet(nn.Module):
    """The network F(c_in x, c_noise, condition) of EDM's preconditioning.

    Attributes
    ----------
    channels : tuple of int
        Width at 32, 16 and 8 pixels.
    blocks : tuple of int
        Residual blocks at each level on the way down; `blocks_up` on the way up.
    blocks_up : tuple of int
        Same, for the two finer levels.
    embedding : int
        Width of the noise embedding.
    heads : int
        Attention heads at the coarsest level.
    coarse : bool
        Hand the coarsest level its inputs averaged over 8x8 pixels too. At high
        noise all that is left of the dust is its sum over many pixels, which
        the layers on the way down learn to form only slowly.
    """

    channels: tuple[int, ...] = (32, 64, 96)
    blocks: tuple[int, ...] = (1, 1, 2)
    blocks_up: tuple[int, ...] = (1, 2)
    embedding: int = 96
    heads: int = 4
    coarse: bool = False

    @nn.compact
    def __call__(self, x: Array, noise: Array, host: Array) -> Array:
        """Run the network.

        Parameters
        ----------
        x : Array, (batch, y, x)
            Scaled noisy map.
        noise : Array, (batch,)
            c_noise = ln(sigma)/4.
        host : Array, (batch, y, x)
            What `condition` returned.

        Returns
        -------
        Array, (batch, y, x)
        """
        frequency = 2 * jnp.pi * jnp.geomspace(0.15, 4.0, 16, dtype=x.dtype)
        angle = noise[:, None] * frequency[None]
        embedding = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
        embedding = nn.silu(nn.Dense(self.embedding)(embedding))
        embedding = nn.silu(nn.Dense(self.embedding)(embedding))

        h = Conv(self.channels[0])(fold(jnp.stack([x, host], axis=-1)))
        skips = []
        for level, (width, count) in enumerate(zip(self.channels, self.blocks, strict=True)):
            if level:
                skips.append(h)
                h = nn.Dense(width)(fold(h))
            if self.coarse and level == len(self.channels) - 1:
                sums = average(jnp.stack([x, host], axis=-1), x.shape[1] // h.shape[1])
                h = h + nn.Dense(width, kernel_init=nn.initializers.zeros, name="coarse_in")(sums)
            for _ in range(count):
                h = Block(width)(h, embedding)
                if level == len(self.channels) - 1:
                    h = Attention(self.heads)(h, embedding)
        for width, count in zip(self.channels[-2::-1], self.blocks_up, strict=True):
            h = unfold(nn.Dense(4 * width)(h))
            h = nn.Dense(width)(jnp.concatenate([h, skips.pop()], axis=-1))
            for _ in range(count):
                h = Block(width)(h, embedding)
        out = Conv(4, kernel_init=nn.initializers.zeros)(nn.silu(Film()(h, embedding)))
        return unfold(out)[..., 0]
