"""The priors of F and delta that are tried in turn, all else the same.

fitted          those of the fit
flux_flat       p(F) = 1 for F > 0
flux_colours    ln F ~ N(m, C), stellar colours and a free level
flux_tight      ln F ~ N(m, C / 4): colours and level twice as tight
slope_tight     delta's normal twice as tight, N(0.1, (0.35 / 2)^2), its wall as it is
slope_wide      delta's normal twice as wide, N(0.1, (0.35 x 2)^2), its wall as it is
"""

from typing import NamedTuple

from dustpost.posterior import Target
from dustpost.priors.spectrum import FlatFlux, StellarFlux


class Choice(NamedTuple):
    """A prior of F, and a factor on the sd of delta's normal.

    Attributes
    ----------
    name : str
    flux : {"colours", "flat", "tight"}
    slope : float
    """

    name: str
    flux: str
    slope: float = 1.0


def choices(fitted: str) -> list[Choice]:
    """Those that are tried on a fit whose prior of F is "colours" or "flat"; its own first."""
    of_flux = [
        Choice(f"flux_{flux}", flux) for flux in ("flat", "colours", "tight") if flux != fitted
    ]
    of_slope = [Choice("slope_tight", fitted, 0.5), Choice("slope_wide", fitted, 2.0)]
    return [Choice("fitted", fitted), *of_flux, *of_slope]


def under(choice: Choice, target: Target, colours: StellarFlux) -> Target:
    """The target with the priors of a choice.

    Parameters
    ----------
    choice : Choice
    target : Target
        Of the fit.
    colours : StellarFlux
        The prior of F called "colours" for this galaxy.
    """
    slope = target.slope_prior
    tight = StellarFlux(colours.mean, 0.5 * colours.scale_tril, 4.0 * colours.precision)
    flux = {"colours": colours, "flat": FlatFlux(), "tight": tight}[choice.flux]
    return target.replace(
        flux_prior=flux,
        slope_prior=type(slope)(slope.loc, choice.slope * slope.scale),
    )
