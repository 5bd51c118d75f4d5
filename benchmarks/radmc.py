"""RADMC-3D views as held-out pairs, and the two numbers that sum up a dust map."""

from pathlib import Path

import numpy as np
from astropy.io import fits


def radmc_views(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read hosts and transmissions, (n, y, x), of the RADMC-3D views below a folder."""
    hosts, transmissions = [], []
    for path in sorted((folder / "rt").glob("*.fits")):
        with fits.open(path) as view:
            hosts.append(np.array(view["TRUE_HOST"].data, np.float32))
            transmissions.append(np.array(view["TRUE_TRANS"].data, np.float32))
    return np.array(hosts), np.array(transmissions)


def summaries(host, transmission) -> tuple[np.ndarray, np.ndarray]:
    """Light-weighted mean attenuation (mag) and covering fraction (above 0.05 mag)."""
    depth = -2.5 * np.log10(np.clip(transmission, 1e-6, 1.0))
    weight = host / host.sum(axis=(1, 2), keepdims=True)
    return (weight * depth).sum(axis=(1, 2)), (weight * (depth > 0.05)).sum(axis=(1, 2))
