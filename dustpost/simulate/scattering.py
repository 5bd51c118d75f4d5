"""Light scattered by dust: discrete ordinates on a coarse box of layers.

The transfer equation along direction n, with extinction kappa and albedo w,

    dI(n)/ds = -kappa I(n) + j + w kappa sum_m weight_m p(n, m) I(m),

is solved order by order of scattering (Lambda iteration). p is the phase
function of Henyey & Greenstein (1941),

    p = (1 - g^2) / (1 + g^2 - 2 g cos)^(3/2),

its rows normalised on the ordinates so that energy is kept. Directions are
Gauss-Legendre in the cosine to the box's axis, even in azimuth. Rays pass from
layer to layer by bilinear interpolation (short characteristics, Kunasz & Auer
1988), which blurs along shallow rays. Orders beyond the last computed are
taken as a geometric series, as in Kylafis & Bahcall (1987, ApJ 317, 637).

What comes out is J(x) = sum_m weight_m p(observer, m) I(x, m): a cell sends
w kappa J per length towards the observer, in the units of j.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

RINGS, AZIMUTHS, ORDERS = 2, 6, 3  # for simulated galaxies; validated against RADMC-3D
LARGEST_RATIO = 0.9  # of successive orders, when the series is summed


class Box(NamedTuple):
    """Emission and extinction on a regular grid, layers from bottom to top.

    Attributes
    ----------
    emission : Array, (layer, y, x)
        j, light per unit volume; isotropic.
    extinction : Array, (layer, y, x)
        kappa, per unit length.
    cell, thickness : Array
        Horizontal side of a cell and height of a layer, in the unit of length.
    """

    emission: Array
    extinction: Array
    cell: Array
    thickness: Array


def ordinates(rings: int, azimuths: int) -> tuple[np.ndarray, np.ndarray]:
    """Return directions (2 rings azimuths, xyz) and weights of unit sum.

    The first half points up; the second half are its mirror images in z.
    """
    node, weight = np.polynomial.legendre.leggauss(rings)
    cosine, weight = 0.5 * (node + 1), 0.5 * weight
    # Rings are staggered, and turned off the axes of the grid.
    turn = (np.arange(azimuths)[None] + 0.25 + 0.5 * (np.arange(rings)[:, None] % 2)) / azimuths
    angle = 2 * np.pi * turn
    sine = np.sqrt(1 - cosine**2)[:, None]
    upper = np.stack(
        [sine * np.cos(angle), sine * np.sin(angle), np.broadcast_to(cosine[:, None], angle.shape)],
        axis=-1,
    ).reshape(-1, 3)
    share = np.repeat(weight / (2 * azimuths), azimuths)
    return np.concatenate([upper, upper * [1, 1, -1]]), np.concatenate([share, share])


def henyey_greenstein(cosine: Array, asymmetry: Array) -> Array:
    """Return the phase function, of mean 1 over the sphere.

    Parameters
    ----------
    cosine : Array
        Of the angle by which light is turned.
    asymmetry : Array
        g = <cos>, in (-1, 1).
    """
    return (1 - asymmetry**2) / (1 + asymmetry**2 - 2 * asymmetry * cosine) ** 1.5


def mean_intensity(
    box: Box,
    albedo: Array,
    asymmetry: Array,
    observer: Array,
    rings: int = RINGS,
    azimuths: int = AZIMUTHS,
    orders: int = ORDERS,
    substeps: tuple[int, ...] = (2, 1),
) -> Array:
    """Return J, weighted by the phase function towards the observer.

    Parameters
    ----------
    box : Box
    albedo, asymmetry : Array
        Of the dust in this band.
    observer : Array, (3,)
        Unit vector (x, y, z) from the galaxy to the observer.
    rings, azimuths : int
        Ordinates: polar angles on a hemisphere, azimuths on each.
    orders : int
        Orders of scattering computed, at least 2; the rest is extrapolated.
    substeps : tuple of int
        For each ring, steps in which a ray crosses a layer (shallow rings first).

    Returns
    -------
    Array, (layer, y, x)
        In units of emission times length.
    """
    direction, weight = (jnp.asarray(a, jnp.float32) for a in ordinates(rings, azimuths))
    phase = henyey_greenstein(direction @ direction.T, asymmetry) * weight[None]
    phase = phase / phase.sum(axis=1, keepdims=True)
    toward = henyey_greenstein(direction @ observer, asymmetry) * weight
    toward = toward / toward.sum()
    count = direction.shape[0]

    source = jnp.broadcast_to(box.emission, (count, *box.emission.shape))
    intensity = _transport(source, box, rings, substeps)
    terms = [jnp.einsum("d,dzyx->zyx", toward, intensity)]
    for _ in range(orders - 1):
        scattered = albedo * box.extinction[None] * jnp.einsum("de,ezyx->dzyx", phase, intensity)
        intensity = _transport(scattered, box, rings, substeps)
        terms.append(jnp.einsum("d,dzyx->zyx", toward, intensity))
    ratio = terms[-1] / jnp.maximum(terms[-2], 1e-30)
    ratio = jnp.clip(ratio, 0.0, LARGEST_RATIO)
    return sum(terms[:-1]) + terms[-1] / (1 - ratio)


def _transport(source: Array, box: Box, rings: int, substeps: tuple[int, ...]) -> Array:
    """Carry light along every ordinate; return I at the middle of the layers."""
    count = source.shape[0]
    direction = ordinates(rings, count // (2 * rings))[0]
    groups = np.arange(count // 2).reshape(rings, -1)
    upward, downward = [], []
    for group, steps in zip(groups, substeps, strict=True):
        cosine = float(direction[group[0], 2])
        path = box.thickness / (cosine * steps)
        moves = [
            jax.vmap(partial(_shift, box.emission.shape[1 + axis]))(
                path * direction[group, 1 - axis] / box.cell
            )
            for axis in (0, 1)
        ]
        rows, columns = moves
        run = partial(_sweep, rows=rows, columns=columns, path=path, steps=steps)
        upward.append(run(source[group], box.extinction))
        mirrored = run(source[group + count // 2][:, ::-1], box.extinction[::-1])
        downward.append(mirrored[:, ::-1])
    return jnp.concatenate(upward + downward)


def _shift(size: int, cells: Array) -> Array:
    """Return the (size, size) matrix of linear interpolation at i - cells; dark outside."""
    place = jnp.arange(size)
    return jnp.maximum(0.0, 1 - jnp.abs(place[:, None] - place[None, :] - cells))


def _sweep(source, extinction, rows, columns, path, steps):
    """Run one ring from the first layer to the last; source is (direction, layer, y, x)."""

    def layer(intensity, inputs):
        emitted, opacity = inputs
        depth = opacity * path
        passed = jnp.exp(-depth)
        # (1 - e^-tau)/tau, by its series where that cancels
        share = jnp.where(depth > 1e-3, (1 - passed) / jnp.maximum(depth, 1e-3), 1 - depth / 2)
        gained = (share * path)[None] * emitted
        middle = jnp.zeros_like(intensity)
        for _ in range(steps):
            moved = jnp.einsum("dij,djk,dlk->dil", rows, intensity, columns)
            intensity = moved * passed[None] + gained
            middle = middle + 0.5 * (moved + intensity) / steps
        return intensity, middle

    start = jnp.zeros(source.shape[:1] + source.shape[2:], source.dtype)
    inputs = (jnp.moveaxis(source, 1, 0), extinction)
    return jnp.moveaxis(jax.lax.scan(layer, start, inputs)[1], 0, 1)
