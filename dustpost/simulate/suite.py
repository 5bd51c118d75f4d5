"""Galaxies by the thousand: hosts and transmissions to train a dust prior on.

One galaxy is Parameters -> Structure -> rays -> (S, D): the dust-free image of
unit sum and D = I/I_0 at 0.4754 micron, both at the sharpness `blur` of an
image that someone has deconvolved.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.simulate import transfer
from dustpost.simulate.planes import Structure, build
from dustpost.simulate.structure import Parameters, draw_parameters


def draw_structure(key: Array) -> Structure:
    """Draw one galaxy: its numbers and its clumps."""
    number_key, clump_key = jax.random.split(key)
    return build(clump_key, draw_parameters(number_key))


def pair(structure: Structure) -> tuple[Array, Array]:
    """Return the host and the transmission of one galaxy.

    Parameters
    ----------
    structure : Structure

    Returns
    -------
    host : Array, (y, x)
        Light without dust, unit sum.
    transmission : Array, (y, x)
        D at 0.4754 micron, in (0, 1].
    """
    light, dusty, column = transfer.observe(structure, jnp.ones(1))
    blur = structure.parameters.blur
    light = transfer.smooth(light.sum(axis=0), blur)
    dusty = transfer.smooth(dusty[0].sum(axis=0), blur)
    column = transfer.smooth(column, blur)
    return light / light.sum(), transfer.transmission(light, dusty, column)


@partial(jax.jit, static_argnums=1)
def draw_pairs(key: Array, n: int) -> tuple[Array, Array]:
    """Draw n galaxies, one after the other (a core's cache holds one).

    Parameters
    ----------
    key : Array
        A jax random key.
    n : int
        How many.

    Returns
    -------
    host, transmission : Array, (n, 64, 64)
        See `pair`.
    """
    return jax.lax.map(lambda k: pair(draw_structure(k)), jax.random.split(key, n))


@partial(jax.jit, static_argnums=1)
def draw_population(key: Array, n: int) -> Parameters:
    """Return the numbers of the same n galaxies as `draw_pairs(key, n)`."""
    return jax.vmap(lambda k: draw_parameters(jax.random.split(k)[0]))(jax.random.split(key, n))
