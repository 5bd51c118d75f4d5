"""Chains of several galaxies as one axis: their targets, their random keys.

All chains of the first galaxy come first, then those of the next. A chain's keys depend on its
own galaxy's key alone, so that a galaxy draws the same beside others as by itself.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.posterior import Target


def stack(targets: list[Target], chains: int) -> Target:
    """One target for the chains of several galaxies, which share their priors' networks.

    Parameters
    ----------
    targets : list of Target
        Alike but for the observation and the prior of the fluxes.
    chains : int
        Of each galaxy.

    Returns
    -------
    Target
        Its observation, prior of the fluxes and anchor have an axis of galaxies x chains in
        front.
    """

    def gather(*leaves):
        return jnp.repeat(jnp.stack(leaves), chains, axis=0)

    return targets[0].replace(
        observation=jax.tree.map(gather, *[target.observation for target in targets]),
        flux_prior=jax.tree.map(gather, *[target.flux_prior for target in targets]),
        anchor=jax.tree.map(gather, *[target.anchor for target in targets]),
    )


def axes(target: Target) -> Target | None:
    """Where `stack` has put the axis of chains, for vmap; None for one galaxy."""
    if target.observation.data.ndim == 3:
        return None
    shared = dict.fromkeys(("host_prior", "dust_prior", "slope_prior", "fine_prior"))
    shared |= dict.fromkeys(("sigma_host", "sigma_dust"))
    anchor = None if target.anchor is None else 0
    return target.replace(observation=0, flux_prior=0, anchor=anchor, **shared)


def split(key: Array, number: int) -> Array:
    """Keys (number, galaxy) from one key, or one of each galaxy."""
    return jnp.swapaxes(jax.vmap(lambda one: jax.random.split(one, number))(key.reshape(-1)), 0, 1)


def of_chains(key: Array, chains: int) -> Array:
    """A key for each chain of all galaxies: those of a galaxy depend on its own key alone."""
    key = key.reshape(-1)
    return jax.vmap(lambda one: jax.random.split(one, chains // key.size))(key).reshape(-1)


def strong(tree: Any) -> Any:
    """The same arrays with types of their own."""
    # a weakly typed array is another type to jit: the same function would compile twice
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), tree)
