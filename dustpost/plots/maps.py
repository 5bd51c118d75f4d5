"""The cutout in colour, and the maps of dust and host with their errors."""

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from scipy import ndimage

from dustpost.io.cutout import Cutout
from dustpost.plots.style import (
    INK,
    TRUTH,
    bare,
    image,
    light_contours,
    new_figure,
    scale_bar,
    styled,
)

PRIOR_RULES = 0.8  # posterior over prior sd above which a pixel is hatched
DUST, SPREAD, PASSES, LIGHT = "magma_r", "viridis", "cividis", "gray"


def colour_composite(cutout: Cutout) -> np.ndarray:
    """Red, green and blue from the reddest, middle and bluest band, (y, x, 3) in [0, 1].

    Each band is scaled to the same total light, so that colour shows differences within
    the galaxy; brightness is asinh (Lupton et al. 2004, PASP 116, 133).
    """
    order = np.argsort(cutout.wavelength)
    chosen = (order[-1], order[len(order) // 2], order[0])
    planes, noise = [], []
    for band in chosen:
        seen = cutout.ivar[band] > 0
        total = cutout.data[band][seen].sum()
        sd = np.median(cutout.ivar[band][seen] ** -0.5) if seen.any() else 1.0
        # a band without light would be blown up to pure noise
        gain = 1 / total if total > 3 * sd * np.sqrt(seen.sum()) else 0.0
        planes.append(cutout.data[band] * gain)
        noise.append(sd * gain)
    rgb = np.stack(planes, axis=-1)
    intensity = np.clip(rgb.mean(axis=-1), 1e-12, None)
    soft = max(4 * max(noise), 0.003 * intensity.max())
    bright = np.arcsinh(intensity / soft) / np.arcsinh(intensity.max() / soft)
    rgb = np.clip(rgb / intensity[..., None] * bright[..., None], 0, None)
    return rgb / np.maximum(rgb.max(axis=-1, keepdims=True), 1.0)


@styled
def cutout_plot(cutout: Cutout) -> Figure:
    """Colour composite beside every band, in the unit of the cutout."""
    bands = len(cutout.bands)
    columns = min(bands, 3)
    rows = -(-bands // columns)
    figure = new_figure(3.2 + 2.3 * columns, max(3.2, 2.15 * rows))
    left, right = figure.subfigures(1, 2, width_ratios=(3.2, 2.3 * columns))
    axes = left.subplots()
    axes.imshow(colour_composite(cutout))
    order = np.argsort(cutout.wavelength)
    chosen = [short(cutout.bands[i]) for i in (order[-1], order[bands // 2], order[0])]
    bare(axes, f"Colour: {chosen[0]}, {chosen[1]}, {chosen[2]} as red, green, blue")
    scale_bar(axes, cutout)
    _compass(axes, cutout)
    panels = right.subplots(rows, columns, squeeze=False).ravel()
    for panel, name, plane, ivar in zip(
        panels, cutout.bands, cutout.data, cutout.ivar, strict=False
    ):
        seen = ivar > 0
        shown = np.where(seen, plane, np.nan)
        image(panel, shown, name, LIGHT, flux_scale(plane, ivar), cutout.unit)
    for panel in panels[bands:]:
        panel.set_visible(False)
    return figure


@styled
def dust_plot(tree: xr.DataTree, cutout: Cutout) -> Figure:
    """A with its errors in one colour scale, D, the host, INFORM and RHAT."""
    maps = {name: v.values for name, v in tree["maps"].data_vars.items()}
    light, inform = maps["S_mean"], maps["A_inform"]
    # A few prior-ruled pixels must not set the scale of all.
    matters = (light > np.quantile(light, 0.5)) & ~(inform > PRIOR_RULES)
    top = np.quantile(maps["A_q84"][matters if matters.any() else slice(None)], 0.995)
    dust = (0.0, max(0.1, float(np.nan_to_num(top))))
    spread_top = np.nanquantile(maps["A_sd"], 0.99)
    spread = (0.0, max(0.02, float(np.nan_to_num(spread_top))))

    figure = new_figure(11.2, 5.5)
    axes = figure.subplots(2, 4)
    image(axes[0, 0], maps["A_mean"], "A, posterior mean", DUST, dust, "mag")
    image(axes[0, 1], maps["A_q16"], "A, 16%", DUST, dust, "mag")
    image(axes[0, 2], maps["A_q84"], "A, 84%", DUST, dust, "mag")
    image(axes[0, 3], maps["A_sd"], "A, posterior sd", SPREAD, spread, "mag")
    low = float(np.clip(np.nan_to_num(maps["D_mean"].min()), 0.0, 0.9))
    image(axes[1, 0], maps["D_mean"], "Transmission D, mean", PASSES, (low, 1.0))
    peak = float(np.nan_to_num(light.max())) or 1.0
    norm = AsinhNorm(0.03 * peak, vmin=0.0, vmax=peak)
    image(axes[1, 1], light, "Host S, mean (unit sum)", LIGHT, norm)
    image(axes[1, 2], inform, "INFORM: posterior / prior sd of A", SPREAD, (0.0, 1.0))
    rhat_colours = colormaps["cividis"].with_extremes(over=TRUTH)
    image(axes[1, 3], maps["A_rhat"], "R-hat of A", rhat_colours, (1.0, 1.2))
    for panel in axes.flat:
        dark = panel in (axes[1, 0], axes[1, 1])
        light_contours(panel, light, "white" if dark else INK)
    scale_bar(axes[0, 0], cutout, INK)
    for panel in axes[0]:
        _hatch_prior(panel, inform)
    figure.supxlabel(
        f"A at 0.4754 micron. Lines hold 50 and 90% of the host's light. Hatched: posterior sd "
        f"above {PRIOR_RULES:g} of the prior's; there the map is the prior, not the data.",
        size=8.5,
    )
    return figure


@styled
def truth_plot(tree: xr.DataTree, cutout: Cutout) -> Figure | None:
    """True A and host beside the posterior's, in posterior sd; None where no truth is known."""
    if cutout.truth is None:
        return None
    maps = tree["maps"]
    true_dust = -2.5 * np.log10(np.clip(cutout.truth.transmission, 1e-10, None))
    dust, sd = maps["A_mean"].values, maps["A_sd"].values
    top = max(0.1, float(np.quantile(true_dust, 0.995)), float(np.nanquantile(dust, 0.98)))
    figure = new_figure(11.2, 2.75)
    axes = figure.subplots(1, 4)
    image(axes[0], true_dust, "A, truth", DUST, (0.0, top), "mag")
    image(axes[1], dust, "A, posterior mean", DUST, (0.0, top), "mag")
    with np.errstate(divide="ignore", invalid="ignore"):
        image(axes[2], (dust - true_dust) / sd, "(mean - truth) / sd of A", "RdBu_r", (-4.0, 4.0))
        host_sd = maps["S_sd"].values
        off = (maps["S_mean"].values - cutout.truth.host) / host_sd
    image(axes[3], off, "(mean - truth) / sd of S", "RdBu_r", (-4.0, 4.0))
    for panel in axes:
        light_contours(panel, cutout.truth.host, INK)
    return figure


def flux_scale(plane: np.ndarray, ivar: np.ndarray) -> AsinhNorm:
    """Asinh scale of one band: linear in the noise, to the brightest pixels."""
    seen = ivar > 0
    if not seen.any():
        return AsinhNorm(1.0, vmin=0.0, vmax=1.0)
    sd = float(np.median(ivar[seen] ** -0.5))
    top = max(float(np.quantile(plane[seen], 0.998)), 5 * sd)
    return AsinhNorm(3 * sd, vmin=-3 * sd, vmax=top)


def short(band: str) -> str:
    """Band without the survey: hsc2017-g is g."""
    return band.rsplit("-", 1)[-1]


def _hatch_prior(axes: Axes, inform: np.ndarray) -> None:
    """Hatch where the prior rules; smoothed over a pixel, or the edge would be frayed."""
    smooth = ndimage.gaussian_filter(np.nan_to_num(inform, nan=1.0, posinf=1.0), 1.0)
    if smooth.max() > PRIOR_RULES:
        axes.contourf(
            smooth, levels=[PRIOR_RULES, np.inf], colors="none", hatches=["////"], extend="neither"
        )


def _compass(axes: Axes, cutout: Cutout) -> None:
    """Arrows to north and east in the upper right corner."""
    if cutout.wcs is None:
        return
    height, width = cutout.data.shape[-2:]
    wcs = cutout.wcs.celestial
    ra, dec = (float(c) for c in wcs.wcs_pix2world(width / 2, height / 2, 0))
    step = 1 / 3600
    away = step / max(np.cos(np.deg2rad(dec)), 1e-6)
    to = wcs.wcs_world2pix([[ra, dec], [ra, dec + step], [ra + away, dec]], 0)
    arrows = (to[1] - to[0], to[2] - to[0])
    if not np.isfinite(to).all():
        return
    foot = np.array([0.86 * width, 0.78 * height])
    for name, arrow in zip("NE", arrows, strict=True):
        tip = foot + 0.11 * width * arrow / np.hypot(*arrow)
        axes.annotate("", tip, foot, arrowprops={"arrowstyle": "-|>", "color": "white", "lw": 0.8})
        place = foot + 0.155 * width * arrow / np.hypot(*arrow)
        axes.text(*place, name, color="white", ha="center", va="center", size=7.5)
