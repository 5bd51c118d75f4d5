"""Where chains begin: the MAP, starts dispersed about it, and their way to the posterior.

Where the priors are energies chains begin about the stacked image instead, and are not relaxed:
the maximum of an energy is no galaxy, and unadjusted dynamics lead there as well.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.assemble import build_target, leapfrogs
from dustpost.coordinates import STRETCH, clean_from_image
from dustpost.galaxy import Position
from dustpost.io.cutout import Cutout
from dustpost.networks.diffusion import perturb
from dustpost.posterior import Target
from dustpost.progress import Stage, quiet
from dustpost.samplers import annealed, burn_in
from dustpost.samplers import map as climb
from dustpost.samplers.choice import SAMPLERS
from dustpost.settings import PAPERS_MODEL, Settings

MOST_ITERATIONS = 600
START_SPREAD = 0.1  # sd of delta over the chains' starts
HIGHEST_HOST = 0.8  # first noise level of a ladder
HIGHEST_DUST = 8.0  # the same, in units of the target's
LEVELS = 10


def map_target(cutout: Cutout, settings: Settings) -> Target:
    """What the MAP is of: as in the paper the cut target, of scores, where not asked for the full.

    The host has one colour and the model no error, as in the paper; the anchor is known by
    chains alone.
    """
    term = "full" if settings.cross_term == "full" else "cut"
    return build_target(cutout, replace(settings, cross_term=term, **PAPERS_MODEL))


def find_map(target: Target, progress: Stage = quiet) -> climb.Result:
    """Maximum a posteriori from the standard first guess."""
    start = jax.jit(climb.start)(target)
    return climb.climb(target, start, MOST_ITERATIONS, progress("MAP", MOST_ITERATIONS))


def centre(target: Target, progress: Stage = quiet) -> Position:
    """What starts are dispersed about: the MAP, or with energies the first guess of its climb."""
    if exact(target):
        return jax.jit(climb.start)(target)
    return find_map(target, progress).position


def exact(target: Target) -> bool:
    """Whether both priors have densities."""
    return None not in (target.host_prior.log_density, target.dust_prior.log_density)


def approach(
    key: Array, target: Target, best: Position, settings: Settings, progress: Stage = quiet
) -> Position:
    """Bring dispersed starts near the posterior, (chain, ...); no part of the draws.

    `settings.relax` is the number of steps, over all levels of a ladder where there is one;
    none are taken without a ladder where the priors are energies.
    """
    spread_key, key = jax.random.split(key)
    if settings.sampler == "gibbs":
        starts = disperse(spread_key, target, best, settings.chains)
        if exact(target):
            return starts
        mass = annealed.likelihood_mass(target, best)
        mass = jax.tree.map(lambda x: jnp.stack([x] * settings.chains), mass)
        advance = progress("relaxation", settings.relax)
        return burn_in.relax(key, starts, target, mass, settings.relax, advance)
    highest = HIGHEST_HOST, HIGHEST_DUST * float(target.sigma_dust)
    ladder = annealed.geometric(highest, target, LEVELS)
    top = target.replace(sigma_host=ladder.host[0], sigma_dust=ladder.dust[0])
    clean = annealed.rescale(best, target, target.sigma_host, ladder.host[0])
    starts = disperse(spread_key, top, clean, settings.chains)
    steps = leapfrogs(settings, target)
    sweeps = -(-settings.relax // (LEVELS * steps))
    advance = progress("annealing", LEVELS * sweeps)
    sampler = SAMPLERS[settings.sampler]
    return burn_in.descend(key, starts, target, sampler, ladder, sweeps, steps, advance)


def disperse(key: Array, target: Target, best: Position, chains: int) -> Position:
    """Starts of the chains, (chain, ...), each with the noise that its target asks for.

    Where the priors have densities the dust is drawn from its prior, as wide as an answer can
    be, with a host that is the brighter where it is dark. Scores are not trusted so far from
    the data: there the starts are in turn the MAP's dust, which is clean, and none.
    """
    host_key, dust_key, slope_key = jax.random.split(key, 3)
    slope = best.slope + START_SPREAD * jax.random.normal(slope_key, (chains,))
    level = target.host_prior.level(target.sigma_host)
    if exact(target):
        host, dust = _behind_drawn_dust(jax.random.split(dust_key, chains), target, best)
        return Position(perturb(host_key, host, level), dust, slope)
    clean_host = target.host_prior.denoise(best.host, target.sigma_host, None)
    transmission = target.galaxy(best).transmission
    clean_dust = target.dust_prior.latent(transmission)
    dusty = (jnp.arange(chains) % 2 == 0)[:, None, None]
    none = target.dust_prior.latent(jnp.full_like(transmission, climb.START_TRANSMISSION))
    clean_dust = jnp.where(dusty, clean_dust, none[None])
    clean_host = jnp.broadcast_to(clean_host, clean_dust.shape)
    return Position(
        perturb(host_key, clean_host, level),
        perturb(dust_key, clean_dust, target.dust_prior.level(target.sigma_dust)),
        slope,
    )


@jax.jit
def _behind_drawn_dust(keys: Array, target: Target, best: Position) -> tuple[Array, Array]:
    """Clean hosts, and dust x drawn given the MAP's host, (chain, y, x); S D is the MAP's."""
    light, _ = target.host_of(best.host)
    clean = target.host_prior.denoise(best.host, target.sigma_host, None)
    peak = jnp.expm1(STRETCH * jnp.max(clean))
    seen = light.image * target.galaxy(best).transmission

    def one(key):
        dust = target.draw_dust(key, light)
        image = seen / target.dust_of(dust, light).transmission
        return clean_from_image(peak * image / jnp.max(image)), dust

    return jax.lax.map(one, keys)
