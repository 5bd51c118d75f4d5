"""Chains on a prior alone: what `energy_holds.py` and `host_holds.py` have in common.

No data, no likelihood. A chain moves by `dustpost.samplers.hmc`, 24 steps a sweep, with the
diagonal mass 1/sigma^2 of its noise level.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.assemble import FAR
from dustpost.block import Block, Evaluation
from dustpost.reproduce.sources import find_views
from dustpost.samplers import hmc

BRIGHT = 0.05  # of the peak: where a host is looked at
STEP = 0.3
LOOK = 20  # sweeps


def arguments(about: str, **defaults: float) -> argparse.Namespace:
    """Options of the command line; `galaxies`, `sweeps` and others with these defaults."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pairs", type=Path, help="npz of benchmarks/make_pairs.py")
    source.add_argument("--data", type=Path, help="folder of FITS files with truth")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--to", type=Path, help="JSON to write")
    for name, value in (defaults | {"seed": 0}).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


def truths(options: argparse.Namespace) -> tuple[Array, Array]:
    """Hosts of unit sum and transmissions, (galaxy, y, x): the last pairs, or the first views."""
    if options.pairs is not None:
        with np.load(options.pairs) as pairs:
            names = "host", "transmission"
            images = [pairs[name][-options.galaxies :] for name in names]
    else:
        views = find_views(options.data, options.galaxies, 1, options.seed)
        known = [view.read(False).truth for view in views]
        images = [np.stack([t.host for t in known]), np.stack([t.transmission for t in known])]
    hosts, maps = (jnp.asarray(image, jnp.float32) for image in images)
    return hosts / hosts.sum(axis=(1, 2), keepdims=True), jnp.clip(maps, 1e-3, 1.0)


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
