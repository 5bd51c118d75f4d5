"""What jitted code sees of one cutout: arrays, and nothing that astropy knows."""

from typing import NamedTuple

from jax import Array


class Observation(NamedTuple):
    """One galaxy in several bands, ready for the likelihood.

    Attributes
    ----------
    data : Array, (band, y, x)
        Surface brightness in the unit of the input; 0 where masked.
    ivar : Array, (band, y, x)
        Inverse variance of `data`; 0 marks a masked or padded pixel.
    psf : Array, (band, py, px)
        Point spread functions, odd-sized, unit sum, centred on the middle
        pixel; a single 1 where none is known.
    wavelength : Array, (band, node)
        Rest-frame wavelengths in micron at which the attenuation curve is
        averaged over each filter.
    weight : Array, (band, node)
        Weights of that average; each row sums to one.
    colour : Array, (k, band, y, x), or None
        Templates of the host's colour field, see `dustpost.colour`; 0 where masked.
    """

    data: Array
    ivar: Array
    psf: Array
    wavelength: Array
    weight: Array
    colour: Array | None = None
