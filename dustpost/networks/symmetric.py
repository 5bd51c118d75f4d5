"""The pull-back of an energy's denoiser, by one more call of it.

    D0(x) = x - sigma^2 grad E(x),    dD0/dx = 1 - sigma^2 Hess E = (dD0/dx)^T,

so that a cotangent w is pulled back by pushing it forwards,

    w dD0/dx = [D0(x + h w/|w|) - D0(x)] |w|/h + O(h).

Autodiff gives the same to round-off by a gradient of a gradient, at about twice the cost. What
it is for, the force of Hamiltonian moves whose Metropolis ratio takes the energy itself, need
not be exact: any function of the place alone leaves them reversible.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

REACH = 0.5  # h, in noise levels spread over all pixels


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def symmetric(denoise: Callable, given: Any, x: Array, sigma: Array, condition: Any) -> Array:
    """denoise(given, x, sigma, condition), (y, x), with the pull-back above by x.

    Parameters
    ----------
    denoise : callable
        An energy's denoiser.
    given : pytree
        Its weights; no gradient by them.
    x : Array, (y, x)
    sigma : Array, ()
        Noise level; no gradient by it.
    condition : pytree
        What the energy depends on; its gradient is autodiff's.
    """
    return denoise(given, x, sigma, condition)


def _forward(denoise, given, x, sigma, condition):
    clean = denoise(given, x, sigma, condition)
    return clean, (given, x, sigma, condition, clean)


def _backward(denoise, saved, cotangent):
    given, x, sigma, condition, clean = saved
    size = jnp.sqrt(jnp.sum(cotangent**2))
    # a cotangent of zero has no direction
    reach = REACH * sigma / jnp.where(size > 0, size, 1.0)
    moved = denoise(given, x + reach * cotangent, sigma, condition)
    _, pull = jax.vjp(lambda c: denoise(given, x, sigma, c), condition)
    nothing = jax.tree.map(jnp.zeros_like, (given, sigma))
    return nothing[0], (moved - clean) / reach, nothing[1], pull(cotangent)[0]


symmetric.defvjp(_forward, _backward)
