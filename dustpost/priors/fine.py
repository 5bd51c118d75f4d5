"""The dust's fine structure: D drawn given its noisy latent.

    D ~ p(D | x, S),      E[D | x, S] = D0(x, S)

The likelihood sees D0, which is as smooth as what noise of sigma hides. As a map of the dust it
is too thin: A = -2.5 log10 D is convex, so that the mean A of clumps and lanes is more than that of
their mean transmission. A chain's x is a latent of the galaxy, and the galaxies that it may stand
for are the draws of D given x: down the noise levels from sigma with a score network (ancestral
sampling, Ho et al. 2020). Data enter by x alone: the finest structure is the prior's.
"""

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.networks.diffusion import ancestral, variance_exploding
from dustpost.priors.prior import TransmissionPrior

# few steps are too narrow or too wide; of 64, which cost eight times as much, these draw mean A to
# 0.001 and a pixel's sd to 0.92 (16 narrow ones: 0.86)
STEPS, WIDE = 8, 0.25
LOWEST = 0.1  # of sigma, where the last step ends and the network denoises


def draw(
    key: Array, prior: TransmissionPrior, latent: Array, sigma: Array, condition: Array
) -> Array:
    """Draw D given x.

    Parameters
    ----------
    key : Array
        Random key.
    prior : TransmissionPrior
        Whose `denoise` is E[v | x, S] at all levels below `sigma`: a score network.
    latent : Array, (y, x)
        x = v + sigma e, in the prior's coordinate.
    sigma : Array, ()
    condition : Array, (y, x)
        The host S.

    Returns
    -------
    Array, (y, x)
        D in (0, 1].
    """
    levels = variance_exploding(jnp.geomspace(sigma, LOWEST * sigma, STEPS + 1))

    def denoise(x, at):
        return prior.denoise(x, at, condition)

    last = ancestral(jax.random.split(key, STEPS), denoise, levels, latent, WIDE)
    return prior.transmission(denoise(last, levels.sigma[-1]))
