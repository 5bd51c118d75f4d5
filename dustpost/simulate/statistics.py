"""Numbers that sum up a dusty galaxy, for two-sample tests.

With S the dust-free light of unit sum and A the attenuation at 0.4754 micron,

    mean attenuation     sum S A
    covering fraction    sum S 1[A > 0.05 mag]
    concentration        r(S A) / r(S), r the weighted mean distance from the centre of light
    clumpiness           sqrt(sum S (A - A smoothed by 2 pixels)^2) / mean attenuation
    correlation          of A with ln S where S is above 2 % of its peak
    colour scatter       sqrt(sum S (c - <c>)^2), c = g - i of the dust-free galaxy, mag
"""

import numpy as np
from scipy.ndimage import gaussian_filter

THRESHOLD = 0.05  # mag, above which a pixel counts as covered
BRIGHT = 0.02
SMOOTHING = 2.0  # pixel


def magnitudes(transmission: np.ndarray) -> np.ndarray:
    """Return A = -2.5 log10 D, at most 15 mag."""
    return -2.5 * np.log10(np.clip(transmission, 1e-6, 1.0))


def mean_attenuation(host: np.ndarray, transmission: np.ndarray) -> float:
    """Return the light-weighted mean of A, mag."""
    return float((host * magnitudes(transmission)).sum() / host.sum())


def covering_fraction(
    host: np.ndarray, transmission: np.ndarray, threshold: float = THRESHOLD
) -> float:
    """Return the share of the light behind more than `threshold` mag."""
    return float((host * (magnitudes(transmission) > threshold)).sum() / host.sum())


def dust_statistics(host: np.ndarray, transmission: np.ndarray) -> dict[str, float]:
    """Return what can be told from one host and its transmission map, each (y, x).

    Concentration, clumpiness and correlation are NaN where there is all but no dust
    (mean attenuation below 0.003 mag).
    """
    depth, light = magnitudes(transmission), host / host.sum()
    numbers = {
        "mean_attenuation": mean_attenuation(host, transmission),
        "covering_fraction": covering_fraction(host, transmission),
    }
    names = ("concentration", "clumpiness", "correlation")
    if numbers["mean_attenuation"] < 0.003:
        return numbers | dict.fromkeys(names, float("nan"))
    y, x = np.indices(host.shape)
    radius = np.hypot(y - (light * y).sum(), x - (light * x).sum())
    mean = (light * depth).sum()
    rough = depth - gaussian_filter(depth, SMOOTHING)
    bright = light > BRIGHT * light.max()
    values = (
        (light * depth * radius).sum() / mean / (light * radius).sum(),
        np.sqrt((light * rough**2).sum()) / mean,
        np.corrcoef(depth[bright], np.log(light[bright]))[0, 1],
    )
    return numbers | {name: float(value) for name, value in zip(names, values, strict=True)}


def colour_scatter(blue: np.ndarray, red: np.ndarray) -> float:
    """Return the light-weighted scatter of the colour of two dust-free images, mag."""
    lit = (blue > 1e-4 * blue.max()) & (red > 1e-4 * red.max())
    colour = -2.5 * np.log10(blue[lit] / red[lit])
    weight = red[lit] / red[lit].sum()
    return float(np.sqrt((weight * (colour - (weight * colour).sum()) ** 2).sum()))
