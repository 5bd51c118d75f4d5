"""A factor that holds the peak of hosts, which the likelihood cannot see.

    ln g(z) = -ln^2(p(z) / PEAK) / (2 WIDTH^2),   p = e^{0.1 t} - 1,   t = ln(sum e^{4 z}) / 4

S is of unit sum (`dustpost.coordinates`), so that the peak of x = e^{0.1 z0} - 1 is a unit that
nobody measures; networks of hosts saw it scattered by a factor of 1.5 to be fit for hosts of any
unit. Left free, chains wander along it, a hundred noise levels long, and what a noise level is
worth in S changes on the way: frames and steps fitted at one peak fail at another. p is smooth, of
the latent with its noise, and near its peak. Priors of another unit differ in how much of a host
their noise hides, not in which hosts they know.
"""

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.coordinates import STRETCH, clean_from_image, image_from_clean

PEAK, WIDTH = 1.5, 0.1
SHARPNESS = 4.0  # per unit of z, of the soft maximum


def log_factor(latent: Array) -> Array:
    """ln g of a host's latent z = z0 + tau e, (y, x)."""
    return -0.5 * jnp.square(jnp.log(soft_peak(latent) / PEAK) / WIDTH)


def soft_peak(latent: Array) -> Array:
    """p of a latent z, (y, x)."""
    top = jax.nn.logsumexp(SHARPNESS * latent) / SHARPNESS
    return jnp.expm1(STRETCH * top)


def hold(clean: Array) -> Array:
    """The same host, z0 (y, x), in the unit in which its peak is `PEAK`."""
    return clean_from_image(image_from_clean(clean) * (PEAK / soft_peak(clean)))
