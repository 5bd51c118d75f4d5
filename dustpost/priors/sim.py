"""The host prior `sim`: what a network of this package's simulator knows of hosts alone.

    grad_z log p(z) = (E[z0 | z] - z)/tau^2

by Tweedie's formula, of the network of host and dust (`dustpost.priors.joint`); where the network
is an energy (`dustpost.networks.edm`) log p is known as well, and the peak of hosts is held
(`dustpost.priors.peak`).
"""

from collections.abc import Callable
from pathlib import Path

import flax.struct
import jax
from jax import Array

from dustpost.networks import edm
from dustpost.networks.diffusion import Level, score_from_denoised, variance_preserving
from dustpost.networks.joint import HOST_ENDS, rebuild
from dustpost.priors import peak
from dustpost.priors.joint import JointPrior, load_joint_prior
from dustpost.priors.weights import read_weights

SHIPPED = "host_energy.safetensors"


@flax.struct.dataclass
class SimHostPrior:
    """Host prior of this package's simulator; variance preserving, as `HostPrior`.

    The latent is scale * (z0 + tau e) with tau = sigma/scale. An energy has its peak held, see
    `dustpost.priors.peak`.

    Attributes
    ----------
    joint : JointPrior
        The network, which is asked for the host alone.
    """

    joint: JointPrior

    @property
    def log_density(self) -> Callable[..., Array] | None:
        """log p_sigma(z) + const(sigma), of (z, sigma, None, clean); None for a score network."""
        energy = self.joint.denoiser.parameterisation == "energy"
        return self._log_density if energy else None

    def _log_density(self, latent, sigma, condition=None, clean=None):
        scale, noise = self.level(sigma)
        clean = self.denoise(latent, sigma) if clean is None else clean
        host = latent / scale
        return peak.log_factor(host) - edm.energy(host, clean, noise / scale, HOST_ENDS[0])

    @property
    def name(self) -> str:
        """`sim`, recorded in every output."""
        return "sim"

    @property
    def size(self) -> int:
        """Pixels on a side of the images it is for."""
        return self.joint.size

    @property
    def sha256(self) -> str:
        """Of the weight file; recorded in every output."""
        return self.joint.sha256

    def level(self, sigma: Array) -> Level:
        """Scale and noise of the latent at `sigma`."""
        return variance_preserving(sigma)

    def denoise(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """E[z0 | z], (y, x); of an energy N(z), see `dustpost.networks.edm`."""
        scale, noise = self.level(sigma)
        return self.joint.picture_host(latent / scale, noise / scale)

    def score(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Gradient of log p_sigma(z), (y, x)."""
        level = scale, noise = self.level(sigma)
        clean = self.joint.denoise_host(latent / scale, noise / scale)
        found = score_from_denoised(latent, clean, level)
        if self.log_density is None:
            return found
        return found + jax.grad(peak.log_factor)(latent / scale) / scale

    def sample(self, key: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Draw z at noise level `sigma` by reverse diffusion."""
        first, second, third = jax.random.split(key, 3)
        level = scale, noise = self.level(sigma)
        joint = self.joint
        (lowest, highest), side = joint.metadata["tau"], joint.denoiser.size
        held = self.log_density is not None
        start = joint.denoiser.host.mean + highest * jax.random.normal(first, (side, side))
        levels = edm.ladder(highest, lowest if held else noise / scale, joint.steps)
        host = edm.reverse_diffusion(second, joint.denoise_host, start, levels, joint.churn)
        if held:
            return peak.perturb(third, host, level)
        return scale * host


def load_sim_prior(path: str | Path | None = None, energy: bool = False) -> SimHostPrior:
    """Read the host prior `sim`: from a network of host and dust, or an energy of hosts alone.

    Parameters and errors as those of `dustpost.priors.joint.load_joint_prior`; `energy` takes, of
    those that ship, the energy.
    """
    if path is None and not energy:
        return SimHostPrior(load_joint_prior())
    return SimHostPrior(JointPrior(*read_weights(path, SHIPPED, rebuild, "host")))
