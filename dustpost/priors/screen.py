"""A screen of known outline: the analytic dust of the covering-fraction ladder.

    u = m (depth + v),   D = e^{-u},   v ~ N(0, C) on a periodic grid,

m (y, x) in [0, 1] says where dust may be. The power of C at k = 0 is the freedom of a
uniform screen; where m = 1 everywhere the orbit D -> c D is that mode alone, and no
likelihood sees it. Where m = 0 the light is known to be bare, and its colour tells the host's.
Density, score and draws are exact; the host tells nothing about v.
"""

import flax.struct
import jax.numpy as jnp
from jax import Array

from dustpost.priors.gaussian import GaussianPrior


@flax.struct.dataclass
class ScreenPrior(GaussianPrior):
    """Gaussian field behind a mask; a prior of the dust alone or coupled to a host.

    Attributes
    ----------
    mean, power : Array, (y, x)
        Of v, see `GaussianPrior`.
    mask : Array, (y, x)
    depth : Array, ()
        Mean optical depth at 0.4754 micron behind the mask.
    """

    mask: Array
    depth: Array

    @property
    def coordinate(self) -> str:
        """Name of v."""
        return "optical_depth"

    def transmission(self, clean: Array) -> Array:
        """D = exp(-m (depth + v)); above 1 where v < -depth, as a Gaussian has it."""
        return jnp.exp(-self.mask * (self.depth + clean))

    def latent(self, transmission: Array) -> Array:
        """v of a transmission; 0 where there is no dust to tell it."""
        covered = self.mask > 0
        depth = -jnp.log(transmission) / jnp.where(covered, self.mask, 1.0)
        return jnp.where(covered, depth - self.depth, 0.0)

    def conditional(self, z: Array, x: Array, tau: Array, sigma: Array) -> tuple[Array, Array]:
        """Cross term (none), and E[v | x]."""
        return jnp.zeros_like(z), self.denoise(x, sigma)

    def sample_dust(self, key: Array, z: Array, tau: Array, sigma: Array) -> Array:
        """Draw x, whatever the host."""
        return self.sample(key, sigma)

    def log_density(self, z: Array, x: Array, tau: Array, sigma: Array) -> Array:
        """Log p_sigma(x), whatever the host."""
        return GaussianPrior.log_density(self, x, sigma)


def uniform_power(shape: tuple[int, int], sd: float) -> Array:
    """Power of one mode: the same offset, of the given sd, in every pixel."""
    return jnp.zeros(shape).at[0, 0].set(sd**2 * shape[0] * shape[1])


def covered(light: Array, fraction: float) -> Array:
    """Mask of the near side of a tilted disc that holds a share of the light, (y, x).

    The frame is covered from one side on, the last pixel in part, so that any share can be
    had.

    Parameters
    ----------
    light : Array, (y, x)
        Host of unit sum.
    fraction : float
    """
    y, x = jnp.indices(light.shape)
    order = jnp.argsort((x + 0.01 * y).ravel())
    along = light.ravel()[order]
    before = jnp.cumsum(along) - along
    share = jnp.clip((fraction - before) / jnp.maximum(along, 1e-12), 0.0, 1.0)
    share = jnp.where(fraction >= 1.0, 1.0, share)
    return jnp.zeros(light.size).at[order].set(share).reshape(light.shape)
