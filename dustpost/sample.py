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

import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from dustpost.attenuation import band_attenuation
from dustpost.diagnostics import fisher_pixels, ranks
from dustpost.diagnostics.convergence import RHAT_GOOD
from dustpost.draws import Draws
from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.io.read import to_observation
from dustpost.likelihood import inflate_noise
from dustpost.model_error import add_model_error
from dustpost.networks.diffusion import perturb, sigma_of
from dustpost.posterior import Position, Target
from dustpost.priors.dust import load_dust_prior
from dustpost.priors.host import find_hsc64, load_host_prior
from dustpost.priors.joint import load_joint_prior, load_sim_prior
from dustpost.priors.prior import CoupledPrior, Prior, TransmissionPrior
from dustpost.priors.slope import slope_prior
from dustpost.priors.spectrum import FlatFlux, stellar_flux
from dustpost.progress import Stage, quiet
from dustpost.results import to_tree
from dustpost.samplers import annealed, run
from dustpost.samplers import map as climb
from dustpost.samplers.choice import SAMPLERS
from dustpost.settings import SIGMA_DUST, Settings

MOST_ITERATIONS = 600
START_SPREAD = 0.1  # sd of delta over the chains' starts
HIGHEST_HOST = 0.8  # first noise level of a ladder
HIGHEST_DUST = 8.0  # the same, in units of the target's
LEVELS = 10
NEAR, FAR = 8, 30  # leapfrog steps, of scores and of energies
STAGES = 3  # of warm-up; the frames of the last are those of the draws
LEAST_DRAWS = 20  # a chain, before a run may end early
PACKAGES = ("dustpost", "jax", "flax", "numpyro", "blackjax", "arviz", "numpy")


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


def build_target(cutout: Cutout, settings: Settings) -> Target:
    """Priors and likelihood of one cutout."""
    observation = to_observation(cutout, settings.filter_average)
    observation = inflate_noise(observation, settings.noise_inflation)
    if settings.model_error:
        observation = add_model_error(observation, settings.model_error)
    if settings.flux_prior == "flat":
        flux_prior = FlatFlux()
    else:
        total = np.sum(np.where(cutout.ivar > 0, cutout.data, 0.0), axis=(1, 2))
        flux_prior = stellar_flux(cutout.wavelength / (1 + cutout.redshift), total)
    dust_prior = choose_dust_prior(settings)
    host_prior = choose_host_prior(settings)
    check_shapes(cutout, host_prior, dust_prior)
    sigma_dust = settings.sigma_dust or SIGMA_DUST[dust_prior.coordinate]
    return Target(
        observation=observation,
        host_prior=host_prior,
        dust_prior=dust_prior,
        flux_prior=flux_prior,
        slope_prior=slope_prior(),
        sigma_host=sigma_of(jnp.asarray(settings.t_host)),
        sigma_dust=jnp.asarray(sigma_dust),
        curve=settings.curve,
        norm=settings.norm,
        kind=settings.target,
        cross_term=settings.cross_term,
        covering_threshold=settings.covering_threshold,
    )


def check_shapes(cutout: Cutout, *priors: Prior) -> None:
    """Refuse a prior that does not take images of the cutout's shape."""
    shape = cutout.data.shape[1:]
    for prior in priors:
        size = getattr(prior, "size", shape[0])
        if (size, size) != shape:
            raise DustpostError(
                f"{cutout.source}: {shape[0]}x{shape[1]} pixels, but the weights of the prior "
                f"{prior.name} (sha256 {prior.sha256[:12]}) are for {size}x{size}; give others "
                "by --host-weights or --dust-weights"
            )


def choose_host_prior(settings: Settings) -> Prior:
    """Load HSC-64 or `sim`; "auto" goes by the weight file's suffix, else takes what is there.

    Under "anchored" it takes `sim`, which has a density.
    """
    weights, energy = settings.host_weights or None, settings.cross_term == "anchored"
    if settings.host_prior != "auto":
        own = settings.host_prior == "sim"
    elif weights is None:
        own = energy or find_hsc64() is None
    else:
        own = weights.endswith(".safetensors")
    return load_sim_prior(weights, energy) if own else load_host_prior(weights)


def choose_dust_prior(settings: Settings) -> TransmissionPrior | CoupledPrior:
    """Load the dust given the host or, for the full cross term, host and dust together."""
    weights = settings.dust_weights or None
    if settings.cross_term == "full":
        return load_joint_prior(weights)
    return load_dust_prior(weights, energy=settings.cross_term == "anchored")


def find_map(target: Target, progress: Stage = quiet) -> climb.Result:
    """Maximum a posteriori from the standard first guess."""
    start = jax.jit(climb.start)(target)
    return climb.climb(target, start, MOST_ITERATIONS, progress("MAP", MOST_ITERATIONS))


def approach(
    key: Array, target: Target, best: Position, settings: Settings, progress: Stage = quiet
) -> Position:
    """Bring dispersed starts near the posterior, (chain, ...); no part of the draws.

    `settings.relax` is the number of steps, over all levels of a ladder where there is one.
    """
    spread_key, key = jax.random.split(key)
    if settings.sampler == "gibbs":
        starts = disperse(spread_key, target, best, settings.chains)
        mass = annealed.likelihood_mass(target, best)
        mass = jax.tree.map(lambda x: jnp.stack([x] * settings.chains), mass)
        advance = progress("relaxation", settings.relax)
        return run.relax(key, starts, target, mass, settings.relax, advance)
    highest = HIGHEST_HOST, HIGHEST_DUST * float(target.sigma_dust)
    ladder = annealed.geometric(highest, target, LEVELS)
    top = target.replace(sigma_host=ladder.host[0], sigma_dust=ladder.dust[0])
    clean = annealed.rescale(best, target, target.sigma_host, ladder.host[0])
    starts = disperse(spread_key, top, clean, settings.chains)
    steps = leapfrogs(settings, target)
    sweeps = -(-settings.relax // (LEVELS * steps))
    advance = progress("annealing", LEVELS * sweeps)
    sampler = SAMPLERS[settings.sampler]
    return run.descend(key, starts, target, sampler, ladder, sweeps, steps, advance)


def leapfrogs(settings: Settings, target: Target) -> int:
    """Steps of a trajectory: `settings.leapfrog`, or what suits the priors.

    A trajectory of scores drifts where they rotate, one of energies is exact however long.
    """
    exact = target.joint and target.joint_block().log_prior is not None
    return settings.leapfrog or (FAR if exact else NEAR)


def disperse(key: Array, target: Target, best: Position, chains: int) -> Position:
    """Starts of the chains, (chain, ...): in turn from the MAP's dust and from none.

    The MAP's latents are clean; each chain adds the noise that its target asks for.
    """
    host_key, dust_key, slope_key = jax.random.split(key, 3)
    clean_host = target.host_prior.denoise(best.host, target.sigma_host, None)
    transmission = target.galaxy(best).transmission
    clean_dust = target.dust_prior.latent(transmission)
    dusty = (jnp.arange(chains) % 2 == 0)[:, None, None]
    none = target.dust_prior.latent(jnp.full_like(transmission, climb.START_TRANSMISSION))
    clean_dust = jnp.where(dusty, clean_dust, none[None])
    clean_host = jnp.broadcast_to(clean_host, clean_dust.shape)
    spread = START_SPREAD * jax.random.normal(slope_key, (chains,))
    return Position(
        perturb(host_key, clean_host, target.host_prior.level(target.sigma_host)),
        perturb(dust_key, clean_dust, target.dust_prior.level(target.sigma_dust)),
        best.slope + spread,
    )


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


def describe(target: Target, cutout: Cutout, settings: Settings, slope: float) -> dict:
    """All that was assumed, under the names of `dustpost.draws.SETTINGS`."""
    observation = target.observation
    k = band_attenuation(
        observation.wavelength, observation.weight, slope, target.curve, target.norm
    )
    same = ("sampler", "target", "cross_term", "curve", "norm", "flux_prior", "t_host")
    same += ("noise_inflation", "model_error", "covering_threshold", "chains", "warmup", "draws")
    same += ("relax", "directions", "keep", "prior_draws", "seed")
    versions = [f"python {platform.python_version()}"]
    return {name: getattr(settings, name) for name in same} | {
        "leapfrog": leapfrogs(settings, target),
        "k": np.asarray(k).tolist(),
        "k_reference": float(target.k_pivot),
        "sigma_dust": float(target.sigma_dust),
        "sigma_host": float(target.sigma_host),
        "dust_coordinate": target.dust_prior.coordinate,
        "filter_average": str(settings.filter_average),
        "host_prior": target.host_prior.name,
        "host_checkpoint_sha256": target.host_prior.sha256,
        "dust_prior": target.dust_prior.name,
        "dust_checkpoint_sha256": target.dust_prior.sha256,
        "slope_prior_mean": float(target.slope_prior.mean),
        "slope_prior_sd": float(target.slope_prior.variance**0.5),
        "redshift": cutout.redshift,
        "ebv": cutout.ebv,
        "versions": versions + [f"{name} {version(name)}" for name in PACKAGES],
    }
