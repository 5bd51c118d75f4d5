"""What an energy learns from its own chains: persistent contrastive divergence.

    grad L = (w/n) grad [mean E(z) - mean E(z')],   z = z0 + tau e,   z' of chains on exp(-E),

w/n times the gradient of minus the likelihood of noisy hosts of n pixels, as far as the chains
have the law of exp(-E). Denoising teaches an energy where noise of data leads. What lies
beyond, such as hosts full of grain, it may leave as probable as galaxies, and with so many
more of them that is where long chains end. Here chains go there first, and their energy is
raised until they stay among galaxies.

The chains persist (Tieleman 2008, ICML 25): every step moves some by one trajectory of HMC
on the energy as it is then, at the noise level of the samplers, and now and then one begins
anew at a noisy host (Du & Mordatch 2019, arXiv:1903.08689). Leapfrog steps are calls from Python,
as XLA's CPU backend runs a convolution's gradient slowly in a loop (jax#12868).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.networks import edm
from dustpost.networks.diffusion import (
    perturb,
    sigma_of,
    variance_exploding,
    variance_preserving,
)
from dustpost.networks.joint import HOST_ENDS, JointDenoiser

MANY, MOVED = 48, 12  # chains, and how many of them move in a step
STEPS, SIZE = 8, 0.3  # leapfrog steps of a trajectory, in noise levels
ANEW = 0.02  # of the moved begin anew
TIME = 0.02  # t of the samplers' hosts


def noise() -> Array:
    """tau of the samplers' hosts, ()."""
    scale, sigma = variance_preserving(sigma_of(jnp.asarray(TIME)))
    return sigma / scale


@jax.jit
def begin(key: Array, clean: Array) -> Array:
    """Noisy hosts, (n, y, x), of clean z0."""
    return perturb(key, clean, variance_exploding(noise()))


def step(
    key: Array, denoiser: JointDenoiser, params: dict, chains: Array, clean: Array, weight: float
) -> tuple[Array, dict]:
    """Move some chains, and contrast them with data.

    Parameters
    ----------
    key : Array
    denoiser : JointDenoiser
        An energy.
    params : dict
    chains : Array, (chain, y, x)
    clean : Array, (n, y, x)
        z0 of hosts, of which the first `MOVED` are taken.
    weight : float
        w.

    Returns
    -------
    chains : Array
    gradient : dict
        Of L by the parameters.
    """
    choice, data, move, accept = jax.random.split(key, 4)
    fresh = begin(data, clean[:MOVED])
    chosen, places = _choose(choice, chains, fresh)
    moved = _trajectory(move, accept, denoiser, params, places)
    gradient = _gradient(denoiser, params, fresh, moved, jnp.asarray(weight, fresh.dtype))
    return chains.at[chosen].set(moved), gradient


@jax.jit
def _choose(key, chains, fresh):
    which, anew = jax.random.split(key)
    chosen = jax.random.permutation(which, len(chains))[: len(fresh)]
    again = jax.random.uniform(anew, (len(fresh), 1, 1)) < ANEW
    return chosen, jnp.where(again, fresh, chains[chosen])


def _trajectory(key, accept, denoiser, params, places):
    """One proposal of HMC of each, taken or not."""
    momentum = jax.random.normal(key, places.shape, places.dtype)
    energy, force = _force(denoiser, params, places)
    first, now = _total(energy, momentum), (places, momentum, energy, force)
    for _ in range(STEPS):
        now = _leapfrog(denoiser, params, *now)
    taken = jnp.log(jax.random.uniform(accept, first.shape)) < first - _total(now[2], now[1])
    return jnp.where(taken[:, None, None], now[0], places)


@partial(jax.jit, static_argnums=0)
def _force(denoiser, params, places):
    """E, and minus its gradient in units of the noise."""
    level = jnp.full(len(places), noise(), places.dtype)
    parts = denoiser.parts(params, places, level)
    energy = edm.energy(places, parts.picture, level, HOST_ENDS[0])
    return energy, (parts.denoised - places) / noise()


@partial(jax.jit, static_argnums=0)
def _leapfrog(denoiser, params, places, momentum, energy, force):
    momentum = momentum + 0.5 * SIZE * force
    places = places + SIZE * noise() * momentum
    energy, force = _force(denoiser, params, places)
    return places, momentum + 0.5 * SIZE * force, energy, force


def _total(energy, momentum):
    return energy + 0.5 * jnp.sum(jnp.square(momentum), axis=(1, 2))


@partial(jax.jit, static_argnums=0)
def _gradient(denoiser, params, data, chains, weight):
    level = jnp.full(len(data), noise(), data.dtype)

    def mean(params, places):
        picture = denoiser.picture(params, places, level)
        return jnp.mean(edm.energy(places, picture, level, HOST_ENDS[0]))

    def contrast(params):
        return weight / data[0].size * (mean(params, data) - mean(params, chains))

    return jax.grad(contrast)(params)
