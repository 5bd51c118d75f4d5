"""What an energy learns from its own chains: persistent contrastive divergence.

    grad L = (w/n) grad [mean E(z) - mean E(z')],   z = z0 + tau e,   z' of chains on exp(-E),

w/n times the gradient of minus the likelihood of noisy images of n pixels, as far as the chains
have the law of exp(-E). Denoising teaches an energy where noise of data leads. What lies
beyond, such as hosts full of grain, it may leave as probable as galaxies, and with so many
more of them that is where long chains end; and it says little of how much galaxies far from each
other, such as those with and without dust, weigh. Here chains go there first, and their energy is
raised until they stay among galaxies, as many of each kind as there are.

The chains persist (Tieleman 2008, ICML 25): every step moves some by one trajectory of HMC
on the energy as it is then, each at a noise level of its own, and now and then one begins
anew at a noisy image (Du & Mordatch 2019, arXiv:1903.08689). Those of a conditional energy keep
what they are given until then. Data get the noise levels of the chains beside them. From galaxies
to where an energy is wrong it may be hundreds of trajectories, so that chains live long, and some
begin `astray`, at clean images that no data are: an energy that keeps them there is raised.
Leapfrog steps are calls from Python, as XLA's CPU backend runs a convolution's gradient slowly in a
loop (jax#12868).
"""

from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.networks import edm
from dustpost.networks.diffusion import perturb, variance_exploding

MANY, MOVED = 3.0, 0.5  # chains, and how many of them move in a step, to a pair of a batch
STEPS = 16  # leapfrogs of a trajectory ...
SIZES = (0.15, 0.3)  # ... of so many noise levels, drawn for each: fixed ones can be half a period
ANEW = 0.006  # of the moved begin anew ...
ASTRAY = 0.3  # ... and of those so many, as of the first chains, where no data are


class Energy(Protocol):
    """A denoiser whose parameterisation is "energy"; hashable.

    `given` is what a conditional one is given besides, one array an image each.
    """

    clear: float

    def picture(self, params: dict, x: Array, sigma: Array, *given: Array) -> Array:
        """N(x), (n, y, x), that the energy is made of."""

    def parts(self, params: dict, x: Array, sigma: Array, *given: Array) -> edm.Parts:
        """The denoised images as well."""


class Learner(Protocol):
    """What a task that learns from its own chains has beside the loop's own methods."""

    denoiser: Energy
    weight: float

    def clean(self, key: Array, host: Array, transmission: Array) -> tuple[Array, tuple]:
        """Clean images of pairs, and what the energy is given of them, (n, ...) each."""

    def astray(self, key: Array, clean: Array, given: tuple) -> Array:
        """Images, (n, y, x), that no data are, of clean ones, where chains may begin."""

    def levels(self, key: Array, count: int) -> Array:
        """Noise levels of chains, (count,)."""


class Noisy(NamedTuple):
    """Noisy images: of data, or where chains are.

    Attributes
    ----------
    places : Array, (n, y, x)
    level : Array, (n,)
        Noise level tau of each.
    given : tuple of Array, (n, ...)
        Of a conditional energy, what each is given.
    """

    places: Array
    level: Array
    given: tuple[Array, ...] = ()


@jax.jit
def noisy(key: Array, clean: Array, level: Array, given: tuple[Array, ...] = ()) -> Noisy:
    """Add noise of a level each, (n,), to clean images, (n, y, x)."""
    places = perturb(key, clean, variance_exploding(level[:, None, None]))
    return Noisy(places, level, given)


def begin(key: Array, task: Learner, host: Array, transmission: Array, batch: int) -> Noisy:
    """Return chains for batches of a size, at the noisy images of the first pairs, or astray."""
    level, pairs, noise, away = jax.random.split(key, 4)
    many = int(MANY * batch)
    clean, given = task.clean(pairs, host[:many], transmission[:many])
    places = _some_astray(away, task, clean, given)
    return noisy(noise, places, task.levels(level, len(clean)), given)


def learn(
    key: Array, task: Learner, params: dict, chains: Noisy, host: Array, transmission: Array
) -> tuple[Noisy, dict]:
    """Take a `step` with the pairs of a batch."""
    pairs, move, away = jax.random.split(key, 3)
    clean, given = task.clean(pairs, host, transmission)
    start = _some_astray(away, task, clean, given)
    return step(move, task.denoiser, params, chains, clean, task.weight, given, start)


def _some_astray(key, task, clean, given):
    """Clean images, `ASTRAY` of them such as no data are."""
    which, where = jax.random.split(key)
    away = jax.random.uniform(which, (len(clean), 1, 1)) < ASTRAY
    return jnp.where(away, task.astray(where, clean, given), clean)


def step(
    key: Array,
    energy: Energy,
    params: dict,
    chains: Noisy,
    clean: Array,
    weight: float,
    given: tuple[Array, ...] = (),
    start: Array | None = None,
) -> tuple[Noisy, dict]:
    """Move some chains, and contrast them with data.

    Parameters
    ----------
    key : Array
    energy : Energy
    params : dict
    chains : Noisy
    clean : Array, (n, y, x)
        z0 of data; chains move to the first `MOVED` of them.
    weight : float
        w.
    given : tuple of Array, (n, ...)
        What the data are given.
    start : Array, (n, y, x), optional
        Clean images at which chains begin anew; those of the data by default.

    Returns
    -------
    chains : Noisy
    gradient : dict
        Of L by the parameters.
    """
    choice, data, move, accept = jax.random.split(key, 4)
    moved = int(MOVED * len(clean))
    start = clean if start is None else start
    some = clean[:moved], start[:moved], tuple(array[:moved] for array in given)
    chosen, fresh, begun = _choose(choice, data, chains, *some)
    moved = begun._replace(places=_trajectory(move, accept, energy, params, begun))
    gradient = _gradient(energy, params, fresh, moved, jnp.asarray(weight, clean.dtype))
    return jax.tree.map(lambda old, new: old.at[chosen].set(new), chains, moved), gradient


@jax.jit
def _choose(key, data, chains, clean, start, given):
    """Which chains move, data at their noise levels, and from where the chains go on."""
    which, anew, noise = jax.random.split(key, 3)
    chosen = jax.random.permutation(which, len(chains.level))[: len(clean)]
    level = chains.level[chosen]
    fresh, begun = noisy(data, clean, level, given), noisy(noise, start, level, given)
    again = jax.random.uniform(anew, (len(clean),)) < ANEW

    def either(new, old):
        return jnp.where(again.reshape(-1, *[1] * (new.ndim - 1)), new, old[chosen])

    return chosen, fresh, jax.tree.map(either, begun, chains)


def _trajectory(key, accept, energy, params, begun):
    """Places after one proposal of HMC of each, taken or not."""
    start, long = jax.random.split(key)
    momentum = jax.random.normal(start, begun.places.shape, begun.places.dtype)
    size = jax.random.uniform(long, (len(momentum), 1, 1), minval=SIZES[0], maxval=SIZES[1])
    value, force = _force(energy, params, begun)
    now = begun, momentum, value, force
    for _ in range(STEPS):
        now = _leapfrog(energy, params, size, *now)
    end, last, reached, _ = now
    gain = _total(value, momentum) - _total(reached, last)
    taken = jnp.log(jax.random.uniform(accept, gain.shape)) < gain
    return jnp.where(taken[:, None, None], end.places, begun.places)


@partial(jax.jit, static_argnums=0)
def _force(energy, params, at):
    """E, and minus its gradient in units of the noise."""
    parts = energy.parts(params, at.places, at.level, *at.given)
    value = edm.energy(at.places, parts.picture, at.level, energy.clear)
    return value, (parts.denoised - at.places) / at.level[:, None, None]


@partial(jax.jit, static_argnums=0)
def _leapfrog(energy, params, size, at, momentum, value, force):
    momentum = momentum + 0.5 * size * force
    at = at._replace(places=at.places + size * at.level[:, None, None] * momentum)
    value, force = _force(energy, params, at)
    return at, momentum + 0.5 * size * force, value, force


def _total(value, momentum):
    return value + 0.5 * jnp.sum(jnp.square(momentum), axis=(1, 2))


@partial(jax.jit, static_argnums=0)
def _gradient(energy, params, data, chains, weight):
    def mean(params, at):
        picture = energy.picture(params, at.places, at.level, *at.given)
        return jnp.mean(edm.energy(at.places, picture, at.level, energy.clear))

    def contrast(params):
        return weight / data.places[0].size * (mean(params, data) - mean(params, chains))

    return jax.grad(contrast)(params)
