"""Prior p(z, x) of a noisy host z and its noisy dust x.

    grad_z log p(z, x) = (E[z0 | z] - z)/tau^2 + g(z, x),   g = grad_z log p_sigma(x | z),
    grad_x log p(z, x) = (E[v | z, x] - x)/sigma^2,

the first term being the host alone and g the cross term (see `dustpost.networks.joint`,
whose network gives all three; Tweedie's formula). Draws of both come from one reverse
diffusion (Karras et al. 2022, Algorithm 2), both noisy by the same number of spreads.
They have no density. The host prior `sim` inside it is `dustpost.priors.sim`.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

from dustpost.errors import DustpostError
from dustpost.networks import edm
from dustpost.networks.diffusion import (
    Level,
    score_from_denoised,
    variance_exploding,
)
from dustpost.networks.joint import JointDenoiser, rebuild
from dustpost.priors.weights import read_weights

SHIPPED = "joint.safetensors"
STEPS = 48  # Heun steps of reverse diffusion, four network calls each (two for a host or dust)
CHURN = 20.0


@flax.struct.dataclass
class JointPrior:
    """Score-only prior of both latents, z = z0 + tau e and x = v + sigma e'.

    Attributes
    ----------
    parameters : pytree
        Weights of the network.
    denoiser : JointDenoiser
        The network, its moments and the dust's coordinate.
    description : tuple of (str, str)
        The weight file's metadata, see `metadata`.
    sha256 : str
        Of the weight file; recorded in every output.
    steps : int
        Of reverse diffusion.
    churn : float
        See `edm.reverse_diffusion`. At 48 steps and 20 even exact denoisers give draws whose
        variance is 2 to 8 % too large, at 128 steps and 0 it is right to 0.5 %; churn
        makes up for errors of the network.
    """

    parameters: Any
    denoiser: JointDenoiser = flax.struct.field(pytree_node=False)
    description: tuple = flax.struct.field(pytree_node=False)
    sha256: str = flax.struct.field(pytree_node=False)
    steps: int = flax.struct.field(pytree_node=False, default=STEPS)
    churn: float = flax.struct.field(pytree_node=False, default=CHURN)
    log_density: None = flax.struct.field(pytree_node=False, default=None)

    @property
    def name(self) -> str:
        """Architecture of the network, recorded in every output."""
        return self.metadata["architecture"]

    @property
    def size(self) -> int:
        """Pixels on a side of the images it is for."""
        return self.denoiser.size

    @property
    def metadata(self) -> dict:
        """What the weight file says about itself: coordinate, training, steps."""
        return {name: json.loads(value) for name, value in self.description}

    @property
    def coordinate(self) -> str:
        """Name of v: transmission, optical_depth or log_attenuation."""
        return self.denoiser.coordinate

    def transmission(self, clean: Array) -> Array:
        """D in (0, 1], (y, x), of a clean latent v; v is clipped to its range first."""
        return self.denoiser.axis.decode(clean)

    def latent(self, transmission: Array) -> Array:
        """Clean latent v, (y, x), of a transmission; the inverse of `transmission`."""
        return self.denoiser.axis.encode(transmission)

    def level(self, sigma: Array) -> Level:
        """Scale (1) and noise of the dust's latent at `sigma`."""
        return variance_exploding(sigma)

    def denoise_host(self, host_latent: Array, tau: Array) -> Array:
        """E[z0 | z], (y, x): one call of the network."""
        level = _level(tau, host_latent)
        return self.denoiser.alone(self.parameters, host_latent[None], level)[0]

    def picture_host(self, host_latent: Array, tau: Array) -> Array:
        """N(z), (y, x): E[z0 | z] itself, or what an energy is made of."""
        level = _level(tau, host_latent)
        return self.denoiser.picture(self.parameters, host_latent[None], level)[0]

    def conditional(
        self, host_latent: Array, dust_latent: Array, tau: Array, sigma: Array
    ) -> tuple[Array, Array]:
        """Cross term grad_z log p_sigma(x | z), and E[v | z, x]: one call of the network.

        Parameters
        ----------
        host_latent, dust_latent : Array, (y, x)
            z and x.
        tau, sigma : Array, ()
            Their noise levels, within the file's ranges.

        Returns
        -------
        cross, clean : Array, (y, x)
        """
        levels = _level(tau, host_latent), _level(sigma, dust_latent)
        pair = self.denoiser.pair(self.parameters, host_latent[None], dust_latent[None], *levels)
        return pair[0][0], pair[1][0]

    def cross(self, host_latent: Array, dust_latent: Array, tau: Array, sigma: Array) -> Array:
        """grad_z log p_sigma(x | z), (y, x); z is not known any better than at tau."""
        return self.conditional(host_latent, dust_latent, tau, sigma)[0]

    def denoise(
        self, host_latent: Array, dust_latent: Array, tau: Array, sigma: Array
    ) -> tuple[Array, Array]:
        """E[z0 | z, x] and E[v | z, x], (y, x) each: two calls of the network."""
        cross, clean = self.conditional(host_latent, dust_latent, tau, sigma)
        return self.denoise_host(host_latent, tau) + jnp.square(tau) * cross, clean

    def score(
        self, host_latent: Array, dust_latent: Array, tau: Array, sigma: Array
    ) -> tuple[Array, Array]:
        """Gradients of log p(z, x) by z and by x, (y, x) each: two calls of the network."""
        host, dust = self.denoise(host_latent, dust_latent, tau, sigma)
        return (
            score_from_denoised(host_latent, host, variance_exploding(tau)),
            score_from_denoised(dust_latent, dust, variance_exploding(sigma)),
        )

    def sample(self, key: Array, tau: Array, sigma: Array) -> tuple[Array, Array]:
        """Draw z and x at noise levels tau and sigma by one reverse diffusion."""
        first, second, third = jax.random.split(key, 3)
        means, spreads = self._scales()
        highest = self.metadata["tau"][1] / spreads[0]
        wanted = jnp.stack([jnp.asarray(tau), jnp.asarray(sigma)]) / spreads
        lowest = jnp.min(wanted)
        wide = spreads[:, None, None]

        def denoise(both, level):
            latents = means[:, None, None] + wide * both
            found = self.denoise(*latents, *(level * spreads))
            return (jnp.stack(found) - means[:, None, None]) / wide

        side = self.denoiser.size
        start = highest * jax.random.normal(first, (2, side, side))
        levels = edm.ladder(highest, lowest, self.steps)
        both = edm.reverse_diffusion(second, denoise, start, levels, self.churn)
        # one of them is noisier than the ladder's end
        more = jnp.sqrt(jnp.maximum(wanted**2 - lowest**2, 0.0))[:, None, None]
        both = both + more * jax.random.normal(third, both.shape)
        host, dust = means[:, None, None] + wide * both
        return host, dust

    def sample_dust(self, key: Array, z: Array, tau: Array, sigma: Array) -> Array:
        """Draw x at noise level sigma given a noisy host, (y, x), by reverse diffusion."""
        first, second = jax.random.split(key)
        high = self.metadata["sigma"][1]
        start = self.denoiser.dust.mean + high * jax.random.normal(first, z.shape)
        levels = edm.ladder(high, sigma, self.steps)

        def denoise(x, level):
            return self.conditional(z, x, tau, level)[1]

        return edm.reverse_diffusion(second, denoise, start, levels, self.churn)

    def _scales(self) -> tuple[Array, Array]:
        moments = (self.denoiser.host, self.denoiser.dust)
        return jnp.array([m.mean for m in moments]), jnp.array([m.spread for m in moments])


def load_joint_prior(path: str | Path | None = None) -> JointPrior:
    """Read the prior of host and dust from a weight file; by default the one shipped.

    Parameters
    ----------
    path : path, optional
        A .safetensors file that `dustpost train host` wrote.

    Returns
    -------
    JointPrior

    Raises
    ------
    DustpostError
        If the file is missing, damaged, of another architecture, or (for the
        shipped one) not the file that its model card describes.
    """
    if path is None and not (files("dustpost.data") / SHIPPED).is_file():
        raise DustpostError(
            f"{SHIPPED}: no weights of host and dust ship with this version; "
            "give a file that `dustpost train host` wrote."
        )
    prior = JointPrior(*read_weights(path, SHIPPED, rebuild, "host"))
    if prior.denoiser.parameterisation == "energy":
        raise DustpostError(
            f"{path}: an energy of hosts alone; the full cross term asks for host and dust "
            "together, `dustpost train host --parameterisation score`."
        )
    return prior


def _level(level: Array, like: Array) -> Array:
    return jnp.asarray(level, like.dtype)[None]
