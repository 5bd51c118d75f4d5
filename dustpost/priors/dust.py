"""Dust prior p(D | S): a conditional denoiser of transmission maps.

The latent is x = v(D) + sigma e, with D the transmission at 0.4754 micron and v the
network's coordinate (`dustpost.networks.coordinate`), and the network returns
v0 = E[v | x, S]. Tweedie's formula gives

    grad_x log p_sigma(x | S) = (v0(x, sigma, S) - x)/sigma^2.

A score network tells no more: `log_density` is None. An energy network has the density
of x up to a factor, which depends on sigma and, of those whose loss did not tie the noise
levels (`dustpost.networks.energies`), on S; times a factor for how much dust there is, where the
weight file has one (`dustpost.priors.amount`). Draws are made by reverse diffusion
(Karras et al. 2022, Algorithm 2).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from dustpost.coordinates import mean_attenuation
from dustpost.networks import edm
from dustpost.networks.denoiser import Denoiser, rebuild
from dustpost.networks.diffusion import Level, variance_exploding
from dustpost.networks.unet import condition
from dustpost.priors import amount
from dustpost.priors.weights import read_weights

SHIPPED, SHIPPED_ENERGY = "dust.safetensors", "dust_energy.safetensors"
STEPS = 48  # Heun steps of reverse diffusion, two network calls each
CHURN = 20.0
# Of the first weights. The start of a draw holds no dust, so it must be at a level where
# none can be seen: a whole dusty map (a deficit of 0.5 in 1000 pixels) still stands out
# at sigma = 5.
FIRST_RANGE = (0.0025, 60.0)


@flax.struct.dataclass
class DustPrior:
    """Prior of the latent x given a host; a pytree of its weights.

    Attributes
    ----------
    parameters : pytree
        Weights of the network.
    denoiser : Denoiser
        The network, its coordinate and its parameterisation.
    description : tuple of (str, str)
        The weight file's metadata, see `metadata`.
    sha256 : str
        Of the weight file; recorded in every output.
    amount : tuple of float
        lambda of `dustpost.priors.amount`; empty: without that factor.
    """

    parameters: Any
    denoiser: Denoiser = flax.struct.field(pytree_node=False)
    description: tuple = flax.struct.field(pytree_node=False)
    sha256: str = flax.struct.field(pytree_node=False)
    amount: tuple = ()

    @property
    def name(self) -> str:
        """Architecture of the network, recorded in every output."""
        return self.metadata["architecture"]

    @property
    def coordinate(self) -> str:
        """Name of v: transmission, optical_depth or log_attenuation."""
        return self.denoiser.coordinate

    @property
    def metadata(self) -> dict:
        """What the weight file says about itself: coordinate, training, steps."""
        return {name: json.loads(value) for name, value in self.description}

    @property
    def normalised(self) -> bool:
        """Whether the factor of p_sigma(x | S) is the same for all hosts, as it was taught."""
        return self.metadata.get("normalised", False)

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Lowest and highest noise level that the network was trained for."""
        low, high = self.metadata.get("sigma", FIRST_RANGE)
        return low, high

    def level(self, sigma: Array) -> Level:
        """Scale (1) and noise of the latent at `sigma`."""
        return variance_exploding(sigma)

    def transmission(self, clean: Array) -> Array:
        """D in (0, 1], (y, x), of a clean latent v; v is clipped to its range first."""
        return self.denoiser.axis.decode(clean)

    def latent(self, transmission: Array) -> Array:
        """Clean latent v, (y, x), of a transmission; the inverse of `transmission`."""
        return self.denoiser.axis.encode(transmission)

    def denoise(self, latent: Array, sigma: Array, condition: Array) -> Array:
        """Return E[v | x, S]; of an energy N(x), see `dustpost.networks.edm`.

        Parameters
        ----------
        latent : Array, (y, x)
            x = v + sigma e.
        sigma : Array
            Noise level, within `sigma_range`.
        condition : Array, (y, x)
            The host S in any normalisation; slightly negative pixels do no harm.

        Returns
        -------
        Array, (y, x)
            In the coordinate's range.
        """
        return self._call(self.denoiser.picture, latent, sigma, _condition(condition))

    def score(self, latent: Array, sigma: Array, condition: Array) -> Array:
        """Gradient of log p_sigma(x | S) with respect to x, (y, x)."""
        clean = self._call(self.denoiser.denoise, latent, sigma, _condition(condition))
        score = (clean - latent) / jnp.square(sigma)
        if not self.amount:
            return score
        factor = lambda x: self._factor(self.denoise(x, sigma, condition), condition)  # noqa: E731
        return score + jax.grad(factor)(latent)

    @property
    def log_density(self) -> Callable[..., Array] | None:
        """log p_sigma(x | S) + const(sigma, S), a function of (x, sigma, S, clean=None).

        None for a score network: a sampler that needs a density must refuse. Where the prior
        is not `normalised` the constant depends on the host: differentiated by S this is
        then no score of S.
        """
        return self._log_density if self.denoiser.parameterisation == "energy" else None

    def sample(self, key: Array, sigma: Array, condition: Array) -> Array:
        """Draw x at noise level `sigma`; denoise it once more for a draw of v.

        Parameters
        ----------
        key : Array
            A jax random key.
        sigma : Array
            Noise level at which to stop, within `sigma_range`.
        condition : Array, (y, x)
            The host S.

        Returns
        -------
        Array, (y, x)
        """
        light = _condition(condition)
        first, rest = jax.random.split(key)
        high = self.sigma_range[1]
        noise = jax.random.normal(first, light.shape, light.dtype)
        levels = edm.ladder(high, sigma, STEPS)
        return edm.reverse_diffusion(
            rest,
            lambda x, s: self._call(self.denoiser.denoise, x, s, light),
            self.denoiser.moments.mean + high * noise,
            levels,
            CHURN,
        )

    def _call(self, network, latent, sigma, light):
        level = jnp.asarray(sigma, latent.dtype)[None]
        return network(self.parameters, latent[None], level, light[None])[0]

    def _log_density(self, latent, sigma, condition, clean=None):
        clean = self.denoise(latent, sigma, condition) if clean is None else clean
        log_density = -edm.energy(latent, clean, sigma, self.denoiser.axis.clear)
        return log_density + self._factor(clean, condition) if self.amount else log_density

    def _factor(self, clean, condition):
        weights = jnp.asarray(self.amount, clean.dtype)
        light = condition / jnp.sum(condition)
        depth = mean_attenuation(light, self.transmission(clean), 1.0)
        return weights @ amount.potentials(depth)


# The methods' argument has the network's name for it.
_condition = condition


def load_dust_prior(path: str | Path | None = None, energy: bool = False) -> DustPrior:
    """Read a dust prior from a weight file; by default the one shipped.

    Parameters
    ----------
    path : path, optional
        A .safetensors file that `dustpost train dust` wrote.
    energy : bool
        Of those that ship, the energy in place of the score.

    Returns
    -------
    DustPrior

    Raises
    ------
    DustpostError
        If the file is missing, damaged, of another architecture, or (for the
        shipped one) not the file that its model card describes.
    """
    shipped = SHIPPED_ENERGY if energy else SHIPPED
    prior = DustPrior(*read_weights(path, shipped, rebuild, "dust"))
    return prior.replace(amount=tuple(prior.metadata.get("amount", ())))
