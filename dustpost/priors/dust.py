"""Dust prior p(D | S): a conditional denoiser of transmission maps.

The latent is x = D + sigma e, with D the transmission at 0.4754 micron, and the
network returns D0 = E[D | x, S], always in (0, 1]. Tweedie's formula gives

    grad_x log p_sigma(x | S) = (D0(x, sigma, S) - x)/sigma^2,

and nothing gives the density itself: `log_density` is None. Draws are made by
reverse diffusion (Karras et al. 2022, Algorithm 2).
"""

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from dustpost.errors import DustpostError
from dustpost.networks import checkpoint, edm
from dustpost.networks.diffusion import Level, variance_exploding
from dustpost.networks.unet import UNet, condition

SHIPPED = "dust.safetensors"
ARCHITECTURE = "unet-1"
STEPS = 48  # Heun steps of reverse diffusion, two network calls each
CHURN = 20.0
# The start holds no dust, so it must be at a level where none can be seen: a whole
# dusty map (a deficit of 0.5 in 1000 pixels) still stands out at sigma = 5.
SIGMA_MAX = 60.0


@flax.struct.dataclass
class DustPrior:
    """Score-only prior of the latent x given a host; a pytree of its weights.

    Attributes
    ----------
    parameters : pytree
        Weights of the network.
    network : UNet
        Its architecture.
    moments : Precondition
        Mean and spread of the training set.
    description : tuple of (str, str)
        The weight file's metadata, see `metadata`.
    sha256 : str
        Of the weight file; recorded in every output.
    log_density : None
        There is none: a sampler that needs a density must refuse.
    """

    parameters: Any
    network: UNet = flax.struct.field(pytree_node=False)
    moments: edm.Precondition = flax.struct.field(pytree_node=False)
    description: tuple = flax.struct.field(pytree_node=False)
    sha256: str = flax.struct.field(pytree_node=False)
    log_density: None = flax.struct.field(pytree_node=False, default=None)

    @property
    def name(self) -> str:
        """Architecture of the network, recorded in every output."""
        return ARCHITECTURE

    @property
    def metadata(self) -> dict:
        """What the weight file says about itself: coordinate, training, steps."""
        return {name: json.loads(value) for name, value in self.description}

    def level(self, sigma: Array) -> Level:
        """Scale (1) and noise of the latent at `sigma`."""
        return variance_exploding(sigma)

    def denoise(self, latent: Array, sigma: Array, condition: Array) -> Array:
        """Return E[D | x, S].

        Parameters
        ----------
        latent : Array, (y, x)
            x = D + sigma e.
        sigma : Array
            Noise level, trained from 0.0025 to 60.
        condition : Array, (y, x)
            The host S in any normalisation; slightly negative pixels do no harm.

        Returns
        -------
        Array, (y, x)
            Transmission at 0.4754 micron, in (0, 1].
        """
        return self._denoise(latent, sigma, _condition(condition))

    def score(self, latent: Array, sigma: Array, condition: Array) -> Array:
        """Gradient of log p_sigma(x | S) with respect to x, (y, x)."""
        return (self.denoise(latent, sigma, condition) - latent) / jnp.square(sigma)

    def sample(self, key: Array, sigma: Array, condition: Array) -> Array:
        """Draw x at noise level `sigma`; denoise it once more for a draw of D.

        Parameters
        ----------
        key : Array
            A jax random key.
        sigma : Array
            Noise level at which to stop, above 0.0025.
        condition : Array, (y, x)
            The host S.

        Returns
        -------
        Array, (y, x)
        """
        light = _condition(condition)
        first, rest = jax.random.split(key)
        start = self.moments.mean + SIGMA_MAX * jax.random.normal(first, light.shape, light.dtype)
        levels = edm.ladder(SIGMA_MAX, sigma, STEPS)
        return edm.reverse_diffusion(
            rest, lambda x, s: self._denoise(x, s, light), start, levels, CHURN
        )

    def _denoise(self, latent, sigma, light):
        def run(x, noise, host):
            return self.network.apply({"params": self.parameters}, x, noise, host)

        level = jnp.asarray(sigma, latent.dtype)[None]
        return edm.denoise(run, latent[None], level, light[None], self.moments)[0]


# The methods' argument has the network's name for it.
_condition = condition


def load_dust_prior(path: str | Path | None = None) -> DustPrior:
    """Read a dust prior from a weight file; by default the one shipped.

    Parameters
    ----------
    path : path, optional
        A .safetensors file written by `dustpost.networks.training`.

    Returns
    -------
    DustPrior

    Raises
    ------
    DustpostError
        If the file is missing, damaged, of another architecture, or (for the
        shipped one) not the file that its model card describes.
    """
    if path is None:
        with as_file(files("dustpost.data")) as folder:
            shipped = folder / SHIPPED
            return _build(shipped, checkpoint.card_sha256(shipped.with_suffix(".md")))
    return _build(Path(path), None)


def _build(path: Path, expected: str | None) -> DustPrior:
    params, metadata = checkpoint.load(path, expected)
    try:
        if json.loads(metadata["architecture"]) != ARCHITECTURE:
            raise KeyError(metadata["architecture"])
        fields = json.loads(metadata["network"])
        moments = edm.Precondition(**json.loads(metadata["precondition"]))
        network = UNet(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
        image = jax.ShapeDtypeStruct((1, 64, 64), jnp.float32)
        noise = jax.ShapeDtypeStruct((1,), jnp.float32)
        wanted = jax.eval_shape(network.init, jax.random.key(0), image, noise, image)["params"]
        same = jax.tree.map(lambda a, b: a.shape == b.shape, wanted, params)
        if not all(jax.tree.leaves(same)):
            raise ValueError("shapes of the tensors")
    except (KeyError, TypeError, ValueError) as error:
        raise DustpostError(
            f"{path}: not a dust network of architecture {ARCHITECTURE} ({error})."
        ) from error
    return DustPrior(
        parameters=jax.tree.map(jnp.asarray, params),
        network=network,
        moments=moments,
        description=tuple(sorted(metadata.items())),
        sha256=checkpoint.sha256(path),
    )
