"""A posterior drawn anew under priors of F and delta other than the settings'."""

from functools import partial

import jax
import jax.numpy as jnp
import xarray as xr
from jax import Array

from dustpost.io.cutout import Cutout
from dustpost.posterior import Target
from dustpost.progress import Stage, quiet
from dustpost.results import to_tree
from dustpost.sample import (
    approach,
    find_map,
    gather,
    prior_of_dust,
    unfinished,
    warm_up,
    watched,
)
from dustpost.samplers import run
from dustpost.samplers.choice import SAMPLERS
from dustpost.settings import Settings


def draw(
    key: Array,
    cutout: Cutout,
    target: Target,
    settings: Settings,
    flux_prior: str,
    progress: Stage = quiet,
) -> xr.DataTree:
    """Draw one galaxy's posterior as `dustpost.sample.sample` does, of a target that is given.

    Parameters
    ----------
    key : Array
        Random key.
    cutout : Cutout
    target : Target
        Of that cutout.
    settings : Settings
        Of the run; their prior of F is not used.
    flux_prior : str
        Words for the prior of F, kept in the tree.
    progress : callable

    Raises
    ------
    DustpostError
        If the chains meet a value that is not finite.
    """
    start_key, begin_key, warm_key, run_key, prior_key = jax.random.split(key, 5)
    sampler, chains = SAMPLERS[settings.sampler], settings.chains
    best = find_map(target, progress).position
    starts = approach(start_key, target, best, settings, progress)
    tuning = jax.jit(sampler.tune)(target, best, run.FIRST_STEP)
    tuning = jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x)[None], chains, axis=0), tuning)
    states = run.start(begin_key, starts, target, sampler)
    plan = dict(steps=settings.leapfrog, chunk=settings.keep)
    states, tuning = warm_up(
        warm_key[None], states, target, [target], tuning, settings, plan, progress
    )
    watch = partial(watched, progress("draws", settings.draws), settings)
    states, trace = run.run(
        run_key, states, target, sampler, tuning, settings.draws, **plan, watch=watch
    )
    error = unfinished(cutout, trace)
    if error is not None:
        raise error
    hosts = states.position.host
    before = prior_of_dust(prior_key, target, hosts, settings.prior_draws, progress)
    draws = gather(target, trace, tuning.step, before, cutout, settings)
    return to_tree(draws._replace(settings=draws.settings | {"flux_prior": flux_prior}), cutout)
