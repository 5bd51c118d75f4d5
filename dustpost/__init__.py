"""dustpost: posterior samples of a galaxy's dust map from one multi-band cutout.

    import jax, dustpost
    cutout = dustpost.read(["galaxy.fits"])
    tree = dustpost.sample(jax.random.key(0), cutout, dustpost.Settings())

The names below are imported when they are first used, so that `import dustpost` is quick.
"""

from importlib import import_module

_HOMES = {
    "read": "dustpost.io.read",
    "sample": "dustpost.sample",
    "Settings": "dustpost.settings",
    "open_posterior": "dustpost.io.netcdf",
    "check": "dustpost.diagnostics.convergence",
    "DustpostError": "dustpost.errors",
}
__all__ = [*_HOMES]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'dustpost' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
