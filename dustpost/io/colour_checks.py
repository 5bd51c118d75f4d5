"""Whether the light's colours can be those of stars: Mahalanobis' distance under the prior of F.

Redder light is dust or a redshift, and a fit that is told the wrong redshift makes dust of it.
"""

import numpy as np
from scipy.stats import chi2

from dustpost.findings import Finding
from dustpost.priors.spectrum import stellar_flux

RARE = 0.01  # share of stellar populations that lie as far off
REDSHIFTS = np.linspace(0.0, 1.0, 41)


def check_colours(flux: np.ndarray, wavelength: np.ndarray, redshift: float) -> list[Finding]:
    """Colours of a galaxy's light against the prior of dust-free ones.

    Parameters
    ----------
    flux : ndarray, (band,)
        Of the galaxy, dust and all.
    wavelength : ndarray, (band,)
        As observed, in micron.
    redshift : float
        0 where it is unknown.
    """
    count = len(flux) - 1
    if count < 1 or not np.all(flux > 0):
        return []
    here = distance(flux, wavelength, redshift)
    if here < chi2.ppf(1 - RARE, count):
        return []
    colours = "one colour" if count == 1 else f"{count} colours"
    text = (
        f"the light has a chi2 of {here:.1f} for {colours} under those of stars without dust at "
        f"redshift {redshift:g}: "
    )
    if redshift:
        return [Finding("info", "colours", text + "dust, or an active nucleus, has to explain it")]
    every = np.array([distance(flux, wavelength, z) for z in REDSHIFTS])
    # the nearest at which the colours are ordinary
    near = int(np.argmax(every < count) if np.any(every < count) else np.argmin(every))
    text += (
        f"at redshift {REDSHIFTS[near]:.2f} it would be {every[near]:.1f}; give --redshift, or the "
        "fit takes for dust what is none"
    )
    return [Finding("warning", "colours", text)]


def distance(flux: np.ndarray, wavelength: np.ndarray, redshift: float) -> float:
    """chi2 of the colours of fluxes (band,) under the prior at a redshift."""
    prior = stellar_flux(wavelength / (1 + redshift), flux)
    off = np.log(flux) - np.asarray(prior.mean, float)
    return float(off @ np.asarray(prior.precision, float) @ off)
