"""Galaxies by the thousand: hosts and transmissions to train a dust prior on.

One galaxy is Parameters -> Structure -> rays -> (S, D): the dust-free image of
unit sum and D = I/I_0 at 0.4754 micron, both at the sharpness `blur` of an
image that someone has deconvolved. `simulate_cube` looks at the same galaxy in
several bands, `expose` through a telescope.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.simulate import transfer
from dustpost.simulate.planes import Structure, build
from dustpost.simulate.structure import Parameters, draw_parameters


def draw_structure(key: Array) -> Structure:
    """Draw one galaxy: its numbers and its clumps."""
    number_key, clump_key = jax.random.split(key)
    return build(clump_key, draw_parameters(number_key))


def pair(structure: Structure) -> tuple[Array, Array]:
    """Return the host and the transmission of one galaxy.

    Parameters
    ----------
    structure : Structure

    Returns
    -------
    host : Array, (y, x)
        Light without dust, unit sum.
    transmission : Array, (y, x)
        D at 0.4754 micron, in (0, 1].
    """
    light, absorbed, column = transfer.observe(structure, jnp.ones(1))
    blur = structure.parameters.blur
    light = transfer.smooth(light.sum(axis=0), blur)
    absorbed = transfer.smooth(absorbed[0].sum(axis=0), blur)
    column = transfer.smooth(column, blur)
    return light / light.sum(), transfer.transmission(light, absorbed, column)


@partial(jax.jit, static_argnums=1)
def draw_pairs(key: Array, n: int) -> tuple[Array, Array]:
    """Draw n galaxies, one after the other (a core's cache holds one).

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
    return jax.lax.map(lambda k: pair(draw_structure(k)), jax.random.split(key, n))


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
        unit flux in the second band (r).
    host, transmission : Array, (y, x)
        Dust-free r of unit sum; D at 0.4754 micron.
    attenuation : Array, (band, y, x)
        Magnitudes; 0 where there is less than 1e-4 of the peak's light.
    """

    clean: Array
    free: Array
    host: Array
    transmission: Array
    attenuation: Array


@jax.jit
def simulate_cube(structure: Structure, spectra: Array, curve: Array) -> Cube:
    """Look at one galaxy in several bands.

    Components have their own colours and their own geometry, and every ray
    its own mixture of dust and stars, so that neither one host for all bands
    nor one curve for all pixels (the paper's Eqs. 6 and 8) is exactly true.

    Parameters
    ----------
    structure : Structure
    spectra : Array, (band, component)
        Light of each component relative to that at 0.4754 micron.
    curve : Array, (band,)
        Extinction relative to that at 0.4754 micron.

    Returns
    -------
    Cube
    """
    blur = structure.parameters.blur
    with_pivot = jnp.concatenate([jnp.ones(1), curve])
    light, absorbed, column = transfer.observe(structure, with_pivot)
    light, absorbed = transfer.smooth(light, blur), transfer.smooth(absorbed, blur)
    free = jnp.einsum("bc,cyx->byx", spectra, light)
    seen = free - jnp.einsum("bc,bcyx->byx", spectra, absorbed[1:])
    pivot = transfer.transmission(
        light.sum(axis=0), absorbed[0].sum(axis=0), transfer.smooth(column, blur)
    )
    bright = free > 1e-4 * free.max(axis=(1, 2), keepdims=True)
    ratio = jnp.where(bright, seen / jnp.where(bright, free, 1.0), 1.0)
    scale = free[1].sum()
    attenuation = -2.5 * jnp.log10(jnp.clip(ratio, 1e-8, 1.0))
    return Cube(seen / scale, free / scale, free[1] / scale, pivot, attenuation)


def moffat(fwhm: Array, size: int = 43, beta: float = 3.0) -> Array:
    """Return a Moffat PSF (1 + (r/a)^2)^-beta of unit sum.

    Parameters
    ----------
    fwhm : Array
        Full width at half maximum, pixel.
    size : int
        Side of the stamp, odd.
    beta : float
        Slope of the wings.

    Returns
    -------
    Array, (size, size)
    """
    width = fwhm / (2 * jnp.sqrt(2 ** (1 / beta) - 1))
    axis = jnp.arange(size) - size // 2
    star = (1 + (axis[:, None] ** 2 + axis[None, :] ** 2) / width**2) ** -beta
    return star / star.sum()


def expose(key: Array, clean: Array, psf: Array, depth: Array, peak_snr: float) -> tuple:
    """Add what a survey adds: the PSF of each band and white sky noise.

    Parameters
    ----------
    key : Array
        A jax random key.
    clean : Array, (band, y, x)
    psf : Array, (band, py, px)
    depth : Array, (band,)
        Noise of the bands relative to each other.
    peak_snr : float
        Signal to noise of the brightest pixel in the best band.

    Returns
    -------
    data, ivar : Array, (band, y, x)
    """
    size = clean.shape[-1] + psf.shape[-1] - 1
    product = jnp.fft.rfft2(clean, s=(size, size)) * jnp.fft.rfft2(psf, s=(size, size))
    edge = psf.shape[-1] // 2
    seen = jnp.fft.irfft2(product, s=(size, size))[:, edge : -edge or None, edge : -edge or None]
    best = jnp.max(seen.max(axis=(1, 2)) / depth)
    noise = depth * best / peak_snr
    data = seen + noise[:, None, None] * jax.random.normal(key, seen.shape)
    return data, jnp.broadcast_to(1 / noise[:, None, None] ** 2, data.shape)
