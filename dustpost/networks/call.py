"""A network's call, traced once for all the places of a program that make it.

A sampler's sweep calls each network in many places, under vmap, grad and scan: without a
`jit` of its own each is traced anew, which took longer than XLA's compilation.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
from jax import Array


@partial(jax.jit, static_argnums=0)
def call(network: nn.Module, variables: Any, *inputs: Array) -> Any:
    """`network.apply(variables, *inputs)`."""
    return network.apply(variables, *inputs)
