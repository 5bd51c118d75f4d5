"""RADMC-3D views as held-out pairs, and the two numbers that sum up a dust map."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from dustpost.simulate.statistics import covering_fraction, mean_attenuation

NUMBERS = (mean_attenuation, covering_fraction)


def radmc_views(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read hosts and transmissions, (n, y, x), of the RADMC-3D views below a folder."""
    hosts, transmissions = [], []
    for path in sorted((folder / "rt").glob("*.fits")):
        with fits.open(path) as view:
            hosts.append(np.array(view["TRUE_HOST"].data, np.float32))
            transmissions.append(np.array(view["TRUE_TRANS"].data, np.float32))
    return np.array(hosts), np.array(transmissions)


def summaries(host, transmission) -> tuple[np.ndarray, np.ndarray]:
    """Light-weighted mean attenuation (mag) and covering fraction (above 0.05 mag), (n,) each."""
    pairs = list(zip(host, transmission, strict=True))
    return tuple(np.array([number(*pair) for pair in pairs]) for number in NUMBERS)
