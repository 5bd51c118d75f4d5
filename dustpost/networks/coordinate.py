"""The coordinate v(D) in which a dust network sees transmission maps.

    transmission      v = D                              1 is clear
    optical_depth     v = u = -ln D                      0 is clear
    log_attenuation   v = ln(1 + A / 0.1 mag)            0 is clear,  A = -2.5 log10 D

D is the transmission at 0.4754 micron and no darker than 7.5 mag. A diffusion of equal
noise in every pixel asks most where dD/dv is largest: `transmission` treats all pixels
alike, `optical_depth` looks closer at dark ones, `log_attenuation` sees thin dust as
well as thick: it is linear in A below 0.1 mag, and logarithmic above.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from dustpost.errors import DustpostError

LOWEST = 1e-3  # the smallest transmission there is, 7.5 mag
MAGNITUDE = 2.5 / math.log(10.0)  # A/u
FAINT = 0.1  # mag, where log_attenuation turns from linear to logarithmic
THICKEST = 7.0  # u, a little beyond -ln(1e-3)
HIGHEST = math.log1p(7.5 / FAINT)  # log_attenuation of the smallest transmission


class Coordinate(NamedTuple):
    """A monotonic function of the transmission, and its inverse.

    Attributes
    ----------
    name : str
    encode : callable
        D -> v; D is clipped to [1e-3, 1] first.
    decode : callable
        v -> D in (0, 1]; v is clipped to its range first, with a slope of 1 on the edges.
    clear, dusty : float
        v of D = 1, and of the darkest D.
    sigma_low : float
        Lowest noise level to train: at most 0.0025 in D, whatever the pixel's.
    """

    name: str
    encode: Callable[[Array], Array]
    decode: Callable[[Array], Array]
    clear: float
    dusty: float
    sigma_low: float

    @property
    def low(self) -> float:
        """Lower end of v."""
        return min(self.clear, self.dusty)

    @property
    def high(self) -> float:
        """Upper end of v."""
        return max(self.clear, self.dusty)


def coordinate(name: str) -> Coordinate:
    """Return the coordinate of that name.

    Raises
    ------
    DustpostError
        If there is none.
    """
    if name not in COORDINATES:
        raise DustpostError(f"coordinate {name}: choose one of {', '.join(COORDINATES)}.")
    return COORDINATES[name]


def _clip(value: Array, low: float, high: float) -> Array:
    # jnp.clip halves the slope on the edge, where clear pixels lie.
    value = jnp.asarray(value)
    value = jnp.where(value < low, jnp.asarray(low, value.dtype), value)
    return jnp.where(value > high, jnp.asarray(high, value.dtype), value)


def _depth(transmission: Array) -> Array:
    # + 0.0 turns the -0 of clear pixels into 0
    return -jnp.log(_clip(transmission, LOWEST, 1.0)) + 0.0


def _faintness(transmission: Array) -> Array:
    return jnp.log1p(_depth(transmission) * (MAGNITUDE / FAINT))


def _of_depth(value: Array) -> Array:
    return jnp.exp(-_clip(value, 0.0, THICKEST))


def _of_faintness(value: Array) -> Array:
    return jnp.exp(-jnp.expm1(_clip(value, 0.0, HIGHEST)) * (FAINT / MAGNITUDE))


COORDINATES = {
    one.name: one
    for one in (
        Coordinate(
            "transmission",
            lambda transmission: _clip(transmission, LOWEST, 1.0),
            lambda value: _clip(value, LOWEST, 1.0),
            clear=1.0,
            dusty=LOWEST,
            sigma_low=0.0025,
        ),
        Coordinate("optical_depth", _depth, _of_depth, 0.0, THICKEST, sigma_low=0.0025),
        Coordinate("log_attenuation", _faintness, _of_faintness, 0.0, HIGHEST, sigma_low=0.005),
    )
}
