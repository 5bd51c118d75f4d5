"""Chains on a prior alone: what `energy_holds.py` and `host_holds.py` have in common.

No data, no likelihood. A chain moves by `dustpost.samplers.hmc`, 14 steps a sweep, with the
diagonal mass 1/sigma^2 of its noise level.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.assemble import FAR
from dustpost.posterior import Block, Evaluation
from dustpost.samplers import hmc

STEP = 0.3
LOOK = 20  # sweeps


def arguments(about: str, **defaults: float) -> argparse.Namespace:
    """Options of the command line; `galaxies`, `sweeps` and others with these defaults."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    for name, value in (defaults | {"seed": 0}).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


def propose(
    key: Array,
    place: Array,
    sigma: Array | float,
    log_prior: Callable[[Array], Array],
    score: Callable[[Array], Array],
    factor: Callable[[Array], Array] = lambda place: jnp.zeros(()),
) -> tuple[Array, Array]:
    """One proposal on the density of `log_prior` times exp(`factor`): place, acceptance."""

    def total(at):
        value, prior = factor(at), log_prior(at)
        return prior + value, (value, prior)

    def evaluate(at):
        (_, (value, prior)), gradient = jax.value_and_grad(total, has_aux=True)(at)
        return Evaluation(None, value, gradient, None, prior)

    block = Block(score, evaluate, log_prior)
    mass = jnp.full_like(place, sigma**-2)
    state, info = hmc.kernel(key, hmc.init(place, block), block, STEP, mass, FAR)
    return state.moving, info.acceptance
