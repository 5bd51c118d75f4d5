"""A posterior drawn anew under priors of F and delta other than the settings'."""

import xarray as xr
from jax import Array

from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.posterior import Target
from dustpost.progress import Stage, quiet
from dustpost.sample import sample_many
from dustpost.settings import Settings


def draw(
    key: Array,
    cutout: Cutout,
    target: Target,
    settings: Settings,
    flux_prior: str,
    progress: Stage = quiet,
) -> xr.DataTree:
    """Draw one galaxy's posterior as `dustpost.sample.sample` does, of a target that is given.

    Parameters
    ----------
    key : Array
        Random key.
    cutout : Cutout
    target : Target
        Of that cutout.
    settings : Settings
        Of the run; their prior of F is not used.
    flux_prior : str
        Words for the prior of F, kept in the tree.
    progress : callable

    Raises
    ------
    DustpostError
        If the chains meet a value that is not finite.
    """
    (found,) = sample_many(key[None], [cutout], settings, progress, [target])
    if isinstance(found, DustpostError):
        raise found
    found["constant_data"].attrs["flux_prior"] = flux_prior
    return found
