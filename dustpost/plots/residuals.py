"""Data, model and standardised residual, band by band."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy import stats

from dustpost.diagnostics.fit import Fit
from dustpost.io.cutout import Cutout
from dustpost.plots.maps import LIGHT, flux_scale
from dustpost.plots.style import CHAINS, FAINT, INK, image, new_figure, scale_bar, styled

WIDEST = 5.0  # sd shown


@styled
def residual_plot(tree: xr.DataTree, cutout: Cutout, fit: Fit) -> Figure:
    """One row per band: data and model on one scale, (data - model) / sd, its histogram."""
    model = tree["maps"]["model_mean"].values
    bands = len(cutout.bands)
    figure = new_figure(10.6, 2.3 * bands)
    axes = figure.subplots(bands, 4, squeeze=False, width_ratios=(1, 1, 1, 0.95))
    for i, (row, name) in enumerate(zip(axes, cutout.bands, strict=True)):
        seen = cutout.ivar[i] > 0
        norm = flux_scale(cutout.data[i], cutout.ivar[i])
        data = np.where(seen, cutout.data[i], np.nan)
        image(row[0], data, f"{name}: data", LIGHT, norm, cutout.unit)
        image(row[1], model[i], "model, posterior mean", LIGHT, norm, cutout.unit)
        image(row[2], fit.residual[i], "(data - model) / sd", "RdBu_r", (-4.0, 4.0))
        if fit.bright[i].any() and not fit.bright[i].all():
            row[2].contour(fit.bright[i], levels=[0.5], colors=INK, linewidths=0.6)
        _histogram(row[3], fit, i)
    scale_bar(axes[0, 0], cutout)
    figure.supxlabel(
        "The line encloses the bright part (model above 3 sd). White noise and a right model give "
        "the dashed curve.",
        size=8.5,
    )
    return figure


def _histogram(axes, fit: Fit, band: int) -> None:
    values = fit.residual[band][np.isfinite(fit.residual[band])]
    bright = fit.residual[band][fit.bright[band]]
    edges = np.linspace(-WIDEST, WIDEST, 41)
    for part, colour, label in (
        (values, FAINT, f"all: chi2 {fit.band_chi2[band]:.2f}"),
        (bright, CHAINS[0], f"bright: {fit.band_chi2_bright[band]:.2f}"),
    ):
        if part.size:
            clipped = np.clip(part, -WIDEST, WIDEST)
            axes.hist(clipped, edges, density=True, histtype="step", color=colour, label=label)
    grid = np.linspace(-WIDEST, WIDEST, 200)
    axes.plot(grid, stats.norm.pdf(grid), color=INK, ls="--", lw=0.8)
    axes.set_xlim(-WIDEST, WIDEST)
    axes.set_ylim(0, 0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.legend(loc="upper left", handlelength=1.0, borderpad=0.1, labelspacing=0.2)
