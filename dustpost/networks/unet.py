"""A small U-Net that sees noisy maps, and what they depend on, as channels of one image.

Pixels may be folded 2x2 into channels first (64x64x2 -> 32x32x8): on a CPU the
wide, shallow layers cost most. A few levels of residual blocks follow, each

    h = conv(silu(film(rms(x)))),   x + conv(silu(film(rms(h)))),

with the noise level entering by feature-wise scale and shift (Perez et al.
2018) of a Fourier embedding, and self-attention over the 8x8 positions of the
coarsest level: how much dust there is in all is a global question. At high noise all
that is left of the dust is its sum over many pixels, which the layers on the way down
learn to form only slowly, so the coarsest level sees averages of the inputs too. The
last convolution starts at zero, so an untrained network changes nothing.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from dustpost.errors import DustpostError
from dustpost.networks.convolution import Conv

DEFAULT = {1: (8, 32, 64, 96), 2: (32, 64, 96)}  # widths by fold, at about the same cost


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


def fold(image: Array, side: int = 2) -> Array:
    """Move blocks of pixels into channels: (batch, y, x, c) -> (batch, y/2, x/2, 4c)."""
    batch, height, width, channels = image.shape
    small = (height // side, width // side)
    blocks = image.reshape(batch, small[0], side, small[1], side, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, *small, side**2 * channels)


def unfold(blocks: Array, side: int = 2) -> Array:
    """Undo `fold`."""
    batch, height, width, channels = blocks.shape
    image = blocks.reshape(batch, height, width, side, side, channels // side**2)
    image = image.transpose(0, 1, 3, 2, 4, 5)
    return image.reshape(batch, side * height, side * width, channels // side**2)


def average(images: Array, block: int, noisy: int) -> Array:
    """Average over blocks; the noisy channels so that white noise stays of unit variance.

    Parameters
    ----------
    images : Array, (batch, y, x, channel)
        Scaled noisy maps first, then their conditions.
    block : int
        Side of a block, pixel.
    noisy : int
        How many of the channels are noisy.

    Returns
    -------
    Array, (batch, y/block, x/block, channel)
        arcsinh tames the noisy ones where there is much signal and little noise.
    """
    batch, height, width, channels = images.shape
    blocks = images.reshape(batch, height // block, block, width // block, block, channels)
    means = blocks.mean(axis=(2, 4))
    return jnp.concatenate([jnp.arcsinh(block * means[..., :noisy]), means[..., noisy:]], axis=-1)


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
    """The network F(c_in x, c_noise) of EDM's preconditioning.

    Attributes
    ----------
    channels : tuple of int
        Width at each level, finest first, each half as fine as the one before.
    blocks : tuple of int
        Residual blocks at each level on the way down; `blocks_up` on the way up.
    blocks_up : tuple of int
        Same, coarser first, for all levels but the coarsest.
    embedding : int
        Width of the noise embedding.
    heads : int
        Attention heads at the coarsest level.
    outputs : int
        Channels of the result.
    fold : int
        Side of the blocks folded into channels before the finest level; 1 for none.
    noisy : int
        How many of the input's channels are noisy maps; they come first.
    """

    channels: tuple[int, ...] = (32, 64, 96)
    blocks: tuple[int, ...] = (1, 1, 2)
    blocks_up: tuple[int, ...] = (1, 2)
    embedding: int = 96
    heads: int = 4
    outputs: int = 1
    fold: int = 2
    noisy: int = 1

    @nn.compact
    def __call__(self, images: Array, noise: Array) -> Array:
        """Run the network.

        Parameters
        ----------
        images : Array, (batch, y, x, channel)
            Scaled noisy maps, then what they depend on (see `condition`).
        noise : Array, (batch, level)
            c_noise = ln(sigma)/4 of each noise level.

        Returns
        -------
        Array, (batch, y, x, outputs)
        """
        frequency = 2 * jnp.pi * jnp.geomspace(0.15, 4.0, 16, dtype=images.dtype)
        angle = (noise[:, :, None] * frequency[None, None]).reshape(noise.shape[0], -1)
        embedding = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
        embedding = nn.silu(nn.Dense(self.embedding)(embedding))
        embedding = nn.silu(nn.Dense(self.embedding)(embedding))

        h = Conv(self.channels[0])(fold(images, self.fold))
        skips = []
        for level, (width, count) in enumerate(zip(self.channels, self.blocks, strict=True)):
            if level:
                skips.append(h)
                h = nn.Dense(width)(fold(h))
            if level == len(self.channels) - 1:
                sums = average(images, images.shape[1] // h.shape[1], self.noisy)
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
        out = Conv(self.outputs * self.fold**2, kernel_init=nn.initializers.zeros)
        return unfold(out(nn.silu(Film()(h, embedding))), self.fold)


def unet(channels: tuple[int, ...] | None = None, fold: int = 2, **fields) -> UNet:
    """Return a U-Net whose coarsest level is 8x8 and whose blocks follow its width.

    Parameters
    ----------
    channels : tuple of int, optional
        Width at each level, finest first; without folding there is one level more.
    fold : int
        1 or 2, see `UNet`.

    Raises
    ------
    DustpostError
        If the widths do not fit.
    """
    channels = tuple(channels or DEFAULT.get(fold, ()))
    levels = {1: 4, 2: 3}.get(fold)
    if levels is None:
        raise DustpostError(f"fold {fold}: choose 1 or 2.")
    if len(channels) != levels or channels[-1] % UNet.heads or min(channels) < 1:
        raise DustpostError(
            f"channels {channels}: fold {fold} asks for {levels} widths, the last of them a "
            f"multiple of {UNet.heads}."
        )
    blocks = (1,) * (levels - 1) + (2,)
    return UNet(channels, blocks, (1,) * (levels - 2) + (2,), fold=fold, **fields)


def describe(network: UNet) -> dict:
    """Return a network's fields as JSON values; `rebuild` undoes it."""
    fields = dataclasses.fields(network)
    return {f.name: getattr(network, f.name) for f in fields if f.name not in ("parent", "name")}


def rebuild(fields: dict) -> UNet:
    """Return the network of these fields.

    Raises
    ------
    TypeError
        If one is unknown.
    """
    # The first networks could do without the coarsest level's averages.
    fields = {name: value for name, value in fields.items() if name != "coarse"}
    return UNet(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
