"""Galaxies by the thousand: hosts and transmissions to train a dust prior on.

One galaxy is Parameters -> Structure -> rays -> (S, D): the dust-free r image of
unit sum and D = I/I_0 at 0.4754 micron, both at the sharpness `blur` of an
image that someone has deconvolved. `simulate_cube` looks at the same galaxy in
several bands; telescope.py through a telescope.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.simulate import grains, populations, transfer
from dustpost.simulate.matter import scattering_box
from dustpost.simulate.planes import Structure, build
from dustpost.simulate.rays import along_rays, cast, observer
from dustpost.simulate.scattering import mean_intensity
from dustpost.simulate.structure import Parameters, draw_parameters

PIVOT = 0.4754
HOST_BAND = 1  # r, in which S is the dust-free image
AT_ONCE = 64  # pairs on an accelerator


class Dust(NamedTuple):
    """Optical properties of the dust in the observed bands, (band,) each.

    Attributes
    ----------
    k, albedo, asymmetry : Array
        See `dustpost.simulate.grains`.
    """

    k: Array
    albedo: Array
    asymmetry: Array


def dust_of(kind: Array, wavelengths: tuple[float, ...]) -> Dust:
    """Return the optical properties of a kind of grains, given by its number."""
    tables = [grains.grains(name, wavelengths) for name in grains.KINDS]
    return Dust(*(jnp.asarray(table, jnp.float32)[kind] for table in zip(*tables, strict=True)))


def draw_structure(key: Array) -> Structure:
    """Draw one galaxy: its numbers and its clumps."""
    number_key, clump_key = jax.random.split(key)
    return build(clump_key, draw_parameters(number_key))


def observe(structure: Structure, spectra: Array, dust: Dust) -> transfer.Sight:
    """Cast rays through a galaxy, scatter its light, and integrate.

    Parameters
    ----------
    structure : Structure
    spectra : Array, (band, component)
        Light of each component relative to that at 0.4754 micron.
    dust : Dust

    Returns
    -------
    transfer.Sight
    """
    rays = cast(structure)
    box, size = scattering_box(structure)
    toward = observer(structure.parameters)

    def scattered(inputs):
        spectrum, k, albedo, asymmetry = inputs
        emission = jnp.einsum("c,czyx->zyx", spectrum, box.emission)
        here = box._replace(emission=emission, extinction=k * box.extinction)
        intensity = mean_intensity(here, albedo, asymmetry, toward)
        return albedo * along_rays(intensity, rays, size)

    return transfer.integrate(rays, spectra, dust.k, jax.lax.map(scattered, (spectra, *dust)))


def pair(structure: Structure, colours: Array, dust: Dust) -> tuple[Array, Array]:
    """Return the host and the transmission of one galaxy.

    Parameters
    ----------
    structure : Structure
    colours : Array, (component,)
        Light of each component in r relative to that at 0.4754 micron.
    dust : Dust
        In one band, 0.4754 micron.

    Returns
    -------
    host : Array, (y, x)
        Light in r without dust, unit sum.
    transmission : Array, (y, x)
        D at 0.4754 micron, in (0, 1].
    """
    sight = observe(structure, jnp.ones((1, colours.shape[0])), dust)
    host = transfer.smooth(jnp.einsum("c,cyx->yx", colours, sight.light), structure.parameters.blur)
    return host / host.sum(), _pivot(structure, sight, dust)


def _pivot(structure, sight, dust):
    """D at 0.4754 micron, the first band of a sight."""
    blur = structure.parameters.blur
    light = transfer.smooth(sight.light.sum(axis=0), blur)
    absorbed = transfer.smooth(sight.absorbed[0], blur)
    column = (1 - dust.albedo[0]) * transfer.smooth(sight.column, blur)
    return transfer.transmission(light, absorbed, column)


@partial(jax.jit, static_argnums=1)
def draw_pairs(key: Array, n: int) -> tuple[Array, Array]:
    """Draw n galaxies, on a CPU one after the other (a core's cache holds one).

    Parameters
    ----------
    key : Array
        A jax random key.
    n : int
        How many.

    Returns
    -------
    host, transmission : Array, (n, 64, 64)
        See `pair`.
    """

    def one(galaxy_key):
        structure = draw_structure(galaxy_key)
        p = structure.parameters
        colours = draw_spectra(galaxy_key, p, populations.BANDS[: HOST_BAND + 1])
        return pair(structure, colours[HOST_BAND], dust_of(p.grains, (PIVOT,)))

    together = None if jax.default_backend() == "cpu" else AT_ONCE
    return jax.lax.map(one, jax.random.split(key, n), batch_size=together)


def draw_spectra(key: Array, p: Parameters, bands: tuple[str, ...]) -> Array:
    """Draw the spectra of a galaxy's components, (band, component)."""
    return populations.draw_colours(jax.random.fold_in(key, 1), p.galaxy, bands)


@partial(jax.jit, static_argnums=1)
def draw_population(key: Array, n: int) -> Parameters:
    """Return the numbers of the same n galaxies as `draw_pairs(key, n)`."""
    return jax.vmap(lambda k: draw_parameters(jax.random.split(k)[0]))(jax.random.split(key, n))


class Cube(NamedTuple):
    """A galaxy in several bands, with its truth.

    Attributes
    ----------
    clean, free : Array, (band, y, x)
        With and without dust, before PSF and noise; the dust-free galaxy has
        unit flux in r.
    host, transmission : Array, (y, x)
        Dust-free r of unit sum; D at 0.4754 micron.
    attenuation : Array, (band, y, x)
        Magnitudes; 0 where there is less than 1e-4 of the peak's light; below 0
        where dust scatters more light towards us than it takes.
    """

    clean: Array
    free: Array
    host: Array
    transmission: Array
    attenuation: Array


@jax.jit
def simulate_cube(structure: Structure, spectra: Array, dust: Dust) -> Cube:
    """Look at one galaxy in several bands.

    Components have their own colours and their own geometry, and every ray
    its own mixture of dust and stars, so that neither one host for all bands
    nor one curve for all pixels (the paper's Eqs. 6 and 8) is exactly true.

    Parameters
    ----------
    structure : Structure
    spectra : Array, (band, component)
        Light of each component relative to that at 0.4754 micron; r is the second band.
    dust : Dust
        Of (1 + band,): at 0.4754 micron first.

    Returns
    -------
    Cube
    """
    blur = structure.parameters.blur
    with_pivot = jnp.concatenate([jnp.ones((1, spectra.shape[1])), spectra])
    sight = observe(structure, with_pivot, dust)
    free = jnp.einsum("bc,cyx->byx", spectra, transfer.smooth(sight.light, blur))
    seen = free - transfer.smooth(sight.absorbed[1:], blur)
    bright = free > 1e-4 * free.max(axis=(1, 2), keepdims=True)
    ratio = jnp.where(bright, seen / jnp.where(bright, free, 1.0), 1.0)
    total = free[HOST_BAND].sum()
    attenuation = -2.5 * jnp.log10(jnp.maximum(ratio, 1e-8))
    host = free[HOST_BAND] / total
    return Cube(seen / total, free / total, host, _pivot(structure, sight, dust), attenuation)


def monochromatic(cube: Cube) -> Cube:
    """Return the same galaxy with a host of one colour: F_i S, attenuated as before."""
    free = cube.free.sum(axis=(1, 2))[:, None, None] * cube.host[None]
    return cube._replace(clean=free * 10 ** (-0.4 * cube.attenuation), free=free)
