"""R-hat and ESS of chains that take turns in shares of the amount of dust.

Shares are to differ (`dustpost.priors.strata`); what chains draw in the same one
(`dustpost.samplers.turns`) must agree. The mean over all of them is a stratified one: how shares
differ adds nothing to its error, what is left within them does.
"""

import numpy as np
import xarray as xr


def share_of(tree: xr.DataTree, at: np.ndarray | slice = slice(None)) -> np.ndarray | None:
    """Number of the share that draws of a posterior are of, (chain, draw); None without shares.

    `at` are the places of the draws in a chain, all of them by default.
    """
    stats = tree["sample_stats"]
    return stats["share"].values[:, at] if "share" in stats else None


def levelled(draws: np.ndarray, share: np.ndarray | None) -> np.ndarray:
    """Draws (chain, draw, ...) of which R-hat and ESS are to be taken.

    In units of the sd of their share from its mean.

    Parameters
    ----------
    draws : ndarray, (chain, draw, ...)
    share : ndarray, (chain, draw), optional
        Number of the share that each draw is of; None: the draws as they are.
    """
    if share is None:
        return draws
    level = np.empty(draws.shape)
    for number in np.unique(share):
        own = draws[share == number]
        sd = own.std(axis=0)
        level[share == number] = (own - own.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
    return level
