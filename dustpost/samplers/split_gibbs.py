"""Split Gibbs: the likelihood and the prior each have a copy of the galaxy.

    pi(w, v, delta) = L(Y | w, delta) p(delta) exp(-|w - v|^2 / 2 rho^2) p_0(v)

(Vono et al. 2019; with a diffusion prior, Wu et al. 2024, PnP-DM). w and v are clean
latents of host and dust, L has F integrated out. One sweep:

    w, delta | v     HMC on an explicit density, and F redrawn at once,
    v | w            reverse diffusion that starts from w, as if w = v + rho e.

Prior and likelihood never meet in one accept step, so a score is all that is needed, and
each half moves host and dust together. The widths rho are the noise-to-signal ratios
sigma/scale of the target's own levels: `annealed.anneal` lowers them, and the target's
`kind` has no say. The law of w is exactly that of the latents of the target "smoothed" at
these levels; that of v is nearer to the posterior at rho = 0, which both reach. A sweep
moves a mode of the prior, of variance V, by some rho of its sqrt(V): mixing takes
(V/rho^2) sweeps. Where rho is wide, the noise that the likelihood sees is taken for light
and for dust (DESIGN, "smoothed"); anneal down to where half of rho changes nothing.

Under cut the host is drawn from p(v | w) of its own and the dust given it; under full both
by one reverse diffusion of the two, cross term included.
"""

from collections.abc import Callable
from typing import NamedTuple

import blackjax
import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from dustpost import coordinates
from dustpost.galaxy import Galaxy, Position
from dustpost.networks import edm
from dustpost.networks.diffusion import Level, ancestral
from dustpost.posterior import Target
from dustpost.samplers import annealed, curvature, flux, hmc

LEVELS = 24  # of each reverse diffusion
FLOOR = 0.05  # where it ends, in units of its start; there the latent is denoised

_HMC = blackjax.hmc.build_kernel()


class State(NamedTuple):
    """Both copies, and the galaxy and fluxes of the likelihood's.

    Attributes
    ----------
    position : Position
        The prior's copy v, times the scale of its level, and delta.
    seen : tuple of Array, (y, x)
        The likelihood's copy w of host and dust.
    galaxy : Galaxy
        Of w. `galaxy` below is that of v, without the noise rho.
    flux : flux.Flux
        Drawn with w.
    """

    position: Position
    seen: tuple[Array, Array]
    galaxy: Galaxy
    flux: flux.Flux


class Info(NamedTuple):
    """Acceptance of both parts of the likelihood half, and rms (w - v)/rho, near 1 or below."""

    acceptance: Array
    acceptance_flux: Array
    gap: Array


def galaxy(state: State, target: Target) -> Galaxy:
    """Galaxy of the prior's copy: the one to report."""
    return _galaxy(_clean(state.position, target), state.position.slope, target)


def init(key: Array, position: Position, target: Target) -> State:
    """State at a position; both copies begin there."""
    clean = _clean(position, target)
    found = _galaxy(clean, position.slope, target)
    return State(position, clean, found, flux.draw(key, found, target.flux_prior))


def kernel(
    key: Array,
    state: State,
    target: Target,
    step_size: Array | float,
    steps: int,
    moves: int = 2,
    levels: int = LEVELS,
) -> tuple[State, Info]:
    """One sweep.

    Parameters
    ----------
    key : Array
        Random key.
    state : State
    target : Target
        Its levels set the widths rho.
    step_size : float
        In units of the scale that the likelihood's curvature at v and rho set.
    steps, moves : int
        Leapfrog steps of an HMC move, and such moves in a sweep.
    levels : int
        Steps of each reverse diffusion; a call of the network each.
    """
    move_key, draw_key, accept_key, prior_key = jax.random.split(key, 4)
    state, acceptance, stands = _likelihood_half(
        (move_key, draw_key, accept_key), state, target, step_size, steps, moves
    )
    clean = draw_clean(prior_key, state.seen, target, levels)
    widths = [level.sigma / level.scale for level in _levels(target)]
    gaps = [
        jnp.mean(jnp.square((w - v) / rho))
        for w, v, rho in zip(state.seen, clean, widths, strict=True)
    ]
    position = _latents(clean, state.position.slope, target)
    info = Info(acceptance, stands, jnp.sqrt(sum(gaps) / 2))
    return state._replace(position=position), info


def run(step_size: float, steps: int, moves: int = 2, levels: int = LEVELS) -> Callable:
    """Sweeps down a ladder of widths, a run as `annealed.anneal` returns it."""

    def begin(key, position, target):
        def advance(key, state):
            return kernel(key, state, target, step_size, steps, moves, levels)

        return init(key, position, target), advance

    return annealed.anneal(begin)


def draw_clean(
    key: Array, seen: tuple[Array, Array], target: Target, levels: int
) -> tuple[Array, Array]:
    """Prior half: draw the clean host and dust given their noisy copies, (y, x) each."""
    host, dust = seen
    host_key, dust_key = jax.random.split(key)
    of_host, of_dust = target.host_prior, target.dust_prior
    host_ladder = _ladder(of_host.level, target.sigma_host, levels)
    dust_ladder = _ladder(of_dust.level, target.sigma_dust, levels)
    if target.coupled:

        def denoise(latents, sigmas):
            sigma_host, sigma_dust = sigmas[:, 0, 0]
            scale, noise = of_host.level(sigma_host)
            tau = noise / scale
            cross, dust = of_dust.conditional(latents[0] / scale, latents[1], tau, sigma_dust)
            host = of_host.denoise(latents[0], sigma_host, None) + tau**2 * cross
            return jnp.stack([host, dust])

        both = jax.tree.map(
            lambda *ends: jnp.stack(ends, axis=1)[:, :, None, None], host_ladder, dust_ladder
        )
        return tuple(_descend(host_key, denoise, both, jnp.stack(seen)))

    host = _descend(host_key, lambda z, s: of_host.denoise(z, s, None), host_ladder, host)
    light = target.condition(coordinates.host_from_clean(host))
    dust = _descend(dust_key, lambda x, s: of_dust.denoise(x, s, light), dust_ladder, dust)
    return host, dust


def _likelihood_half(keys, state, target, step_size, steps, moves):
    """w and delta given v, F collapsed, then F: State, acceptance, whether it stands."""
    move_key, draw_key, accept_key = keys
    clean = _clean(state.position, target)
    widths = [level.sigma / level.scale for level in _levels(target)]

    def log_density(moving):
        *seen, slope = moving
        host, dust = coordinates.host_from_clean(seen[0]), target.dust_prior.transmission(seen[1])
        tie = sum(
            jnp.sum(jnp.square((w - v) / rho))
            for w, v, rho in zip(seen, clean, widths, strict=True)
        )
        log_prior = target.slope_prior.log_prob(slope)
        return target.explicit(host, dust, slope)[0] + log_prior - 0.5 * tie

    # the mass may know v, which is held, but neither w nor delta, which move
    middle = jnp.full_like(state.position.slope, target.slope_prior.mean)
    held = state.position._replace(slope=middle)
    at_clean = _galaxy(clean, middle, target)
    mass = (
        curvature.host_precision(target, held, at_clean),
        *curvature.dust_precision(target, at_clean, middle),
    )
    inverse_mass = 1.0 / ravel_pytree(mass)[0]

    def move(place, key):
        jitter_key, key = jax.random.split(key)
        step = step_size * hmc.near_one(jitter_key, middle.dtype)
        place, info = _HMC(key, place, log_density, step, inverse_mass, steps)
        return place, info.acceptance_rate

    begin = blackjax.hmc.init((*state.seen, state.position.slope), log_density)
    end, rates = jax.lax.scan(move, begin, jax.random.split(move_key, moves))
    *seen, slope = end.position
    found = _galaxy(seen, slope, target)
    drawn = flux.draw(draw_key, found, target.flux_prior)
    stands = flux.accept(accept_key, drawn, state.flux)
    proposed = State(state.position._replace(slope=slope), tuple(seen), found, drawn)
    state = jax.tree.map(lambda new, old: jnp.where(stands, new, old), proposed, state)
    return state, jnp.mean(rates), stands.astype(slope.dtype)


def _galaxy(clean, slope, target):
    host = coordinates.host_from_clean(clean[0])
    return target.explicit(host, target.dust_prior.transmission(clean[1]), slope)[1]


def _levels(target):
    host = target.host_prior.level(target.sigma_host)
    return host, target.dust_prior.level(target.sigma_dust)


def _clean(position, target):
    host, dust = _levels(target)
    return position.host / host.scale, position.dust / dust.scale


def _latents(clean, slope, target):
    host, dust = _levels(target)
    return Position(host.scale * clean[0], dust.scale * clean[1], slope)


def _ladder(level: Callable[[Array], Level], sigma: Array, levels: int) -> Level:
    return level(edm.ladder(sigma, FLOOR * sigma, levels))


def _descend(key, denoise, ladder, noisy):
    start = ladder.scale[0] * noisy
    keys = jax.random.split(key, ladder.sigma.shape[0] - 1)
    return denoise(ancestral(keys, denoise, ladder, start, wide=1.0), ladder.sigma[-1])
