"""From a cutout to its posterior: the whole algorithm on one page.

target   priors x likelihood of the denoised galaxy, F collapsed
centre   the MAP, Adam on the drift (Siegel & Melchior 2024); the stacked image with energies
approach from dispersed starts: none with energies, with scores Langevin dynamics of all
         latents at once, unadjusted; under langevin and split-gibbs down a ladder of noise levels
warm-up  sweeps of the sampler, HMC within Gibbs if no other is asked for, in stages: frames
         are fitted to where the chains are, then step sizes adapt; energies begin with more noise
draws    the same, everything fixed
prior    draws of the dust prior given the host: where the data speak
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from dustpost.amount import aims, used
from dustpost.assemble import build_target, leapfrogs
from dustpost.diagnostics import ranks
from dustpost.diagnostics.convergence import RHAT_GOOD
from dustpost.diagnostics.shares import levelled
from dustpost.errors import DustpostError
from dustpost.galaxy import Position
from dustpost.gather import gather, prior_of_dust, settled
from dustpost.io.cutout import Cutout
from dustpost.posterior import Target
from dustpost.progress import Stage, quiet
from dustpost.results import to_tree
from dustpost.samplers import run
from dustpost.samplers.choice import FIRST_STEP, SAMPLERS
from dustpost.settings import Settings
from dustpost.starts import approach, centre
from dustpost.warm_up import anchored, heated, light_of, parts, together, warm_up

LEAST_DRAWS = 20  # a chain, before a run may end early


def sample(
    rng_key: Array, cutout: Cutout, settings: Settings, progress: Stage = quiet
) -> xr.DataTree:
    """Draw the posterior of one galaxy's dust.

    Parameters
    ----------
    rng_key : Array
        Random key; `settings.seed` is only recorded.
    cutout : Cutout
        As `dustpost.io.read.read` gives it.
    settings : Settings
    progress : callable
        (name, total) -> advance, see `dustpost.progress`.

    Returns
    -------
    xarray.DataTree
        The groups of posterior.nc, see `dustpost.results`.

    Raises
    ------
    DustpostError
        If the weights of a prior are missing, a band cannot be used, or the chains meet a
        value that is not finite.
    """
    (found,) = sample_many(rng_key[None], [cutout], settings, progress)
    if isinstance(found, DustpostError):
        raise found
    return found


def sample_many(
    keys: Array,
    cutouts: list[Cutout],
    settings: Settings,
    progress: Stage = quiet,
    targets: list[Target] | None = None,
    start: Callable[..., Position] = approach,
) -> list[xr.DataTree | DustpostError]:
    """Draw the posteriors of several galaxies, all their chains side by side.

    Parameters
    ----------
    keys : Array, (galaxy,)
        Random keys; a galaxy's draws depend on its own alone.
    cutouts : list of Cutout
        Of one shape: bands, pixels and PSF.
    settings : Settings
    progress : callable
    targets : list of Target, optional
        Of the cutouts, where not those that `build_target` makes of the settings.
    start : callable, optional
        Where a galaxy's chains begin, called as `dustpost.starts.approach` is: such as places of
        your own, to see whether chains from there end where the others do.

    Returns
    -------
    list of DataTree or DustpostError
        An error in the place of a galaxy whose chains met a value that is not finite.

    Raises
    ------
    DustpostError
        As `sample`, and for cutouts of different shapes.
    """
    check_alike(cutouts)
    uses = [used(cutout, settings) for cutout in cutouts]
    if len(set(uses)) > 1:  # where the image tells the amount chains take turns, elsewhere not
        return _apart(uses, keys, cutouts, settings, progress, targets, start)
    chains, sampler = settings.chains, SAMPLERS[settings.sampler]
    start_key, begin_key, warm_key, run_key, prior_key = jax.vmap(
        lambda key: jax.random.split(key, 5), out_axes=1
    )(keys)
    targets = targets or [build_target(cutout, settings) for cutout in cutouts]
    sigma = targets[0].sigma_dust
    targets = [heated(target, settings) for target in targets]
    best = [centre(target, progress) for target in targets]
    targets = [
        anchored(target, light_of(target, place)[None], settings)
        for target, place in zip(targets, best, strict=True)
    ]
    starts = [
        start(key, target, place, settings, progress)
        for key, target, place in zip(start_key, targets, best, strict=True)
    ]
    tune = jax.jit(sampler.tune)
    tuning = [tune(target, place, FIRST_STEP) for target, place in zip(targets, best, strict=True)]
    tuning = jax.tree.map(lambda *x: jnp.repeat(jnp.stack(x), chains, axis=0), *tuning)
    starts = jax.tree.map(lambda *x: jnp.concatenate(x), *starts)
    if uses[0] == "image":
        tuning = tuning._replace(aim=aims(cutouts, chains))
    states = run.start(begin_key, starts, together(targets, chains), sampler)
    if not np.isfinite(states.galaxy.log_evidence).any():
        return [_not_finite(cutout, "where they start") for cutout in cutouts]
    plan = dict(steps=leapfrogs(settings, targets[0]), chunk=settings.keep)
    warm = warm_key, states, targets, tuning, settings, plan, sigma
    states, targets, tuning, origin = warm_up(*warm, progress)
    watch = partial(watched, progress("draws", settings.draws), settings, uses[0])
    held = together(targets, chains), sampler, tuning
    states, trace = run.run(run_key, states, *held, settings.draws, **plan, watch=watch)
    results = []
    for number, part in enumerate(parts(settings, len(targets))):
        cutout, one = cutouts[number], targets[number]
        mine, fixed, hosts = jax.tree.map(
            lambda x, part=part: x[part],
            (trace._replace(kept=()), settled(tuning), states.position.host),
        )
        mine = mine._replace(kept=trace.kept)
        error = unfinished(cutout, mine)
        if error is None:
            before = prior_of_dust(prior_key[number], one, hosts, settings.prior_draws, progress)
            of_chains = fixed, origin[part] - part.start, before
            results.append(to_tree(gather(one, mine, *of_chains, cutout, settings), cutout))
        else:
            results.append(error)
    return results


def _apart(
    uses: list[str],
    keys: Array,
    cutouts: list[Cutout],
    settings: Settings,
    progress: Stage,
    targets: list[Target] | None,
    start: Callable[..., Position],
) -> list[xr.DataTree | DustpostError]:
    """`sample_many` of the galaxies of each use, back in the order in which they were given."""
    found = {}
    for use in sorted(set(uses)):
        mine = [number for number, one in enumerate(uses) if one == use]
        theirs = targets and [targets[number] for number in mine]
        some = [cutouts[number] for number in mine]
        done = sample_many(keys[np.array(mine)], some, settings, progress, theirs, start)
        found |= dict(zip(mine, done, strict=True))
    return [found[number] for number in range(len(cutouts))]


def check_alike(cutouts: list[Cutout]) -> None:
    """Refuse cutouts that cannot be sampled side by side."""
    for cutout in cutouts[1:]:
        for name in ("data", "psf"):
            here, there = getattr(cutout, name).shape, getattr(cutouts[0], name).shape
            if here != there:
                raise DustpostError(
                    f"{cutout.source}: {name} of shape {here}, {cutouts[0].source} has {there}; "
                    "sample them apart"
                )


def unfinished(cutout: Cutout, trace: run.Trace) -> DustpostError | None:
    """What to say of a galaxy whose chains met a value that is not finite."""
    bad = ~np.isfinite(trace.scalars.log_likelihood)
    if not bad.any():
        return None
    chain, sweep = np.argwhere(bad)[0]
    return _not_finite(cutout, f"in draw {sweep} of chain {chain}")


def _not_finite(cutout: Cutout, where: str) -> DustpostError:
    return DustpostError(
        f"{cutout.source}: the likelihood or a prior's score is not finite {where}; look for "
        "extreme pixels in the cutout, then at the weights that were asked for"
    )


def watched(
    advance: Callable[..., None],
    settings: Settings,
    use: str,
    done: int,
    scalars: run.Scalars,
    share: np.ndarray,
) -> bool:
    """Show the worst R-hat and ESS of all galaxies so far; whether `settings.ess` is reached."""
    rhat, ess = mixing(scalars, share if use == "image" else None, settings.chains)
    advance(done, f"R-hat {rhat:.2f}, ESS {ess:.0f}")
    reached = rhat < RHAT_GOOD and ess >= settings.ess
    return settings.ess > 0 and scalars.slope.shape[1] >= LEAST_DRAWS and reached


def mixing(scalars: run.Scalars, share: np.ndarray | None, chains: int) -> tuple[float, float]:
    """Greatest R-hat and least bulk ESS over galaxies and those scalars that move.

    `share` is that of the trace where chains take turns, `chains` are those of each galaxy.
    """
    others = (scalars.slope, scalars.mean_attenuation, scalars.covering_fraction)
    series = np.stack([*np.moveaxis(scalars.flux, -1, 0), *others, scalars.log_screen], axis=-1)
    # galaxies become series of their own: (chain, sweep, galaxy x scalar)
    series = series.reshape(-1, chains, *series.shape[1:])
    series = np.moveaxis(series, 0, 2).reshape(chains, series.shape[2], -1)
    series = levelled(series, None if share is None else share[:chains])
    moving = series[..., np.ptp(series, axis=(0, 1)) != 0]
    if not moving.size or series.shape[1] < 4:
        return np.nan, np.nan
    return float(np.max(ranks.rhat(moving))), float(np.min(ranks.bulk_ess(moving)))
