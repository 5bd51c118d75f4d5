"""Host morphology prior: the HSC-64 score network of Sampson et al. (2024).

The network knows galaxies x >= 0 with peaks near 1 in z0 = ln(1 + x) / 0.1, diffused
with preserved variance, beta(t) = t. It returns the score of p_t at z_t itself, so
everything here stays in z; no Jacobian is needed. (galaxygrad's own wrapper feeds
z0 unscaled and leaves out the -1/(1 + x) term of the change of variables.)
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import flax.struct
import jax.numpy as jnp
from jax import Array

from dustpost.errors import DustpostError
from dustpost.networks.call import call
from dustpost.networks.diffusion import (
    Level,
    reverse_diffusion,
    time_of,
    tweedie,
    variance_preserving,
)
from dustpost.networks.mixer import Mixer, load_equinox

WEIGHTS = "eqx_hsc_ScoreNet64.eqx"
# of the weights in galaxygrad 0.2.1's wheel
SHA256 = "4758114b1b77e4640ca7b834a976202aeb126fd7332ec07842af46d72c6b2e01"
# t = 10, where scale = e^-5; the network was trained up to there
LONGEST_TIME = 10.0
STEPS = 256
SIZE = 64  # pixels on a side


@flax.struct.dataclass
class HostPrior:
    """Score-only prior of the host's latent z, (64, 64).

    Attributes
    ----------
    parameters : pytree
        Weights of the network.
    network : Mixer
        Its architecture; (z_t, t) -> score of p_t at z_t.
    name, sha256 : str
        Recorded in every output.
    size : int
        Pixels on a side of the images it is for.
    """

    parameters: Any
    network: Mixer = flax.struct.field(pytree_node=False)
    name: str = flax.struct.field(pytree_node=False)
    sha256: str = flax.struct.field(pytree_node=False)
    size: int = flax.struct.field(pytree_node=False, default=SIZE)
    log_density: None = flax.struct.field(pytree_node=False, default=None)

    def level(self, sigma: Array) -> Level:
        """Scale and noise of the latent at `sigma`."""
        return variance_preserving(sigma)

    def score(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Gradient of log p_sigma(z), (y, x)."""
        return call(self.network, self.parameters, latent, time_of(sigma))

    def denoise(self, latent: Array, sigma: Array, condition: Array | None = None) -> Array:
        """E[z0 | z], (y, x)."""
        return tweedie(latent, self.score(latent, sigma), self.level(sigma))

    def sample(self, key: Array, sigma: Array, condition: Array | None = None) -> Array:
        """Draw z at noise level `sigma` by reverse diffusion from t = 10."""
        # the ladder is geometric in sigma / scale, the noise-to-signal ratio
        ratio = lambda t: jnp.sqrt(jnp.expm1(t))  # noqa: E731
        ends = jnp.log(ratio(jnp.array([LONGEST_TIME, time_of(sigma)])))
        ladder = jnp.exp(jnp.linspace(ends[0], ends[1], STEPS + 1))
        scale = 1.0 / jnp.sqrt(1.0 + ladder**2)
        return reverse_diffusion(key, self.denoise, Level(scale, scale * ladder), (SIZE, SIZE))


def load_host_prior(path: Path | None = None) -> HostPrior:
    """HSC-64 from the installed galaxygrad 0.2.1, or from a weight file.

    Parameters
    ----------
    path : Path, optional
        A file that equinox serialised, such as galaxygrad 0.3 keeps in its cache.

    Raises
    ------
    DustpostError
        If galaxygrad is not installed and no file is given, what it installed is not what
        0.2.1 carries, or the file is no ScoreNet.
    """
    installed = path is None
    path = find_hsc64() if installed else Path(path)
    if path is None:
        raise DustpostError(
            "host prior hsc64: galaxygrad is not installed; "
            'run pip install "dustpost[hsc]" or give the weight file by --host-weights'
        )
    mixer, parameters = load_equinox(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if installed and sha256 != SHA256:
        raise DustpostError(
            f"{path}: sha256 is {sha256}, galaxygrad 0.2.1 carries {SHA256}: "
            'install it anew with pip install "dustpost[hsc]"'
        )
    return HostPrior(parameters, mixer, "hsc64", sha256)


def find_hsc64() -> Path | None:
    """Path of the HSC-64 weights in an installed galaxygrad 0.2.1; None if there are none.

    galaxygrad is located and not imported: its import fails on a case-sensitive file
    system.
    """
    spec = importlib.util.find_spec("galaxygrad")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / WEIGHTS
    return path if path.is_file() else None
