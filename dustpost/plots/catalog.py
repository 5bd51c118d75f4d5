"""Pictures of a whole catalogue: a thumbnail a galaxy, and distributions over all."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator

from dustpost.plots.style import CHAINS, FAINT, new_figure, styled

DUST = "magma_r"
ZOOM = 2  # screen pixels of a pixel


def thumbnail(attenuation: np.ndarray, host: np.ndarray, top: float = 1.0) -> bytes:
    """Dust beside host as PNG, two screen pixels a pixel.

    Parameters
    ----------
    attenuation : ndarray, (y, x)
        Mean A in mag, from 0 to `top` from light to dark.
    host : ndarray, (y, x)
        Mean host light; asinh scale to its peak.
    top : float
        Mag.
    """
    dust = colormaps[DUST](np.clip(np.nan_to_num(attenuation) / top, 0, 1))
    peak = float(np.nan_to_num(host).max()) or 1.0
    bright = np.arcsinh(np.clip(np.nan_to_num(host) / peak, 0, 1) / 0.03) / np.arcsinh(1 / 0.03)
    light = colormaps["gray"](bright)
    both = np.concatenate([dust, light], axis=1)[::-1]
    buffer = io.BytesIO()
    imsave(buffer, np.repeat(np.repeat(both, ZOOM, axis=0), ZOOM, axis=1), metadata={})
    return buffer.getvalue()


@styled
def distributions(columns: Mapping[str, tuple[str, np.ndarray]], flagged: Sequence[bool]) -> Figure:
    """Histograms of numbers of all galaxies, the flagged ones apart.

    Parameters
    ----------
    columns : mapping of name to (axis label, values of shape (galaxy,))
        Not finite values are left out.
    flagged : sequence of bool, (galaxy,)
        Galaxies whose numbers should not be used.
    """
    flagged = np.asarray(flagged, bool)
    rows = -(-len(columns) // 3)
    figure = new_figure(10.0, 2.4 * rows)
    panels = figure.subplots(rows, 3, squeeze=False).ravel()
    for panel, (label, values) in zip(panels, columns.values(), strict=False):
        known = np.isfinite(values)
        panel.set_xlabel(label)
        if not known.any():
            panel.text(0.5, 0.5, "no finite value", ha="center", transform=panel.transAxes)
            continue
        low, high = np.quantile(values[known], [0.005, 0.995])
        high = high if high > low else low + 1.0
        edges = np.linspace(low, high, 31)
        parts = [np.clip(values[known & pick], low, high) for pick in (~flagged, flagged)]
        panel.locator_params(axis="x", nbins=5)
        panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.hist(parts, edges, stacked=True, color=[CHAINS[0], FAINT], label=["good", "flagged"])
    panels[0].set_ylabel("galaxies")
    if panels[0].patches:
        panels[0].legend()
    for panel in panels[len(columns) :]:
        panel.set_visible(False)
    return figure
