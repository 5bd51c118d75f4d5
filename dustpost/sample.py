"""From a cutout to its posterior: the whole algorithm on one page.

target   priors x likelihood of the denoised galaxy, F collapsed
MAP      Adam on the drift (Siegel & Melchior 2024), the chains' start
approach from dispersed starts: Langevin dynamics of all latents at once, unadjusted;
         under langevin and split-gibbs down a ladder of noise levels
warm-up  sweeps of the sampler, HMC within Gibbs if no other is asked for, in stages: frames
         are fitted to where the chains are, then step sizes adapt
draws    the same, everything fixed
prior    draws of the dust prior given the host: where the data speak
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from dustpost.assemble import build_target, describe, leapfrogs
from dustpost.diagnostics import fisher_pixels, ranks
from dustpost.diagnostics.convergence import RHAT_GOOD
from dustpost.draws import Draws
from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.posterior import Position, Target
from dustpost.progress import Stage, quiet
from dustpost.results import to_tree
from dustpost.samplers import run
from dustpost.samplers.choice import SAMPLERS
from dustpost.settings import Settings
from dustpost.starts import approach, find_map

STAGES = 3  # of warm-up; the frames of the last are those of the draws
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
    chains, sampler = settings.chains, SAMPLERS[settings.sampler]
    start_key, begin_key, warm_key, run_key, prior_key = jax.vmap(
        lambda key: jax.random.split(key, 5), out_axes=1
    )(keys)
    targets = targets or [build_target(cutout, settings) for cutout in cutouts]
    best = [find_map(target, progress).position for target in targets]
    targets = [
        anchored(target, _host_of(target, place)[None], settings)
        for target, place in zip(targets, best, strict=True)
    ]
    starts = [
        approach(key, target, place, settings, progress)
        for key, target, place in zip(start_key, targets, best, strict=True)
    ]
    tune = jax.jit(sampler.tune)
    tuning = [
        tune(target, place, run.FIRST_STEP) for target, place in zip(targets, best, strict=True)
    ]
    tuning = jax.tree.map(lambda *x: jnp.repeat(jnp.stack(x), chains, axis=0), *tuning)
    starts = jax.tree.map(lambda *x: jnp.concatenate(x), *starts)
    states = run.start(begin_key, starts, together(targets, chains), sampler)
    if not np.isfinite(states.galaxy.log_evidence).any():
        return [_not_finite(cutout, "where they start") for cutout in cutouts]
    plan = dict(steps=leapfrogs(settings, targets[0]), chunk=settings.keep)
    states, targets, tuning = warm_up(warm_key, states, targets, tuning, settings, plan, progress)
    watch = partial(watched, progress("draws", settings.draws), settings)
    held = together(targets, chains), sampler, tuning
    states, trace = run.run(run_key, states, *held, settings.draws, **plan, watch=watch)
    results = []
    for number, part in enumerate(parts(settings, len(targets))):
        cutout, one = cutouts[number], targets[number]
        mine, step, hosts = jax.tree.map(
            lambda x, part=part: x[part],
            (trace._replace(kept=()), tuning.step, states.position.host),
        )
        mine = mine._replace(kept=trace.kept)
        error = unfinished(cutout, mine)
        if error is None:
            before = prior_of_dust(prior_key[number], one, hosts, settings.prior_draws, progress)
            results.append(to_tree(gather(one, mine, step, before, cutout, settings), cutout))
        else:
            results.append(error)
    return results


def warm_up(
    key: Array,
    states: Any,
    targets: list[Target],
    tuning: Any,
    settings: Settings,
    plan: dict[str, int],
    progress: Stage = quiet,
) -> tuple[Any, list[Target], Any]:
    """Fit anchors and frames to where the chains are, settle step sizes; `STAGES` times over.

    Parameters as in `run.warm_up`; `key` is one of each galaxy, `targets` are the galaxies'
    own. A sampler without frames has one stage.

    Returns
    -------
    states : NamedTuple
    targets : list of Target
        With the anchors of the last stage.
    tuning : NamedTuple
    """
    sampler = SAMPLERS[settings.sampler]
    refit = sampler.retune is not None and settings.directions > 0
    stages = STAGES if refit else 1
    advance = progress("warm-up", settings.warmup)
    sweeps = -(-settings.warmup // stages)
    for stage_key in jax.vmap(lambda one: jax.random.split(one, stages), out_axes=1)(key):
        fit_key, begin_key, sweep_key = jax.vmap(lambda one: jax.random.split(one, 3), out_axes=1)(
            stage_key
        )
        targets = [
            anchored(target, states.galaxy.host[part], settings)
            for target, part in zip(targets, parts(settings, len(targets)), strict=True)
        ]
        target = together(targets, settings.chains)
        states = run.start(begin_key, states.position, target, sampler)
        if refit:
            tuning = retune(fit_key, states, targets, tuning, settings)
        states, tuning = run.warm_up(
            sweep_key, states, target, sampler, tuning, sweeps, **plan, advance=advance
        )
    return states, targets, tuning


def anchored(target: Target, hosts: Array, settings: Settings) -> Target:
    """The target with the mean of some hosts, (n, y, x), as the dust's condition.

    Where `settings.cross_term` asks for no anchor, the target as it is.
    """
    if settings.cross_term != "anchored":
        return target
    return target.replace(anchor=jnp.mean(hosts, axis=0))


@jax.jit
def _host_of(target: Target, position: Position) -> Array:
    return target.host_of(position.host)[0].image


def together(targets: list[Target], chains: int) -> Target:
    """One target for all chains of all galaxies."""
    return targets[0] if len(targets) == 1 else run.stack(targets, chains)


def parts(settings: Settings, galaxies: int) -> list[slice]:
    """Where each galaxy's chains are among those of all."""
    return [slice(n * settings.chains, (n + 1) * settings.chains) for n in range(galaxies)]


def retune(key: Array, states: Any, targets: list[Target], tuning: Any, settings: Settings) -> Any:
    """Fit the frames of each galaxy to its chains; tuning (chain, ...) of all of them."""
    fit = jax.jit(SAMPLERS[settings.sampler].retune, static_argnames="rank")
    found = []
    for number, part in enumerate(parts(settings, len(targets))):
        mine, first = jax.tree.map(lambda x, part=part: x[part], (states, tuning))
        fitted = fit(
            key[number],
            mine,
            targets[number],
            jax.tree.map(lambda x: x[0], first),
            rank=settings.directions,
        )
        fitted = jax.tree.map(lambda x: jnp.stack([x] * settings.chains), fitted)
        found.append(fitted._replace(step=first.step))
    return jax.tree.map(lambda *x: jnp.concatenate(x), *found)


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
    advance: Callable[..., None], settings: Settings, done: int, scalars: run.Scalars
) -> bool:
    """Show the worst R-hat and ESS of all galaxies so far; whether `settings.ess` is reached."""
    rhat, ess = mixing(scalars, settings.chains)
    advance(done, f"R-hat {rhat:.2f}, ESS {ess:.0f}")
    reached = rhat < RHAT_GOOD and ess >= settings.ess
    return settings.ess > 0 and scalars.slope.shape[1] >= LEAST_DRAWS and reached


def mixing(scalars: run.Scalars, chains: int) -> tuple[float, float]:
    """Greatest R-hat and least bulk ESS over galaxies and those scalars that move."""
    others = (scalars.slope, scalars.mean_attenuation, scalars.covering_fraction)
    series = np.stack([*np.moveaxis(scalars.flux, -1, 0), *others, scalars.log_screen], axis=-1)
    # galaxies become series of their own: (chain, sweep, galaxy x scalar)
    series = np.concatenate(series.reshape(-1, chains, *series.shape[1:]), axis=-1)
    moving = series[..., np.ptp(series, axis=(0, 1)) != 0]
    if not moving.size or series.shape[1] < 4:
        return np.nan, np.nan
    return float(np.max(ranks.rhat(moving))), float(np.min(ranks.bulk_ess(moving)))


def prior_of_dust(
    key: Array, target: Target, hosts: Array, draws: int, progress: Stage = quiet
) -> dict[str, np.ndarray]:
    """Draws of S, D (n, y, x) and delta (n,): hosts of the posterior, dust of its prior.

    `hosts` are latents z of the posterior, (n, y, x), taken in turn.
    """
    slope_key, key = jax.random.split(key)
    advance = progress("prior of the dust", draws)
    pairs = []
    for number, draw_key in enumerate(jax.random.split(key, draws)):
        pairs.append(jax.device_get(_prior_draw(draw_key, target, hosts[number % len(hosts)])))
        advance(1)
    host, transmission = (np.stack(images) for images in zip(*pairs, strict=True))
    slope = np.asarray(target.slope_prior.sample(slope_key, (draws,)))
    return dict(prior_host=host, prior_transmission=transmission, prior_slope=slope)


@jax.jit
def _prior_draw(key: Array, target: Target, latent: Array) -> tuple[Array, Array]:
    host, _ = target.host_of(latent)
    dust = target.dust_of(target.draw_dust(key, host), host)
    return host.image, dust.transmission


def bounds(
    target: Target, host: Array, transmission: Array, slope: Array, prior_transmission: Array
) -> dict[str, float]:
    """Fisher bounds of log_screen, see `diagnostics.fisher_pixels.pixel_bound`."""
    place = target, host, transmission, slope
    return dict(
        fisher_sd=fisher_pixels.pixel_bound(*place, prior_transmission),
        fisher_sd_pixels=fisher_pixels.pixel_bound(*place),
    )


def gather(
    target: Target,
    trace: run.Trace,
    step_sizes: dict[str, Array],
    before: dict[str, np.ndarray],
    cutout: Cutout,
    settings: Settings,
) -> Draws:
    """Bring a trace into the form of the outputs."""
    scalars, info = trace.scalars, trace.info
    series = scalars.slope.shape
    hold = lambda per_chain: np.broadcast_to(np.asarray(per_chain)[:, None], series)  # noqa: E731
    mean = trace.host.mean(axis=(0, 1)), np.exp(np.log(trace.transmission).mean(axis=(0, 1)))
    found = bounds(target, *mean, scalars.slope.mean(), before["prior_transmission"])
    stats = {
        **{f"acceptance_{name}": rate for name, rate in info.acceptance.items()},
        **{name: value for name, value in info._asdict().items() if name != "acceptance"},
        "log_likelihood": scalars.log_likelihood,
        **{f"step_size_{name}": hold(step) for name, step in step_sizes.items()},
    }
    return Draws(
        **traced(trace),
        stats=stats,
        **before,
        fisher={name: float(sd) for name, sd in found.items()},
        settings=describe(target, cutout, settings, float(scalars.slope.mean())),
    )


def traced(trace: run.Trace) -> dict[str, np.ndarray]:
    """Fields of `Draws` that a trace holds as they are."""
    scalars = trace.scalars
    return dict(
        flux=scalars.flux,
        slope=scalars.slope,
        mean_attenuation=scalars.mean_attenuation,
        covering_fraction=scalars.covering_fraction,
        log_screen=scalars.log_screen,
        host=trace.host,
        transmission=trace.transmission,
        kept=trace.kept,
        model=trace.model.mean(axis=0),
    )
