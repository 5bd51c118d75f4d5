"""What jitted code sees of one cutout: arrays, and nothing that astropy knows."""

from typing import NamedTuple

from jax import Array


class Colour(NamedTuple):
    """Colour field of the host, made by `dustpost.colour_covariance.with_colour`.

    Its templates T_k = R (psi_k - sigma_k) have the diagonal T^T ivar T.

    Attributes
    ----------
    functions : Array, (k, y, x)
        psi.
    mean : Array, (k, band)
        sigma, the mean of psi under R^2 ivar.
    light : Array, (band, y, x)
        R, in the unit of the data; 0 where masked.
    variance : Array, (k,)
        The diagonal of T^T ivar T.
    expected : Array, (k,)
        nu, mean of the templates' amounts, in units of their sd.
    scales : Array, (scale,)
        Factors of T, of which one holds for the galaxy; all are as likely, and their mean
        square is 1.
    follows : Array, (band,), or None
        Share of the model's light in a further template, times the dust's pattern.
    pattern : Array, (y, x), or None
        Of the dust, see `dustpost.colour_of_dust`; without it there is no such template.
    """

    functions: Array
    mean: Array
    light: Array
    variance: Array
    expected: Array
    scales: Array
    follows: Array | None = None
    pattern: Array | None = None


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
    colour : Colour or None
        Of the host's colour field, see `dustpost.colour`.
    """

    data: Array
    ivar: Array
    psf: Array
    wavelength: Array
    weight: Array
    colour: Colour | None = None
