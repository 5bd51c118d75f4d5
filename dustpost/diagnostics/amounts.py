"""Findings on how much dust there is: by the posterior, by what the image alone tells.

Of a posterior whose amount is the model's, half of the draws outside of what the image alone tells
(90 %, `dustpost.amount`) is a warning. Where chains share that out (`dustpost.priors.strata`) it is
one if a chain's mean of g is off its goal by more than the sd of its share.
"""

from collections.abc import Iterable

import numpy as np
import xarray as xr

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
    """What chains that share out the amount are, and those that are not at their shares."""
    if settings_of(tree).get("amount") != "image":
        return
    yield Finding(
        "info",
        "amount-image",
        "Chains share out the amount of dust that the image alone tells and differ by design: "
        "R-hat and ESS are those within chains, and no chain alone is the posterior.",
    )
    goal, precision = (
        tree["sample_stats"][f"aim_{name}"].values[:, 0] for name in ("goal", "precision")
    )
    depth = tree["posterior"]["mean_attenuation"].values
    off = np.abs(np.asarray(coordinate(depth)).mean(axis=1) - goal) * np.sqrt(precision)
    astray = np.flatnonzero(~(off <= OFF))
    if astray.size:
        which = ", ".join(
            f"{chain} ({np.median(depth[chain]):.3f} mag for {amount_at(goal[chain]):.3f})"
            for chain in astray
        )
        yield Finding(
            "warning",
            "amount-share",
            f"The model pulls chain {which} off its share of the amount of dust: warm up longer "
            "(--warmup); if that does not help, the image tells of an amount that the model "
            "cannot have.",
        )
