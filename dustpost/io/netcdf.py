"""posterior.nc: the DataTree of results.py as netCDF4, for ArviZ 0.23 and 1.x alike."""

import warnings
from pathlib import Path

import xarray as xr

from dustpost.errors import DustpostError
from dustpost.io.folder import atomic_write

ENGINE = "netcdf4"  # h5netcdf reads the same file, but does not always bring h5py
NEEDED = {
    "posterior": ("F", "delta", "mean_attenuation", "covering_fraction", "log_screen"),
    "posterior_maps": ("S", "D"),
    "maps": ("D_mean", "A_mean", "A_sd", "A_rhat", "model_mean"),
    "sample_stats": (),
    "observed_data": ("data", "ivar"),
    "constant_data": ("wavelength",),
}
PACKED = {"zlib": True, "complevel": 4, "shuffle": True}
WORTH_PACKING = 10_000  # numbers in a variable


def write_posterior(path: Path, tree: xr.DataTree) -> None:
    """Write `posterior.nc`; nothing is left under that name if it fails."""
    encoding = {
        node.path: {name: PACKED for name, v in node.data_vars.items() if v.size > WORTH_PACKING}
        for node in tree.subtree
    }
    with atomic_write(Path(path)) as partial:
        tree.to_netcdf(partial, engine=ENGINE, encoding={k: v for k, v in encoding.items() if v})


def open_posterior(path: Path) -> xr.DataTree:
    """Read a `posterior.nc` of this package into memory.

    Raises
    ------
    DustpostError
        Where there is no such file, it is not netCDF4, is cut short, or lacks what
        dustpost writes; the message names what is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise DustpostError(f"{path}: there is no such file.")
    try:
        with xr.open_datatree(path, engine=ENGINE) as opened:
            tree = opened.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DustpostError(
            f"{path}: cannot be read as netCDF4 ({reason}); give a posterior.nc written by "
            "'dustpost sample', and write it anew if it was cut short."
        ) from error
    for group, variables in NEEDED.items():
        if group not in tree.children:
            raise DustpostError(
                f"{path}: has no group '{group}'; give a posterior.nc written by 'dustpost sample'."
            )
        missing = [name for name in variables if name not in tree[group].data_vars]
        if missing:
            raise DustpostError(
                f"{path}: group '{group}' has no variable '{missing[0]}'; give a posterior.nc "
                "written by 'dustpost sample'."
            )
    return tree


def to_arviz(tree: xr.DataTree):
    """Hand the tree to the installed ArviZ: InferenceData for 0.x, the tree itself for 1.x."""
    arviz = import_arviz()
    if int(arviz.__version__.split(".")[0]) >= 1:
        return tree
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "maps group is not in the scheme"
        return arviz.InferenceData(
            attrs=dict(tree.attrs), **{name: node.to_dataset() for name, node in tree.items()}
        )


def import_arviz():
    """Import ArviZ when it is asked for: it takes a second and loads matplotlib."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 0.23 announces 1.0 at every import
        import arviz
    return arviz
