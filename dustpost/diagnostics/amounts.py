"""Findings on how much dust there is: by the posterior, by what the image alone tells.

Of a posterior whose amount is the model's, half of the draws outside of what the image alone tells
(90 %, `dustpost.amount`) is a warning. Where chains share that out (`dustpost.priors.strata`) it is
one if the mean of g in a share is off its goal by more than the sd of the share.
"""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from dustpost.diagnostics.shares import share_of
from dustpost.findings import Finding
from dustpost.networks.amount import amount_at, coordinate
from dustpost.results import settings_of

OUTSIDE = 0.5  # of the draws
OFF = 1.0  # sd of a share


def elsewhere(tree: xr.DataTree) -> Iterable[Finding]:
    """A posterior elsewhere than where a network that knows no model puts the amount."""
    settings = settings_of(tree)
    low, high = (settings.get(f"image_alone_{name}") for name in ("q05", "q95"))
    if low is None or high is None or settings.get("amount") == "image":
        return
    depth = tree["posterior"]["mean_attenuation"].values
    share = float(((depth < low) | (depth > high)).mean())
    if share > OUTSIDE:
        yield Finding(
            "warning",
            "image-alone",
            f"Mean A is {np.mean(depth):.2f} mag, while the image alone tells of {low:.3f} to "
            f"{high:.2f} mag (90 %, a network taught with simulated galaxies): believe neither "
            "before you have looked at the maps and the residuals.",
        )


def shared_out(tree: xr.DataTree) -> Iterable[Finding]:
    """That chains take turns in shares of the amount, and the shares where they are not."""
    share = share_of(tree)
    if share is None:
        return
    yield Finding(
        "info",
        "amount-image",
        "How much dust there is is what the image alone tells: chains take turns in its shares, "
        "and R-hat and ESS are those within shares.",
    )
    stats, depth = tree["sample_stats"], tree["posterior"]["mean_attenuation"].values
    astray = []
    for number in np.unique(share):
        own = share == number
        goal, precision = (stats[f"aim_{name}"].values[own][0] for name in ("goal", "precision"))
        off = abs(float(np.mean(coordinate(depth[own]))) - goal) * np.sqrt(precision)
        if not off <= OFF:
            astray.append(f"{np.median(depth[own]):.3f} mag for {amount_at(goal):.3f}")
    if astray:
        yield Finding(
            "warning",
            "amount-share",
            f"The model pulls chains off shares of the amount of dust ({', '.join(astray)}): warm "
            "up longer (--warmup); if that does not help, the image tells of an amount that the "
            "model cannot have.",
        )
