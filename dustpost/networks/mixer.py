"""MLP-Mixer score network (Tolstikhin et al. 2021), in the form of HSC-64.

The network of Sampson et al. (2024, "Score-matching neural networks for improved
multi-band source separation", the paper's host prior), ported from equinox to flax:
an image and a constant channel t / t1 are cut into patches, each patch becomes a
vector of `hidden` numbers, and blocks of two MLPs mix first across patches and then
across the hidden numbers. Both convolutions have stride = kernel, so here they are
dense layers on patches.
"""

import io
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.errors import DustpostError


class MixerBlock(nn.Module):
    """One mixing of patches, then of hidden numbers, each with a residual."""

    patch_width: int
    hidden_width: int

    @nn.compact
    def __call__(self, y: Array) -> Array:
        """Map (hidden, patch) to (hidden, patch)."""
        y = y + _mlp(self.patch_width, y.shape[-1], "patch")(_norm("norm1")(y))
        y = y.T
        y = y + _mlp(self.hidden_width, y.shape[-1], "hidden")(_norm("norm2")(y))
        return y.T


class Mixer(nn.Module):
    """Score of a noisy image at diffusion time t.

    Attributes
    ----------
    patch, hidden, patch_width, hidden_width, blocks : int
        Patch side in pixels, hidden numbers a patch, widths of the two MLPs, and
        the number of blocks; the defaults are those of HSC-64.
    t1 : float
        The longest diffusion time, by which t is scaled.
    """

    patch: int = 4
    hidden: int = 64
    patch_width: int = 512
    hidden_width: int = 512
    blocks: int = 4
    t1: float = 10.0

    @nn.compact
    def __call__(self, image: Array, t: Array) -> Array:
        """Map an image (y, x) and a time () to a score (y, x)."""
        height, width = (side // self.patch for side in image.shape)
        time = jnp.full_like(image, 1.0) * (t / self.t1)
        patches = jnp.stack([image, time]).reshape(2, height, self.patch, width, self.patch)
        patches = patches.transpose(1, 3, 0, 2, 4).reshape(height * width, -1)
        y = nn.Dense(self.hidden, name="conv_in")(patches).T
        for i in range(self.blocks):
            y = MixerBlock(self.patch_width, self.hidden_width, name=f"block{i}")(y)
        y = nn.Dense(self.patch**2, name="conv_out")(_norm("norm")(y).T)
        y = y.reshape(height, width, self.patch, self.patch)
        return y.transpose(0, 2, 1, 3).reshape(image.shape)


def _mlp(width: int, out: int, name: str) -> nn.Sequential:
    return nn.Sequential(
        [nn.Dense(width, name=f"{name}_in"), nn.relu, nn.Dense(out, name=f"{name}_out")]
    )


def _norm(name: str) -> nn.LayerNorm:
    # equinox normalises over both axes at once, with the plain two-pass variance
    axes = (-2, -1)
    return nn.LayerNorm(
        epsilon=1e-5, reduction_axes=axes, feature_axes=axes, use_fast_variance=False, name=name
    )


def load_equinox(path: Path) -> tuple[Mixer, dict]:
    """Read a ScoreNet that equinox serialised, without equinox and without pickle.

    The file is one array after another in numpy's format, in the order of the
    module's fields: 4 of the convolutions, 12 a block, 2 of the last norm, and t1.

    Parameters
    ----------
    path : Path
        For instance ``eqx_hsc_ScoreNet64.eqx``.

    Returns
    -------
    mixer : Mixer
    parameters : dict
        Its flax variables, float32.

    Raises
    ------
    DustpostError
        If the file is missing or is not such a sequence of arrays.
    """
    try:
        arrays = _read_arrays(path)
    except (OSError, ValueError, EOFError) as error:
        raise DustpostError(
            f"{path}: not a readable equinox checkpoint ({error}); "
            "give the file eqx_hsc_ScoreNet64.eqx of galaxygrad"
        ) from error
    blocks, rest = divmod(len(arrays) - 7, 12)
    if rest or blocks < 1 or arrays[0].ndim != 4 or arrays[0].shape[1] != 2:
        raise DustpostError(
            f"{path}: {len(arrays)} arrays, first of shape {arrays[0].shape if arrays else ()}, "
            "are no one-channel ScoreNet; HSC-64 has 55, the first (64, 2, 4, 4)"
        )
    hidden, _, patch, _ = arrays[0].shape
    leaves = iter(arrays)
    take = lambda: next(leaves)  # noqa: E731
    parameters = {
        "conv_in": {"kernel": take().reshape(hidden, -1).T, "bias": take().ravel()},
        # a transposed convolution of stride = kernel writes the kernel flipped
        "conv_out": {
            "kernel": take()[0, :, ::-1, ::-1].reshape(hidden, -1),
            "bias": np.repeat(take().ravel(), patch**2),
        },
    }
    for i in range(blocks):
        dense = [{"kernel": take().T, "bias": take()} for _ in range(4)]
        names = ("patch_in", "patch_out", "hidden_in", "hidden_out")
        block = dict(zip(names, dense, strict=True))
        block |= {name: {"scale": take(), "bias": take()} for name in ("norm1", "norm2")}
        parameters[f"block{i}"] = block
    parameters["norm"] = {"scale": take(), "bias": take()}
    t1 = float(take())
    widths = [parameters["block0"][name]["bias"].size for name in ("patch_in", "hidden_in")]
    return Mixer(patch, hidden, widths[0], widths[1], blocks, t1), {"params": parameters}


def _read_arrays(path: Path) -> list[np.ndarray]:
    data = path.read_bytes()
    stream, arrays = io.BytesIO(data), []
    while stream.tell() < len(data):
        arrays.append(np.load(stream, allow_pickle=False))
    return arrays
