"""Colours of the stars and of the dust: light per component and band, k(lambda).

Each component has one colour. The AB colours are rough: close to the mean
colours of nearby E, Sbc and Im galaxies (Fukugita, Shimasaku & Ichikawa 1995,
PASP 107, 945), with the young one taken bluer because it is dust-free:

                 g-r    r-i    i-z    z-y
    spheroid     0.75   0.38   0.28   0.15     old, metal-rich
    old disc     0.58   0.30   0.20   0.10     several Gyr
    young disc   0.15   0.05   0.00   0.00     forming stars now

Extinction is the Milky Way's, A(lambda)/A(V) = a(x) + b(x)/R_V with x in
inverse micron (Cardelli, Clayton & Mathis 1989, ApJ 345, 245, Eqs. 2 and 3).
"""

import jax.numpy as jnp
from jax import Array

BANDS = ("hsc2017-g", "hsc2017-r", "hsc2017-i", "hsc2017-z", "hsc2017-y")
WAVELENGTHS = (0.4754, 0.6175, 0.7711, 0.8898, 0.9762)  # micron
PIVOT = 0.4754
# g-r, r-i, i-z, z-y of the spheroid, the old and the young disc.
COLOURS = ((0.75, 0.38, 0.28, 0.15), (0.58, 0.30, 0.20, 0.10), (0.15, 0.05, 0.00, 0.00))
_A = (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
_B = (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)


def spectra() -> Array:
    """Return f_nu of each component in g r i z y, relative to g.

    Returns
    -------
    Array, (band, component)
    """
    steps = jnp.asarray(COLOURS).T
    magnitudes = -jnp.concatenate([jnp.zeros((1, 3)), jnp.cumsum(steps, axis=0)])
    return 10 ** (-0.4 * magnitudes)


def milky_way(wavelength: Array, r_v: float = 3.1) -> Array:
    """Return the extinction of Milky Way dust over that at 0.4754 micron.

    Parameters
    ----------
    wavelength : Array
        Micron, 0.303 to 3.3.
    r_v : float
        A(V)/E(B-V).

    Returns
    -------
    Array, of the same shape
    """
    return _over_visual(jnp.asarray(wavelength), r_v) / _over_visual(jnp.asarray(PIVOT), r_v)


def _over_visual(wavelength, r_v):
    x = 1 / wavelength
    y = x - 1.82
    optical = jnp.polyval(jnp.asarray(_A[::-1]), y) + jnp.polyval(jnp.asarray(_B[::-1]), y) / r_v
    return jnp.where(x < 1.1, (0.574 - 0.527 / r_v) * x**1.61, optical)
