"""One rung at one depth: many galaxies of its prior, their posteriors, MAPs and bounds.

All in mag of light-weighted mean A at 0.4754 micron, which is log_screen in other units.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost import coordinates
from dustpost.diagnostics import fisher, fisher_pixels, ranks
from dustpost.galaxy import Position
from dustpost.ladder import world
from dustpost.networks.diffusion import perturb
from dustpost.posterior import Target
from dustpost.progress import Stage, quiet
from dustpost.samplers import map as climb
from dustpost.samplers import run, side_by_side
from dustpost.samplers.choice import FIRST_STEP, SAMPLERS

CHAINS = 2
WARMUP, CHUNK, LEAPFROG = 80, 20, 32
MOST_ITERATIONS = 600
PRIOR_DRAWS = 2000
AVERAGED = 16  # galaxies over which the Fisher information is averaged


def measure(
    fraction: float,
    depth: float,
    signal_to_noise: float,
    flux_prior: str,
    galaxies: int,
    draws: int,
    seed: int,
    progress: Stage = quiet,
) -> dict[str, float]:
    """Widths, bias, coverage and bounds of one rung.

    Parameters
    ----------
    fraction, depth, signal_to_noise, flux_prior
        See `world.rung`.
    galaxies, draws : int
        Truths of the rung's prior, and draws of each chain.
    seed : int
    progress : callable

    Returns
    -------
    dict
        A row of degeneracy.ecsv, see `study.COLUMNS`.
    """
    key = jax.random.key(seed)
    truth_key, prior_key, start_key, begin_key, warm_key, run_key = jax.random.split(key, 6)
    empty = world.rung(fraction, depth, signal_to_noise, flux_prior)
    truths, targets = [], []
    level_key, truth_key = jax.random.split(truth_key)
    levels = stratified(level_key, galaxies)
    for one, level in zip(jax.random.split(truth_key, galaxies), levels, strict=True):
        position, target = world.draw(one, empty, flux_prior, level)
        truths.append(position)
        targets.append(target)
    true = np.array([_mean_attenuation(empty, position) for position in truths])
    prior = jax.lax.map(
        lambda one: _mean_attenuation(empty, world.draw(one, empty, flux_prior)[0]),
        jax.random.split(prior_key, PRIOR_DRAWS),
    )

    chained = side_by_side.stack(targets, CHAINS)
    start = jax.jit(jax.vmap(partial(_start, empty)))
    starts = start(jax.random.split(start_key, galaxies * CHAINS))
    keys = partial(jax.random.split, num=galaxies)
    plan = dict(steps=LEAPFROG, chunk=CHUNK)
    sampler = SAMPLERS["gibbs"]
    advance = progress("sweeps", WARMUP + draws)
    tune = jax.vmap(
        lambda target: sampler.tune(target, _centre(target), FIRST_STEP),
        in_axes=(side_by_side.axes(chained),),
    )
    tuning = jax.jit(tune)(chained)
    states = run.start(keys(begin_key), starts, chained, sampler)
    states, tuning, _ = run.warm_up(
        keys(warm_key), states, chained, sampler, tuning, WARMUP, **plan, advance=advance
    )

    def watch(done, scalars, share):
        advance(done)
        return False

    _, trace = run.run(keys(run_key), states, chained, sampler, tuning, draws, **plan, watch=watch)
    series = trace.scalars.mean_attenuation.astype(float)  # (galaxy x chain, draw)
    by_galaxy = np.moveaxis(series.reshape(galaxies, CHAINS, -1), 0, -1)  # (chain, draw, galaxy)
    pooled = by_galaxy.reshape(-1, galaxies)
    low, high = np.quantile(pooled, [0.16, 0.84], axis=0)
    mean, sd = pooled.mean(axis=0), pooled.std(axis=0, ddof=1)

    best, laplace = [], []
    for target in targets:
        found = climb.climb(target, _centre(target), MOST_ITERATIONS)
        best.append(_mean_attenuation(target, found.position))
        laplace.append(_bound(target, found.position))
    best, laplace = np.array(best), np.array(laplace)

    bounds = [
        _bound(target, position)
        for target, position in zip(targets[:AVERAGED], truths[:AVERAGED], strict=True)
    ]
    prior_sd = float(np.std(np.asarray(prior, float), ddof=1))
    return dict(
        covering_fraction=fraction,
        depth=depth,
        signal_to_noise=signal_to_noise,
        galaxies=galaxies,
        mean_attenuation=float(true.mean()),
        posterior_sd=float(sd.mean()),
        prior_sd=prior_sd,
        contraction=float(sd.mean()) / prior_sd,
        bias=float((mean - true).mean()),
        bias_error=float((mean - true).std(ddof=1) / galaxies**0.5),
        coverage68=float(np.mean((low <= true) & (true <= high))),
        fisher_sd=float(np.mean(bounds)),
        fisher_sd_pixels=world.MAGNITUDE * _pixel_bound(targets[0], truths[0]),
        map_bias=float((best - true).mean()),
        map_rms=float(np.sqrt(np.mean((best - true) ** 2))),
        laplace_sd=float(np.nanmean(laplace)),
        map_coverage68=float(np.mean(np.abs(best - true) <= np.nan_to_num(laplace))),
        rhat=float(np.median(ranks.rhat(by_galaxy))),
        ess_bulk=float(np.median(ranks.bulk_ess(by_galaxy))),
    )


def stratified(key: Array, number: int) -> Array:
    """Draws of N(0, 1), one from each of as many equal parts of its mass, shuffled, (number,).

    Taken for the offset of the screens: their share within one sd is then nearly that of the
    normal, and coverage where only the prior tells the screen is not left to luck.
    """
    order_key, key = jax.random.split(key)
    within = jax.random.uniform(key, (number,), minval=0.01, maxval=0.99)
    return jax.scipy.stats.norm.ppf((jax.random.permutation(order_key, number) + within) / number)


def _centre(target: Target) -> Position:
    prior = target.dust_prior
    return Position(target.host_prior.mean, prior.mean, jnp.asarray(target.slope_prior.mean))


def _start(target: Target, key: Array) -> Position:
    host_key, dust_key = jax.random.split(key)
    centre = _centre(target)
    return Position(
        perturb(host_key, centre.host, target.host_prior.level(target.sigma_host)),
        perturb(dust_key, centre.dust, target.dust_prior.level(target.sigma_dust)),
        centre.slope,
    )


def _bound(target: Target, position: Position) -> float:
    """Fisher bound at one place, mag."""
    alone = jax.tree.map(lambda x: x[None], position)
    return world.MAGNITUDE * float(fisher.bound(target, alone))


def _pixel_bound(target: Target, position: Position) -> float:
    """The same with S and D free in every pixel."""
    galaxy = target.galaxy(position)
    place = galaxy.host, galaxy.transmission, position.slope
    return world.MAGNITUDE * fisher_pixels.pixel_bound(target, *place)


@jax.jit
def _mean_attenuation(target: Target, position: Position) -> Array:
    galaxy = target.galaxy(position)
    return coordinates.mean_attenuation(galaxy.host, galaxy.transmission, target.k_pivot)


def bounds(
    fraction: float, depth: float, signal_to_noise: float, flux_prior: str = "flat"
) -> tuple[float, float]:
    """Fisher bound at the centre of the rung's prior, and the prior sd: (mag, mag)."""
    target = world.rung(fraction, depth, signal_to_noise, flux_prior)
    centre = _centre(target)
    cube = jnp.exp(target.flux_prior.mean)[:, None, None] * target.galaxy(centre).templates
    target = target.replace(observation=target.observation._replace(data=cube))
    return _bound(target, centre), world.prior_sd(target)
