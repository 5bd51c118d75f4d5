"""One look for all figures: fonts, colours, image panels with a bar of their scale."""

import io

import numpy as np
from astropy.wcs.utils import proj_plane_pixel_scales
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke

from dustpost.io.cutout import Cutout

INK, FAINT, TRUTH = "#1f2933", "#8a94a0", "#d1495b"
CHAINS = ("#33658a", "#e09f3e", "#5a8f69", "#8e5572", "#2b9eb3", "#a44a3f", "#6c757d", "#b8b042")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "image.origin": "lower",
    "image.interpolation": "nearest",
}
DPI = 120

# Decorates a figure function: it draws in STYLE and leaves the settings of others alone.
styled = rc_context(STYLE)


def new_figure(width: float, height: float) -> Figure:
    """Figure in inches, laid out without overlaps, that needs no display."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure) -> bytes:
    """Draw the figure as PNG, without date or version, so that it repeats byte for byte."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def image(axes: Axes, plane: np.ndarray, title: str, cmap, limits, label: str = "") -> AxesImage:
    """Show a (y, x) plane with its colour bar; pixels that are nan stay grey.

    Parameters
    ----------
    axes : Axes
    plane : ndarray, (y, x)
    title : str
    cmap : str or Colormap
    limits : tuple of float or Normalize
        Values of the two ends of the colour bar, or a norm.
    label : str
        Unit of the colour bar.
    """
    scale = {"vmin": limits[0], "vmax": limits[1]} if isinstance(limits, tuple) else {}
    norm = None if scale else limits
    shown = axes.imshow(plane, cmap=cmap, norm=norm, **scale)
    bare(axes, title)
    over = bool(np.nanmax(plane, initial=-np.inf) > shown.norm.vmax) and not norm
    bar = axes.figure.colorbar(
        shown, ax=axes, fraction=0.046, pad=0.02, extend="max" if over else "neither"
    )
    bar.set_label(f"[{label}]" if label else "")
    if isinstance(norm, AsinhNorm):
        ticks = _asinh_ticks(norm)
        bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        bar.ax.minorticks_off()
    bar.outline.set_linewidth(0.5)
    return shown


def _asinh_ticks(norm: AsinhNorm) -> list[float]:
    """0 and round numbers that stand apart on the bar."""
    ticks, last = [0.0], float(norm(0.0))
    exponents = range(int(np.floor(np.log10(norm.vmax))) - 4, int(np.log10(norm.vmax)) + 2)
    for value in (m * 10.0**p for p in exponents for m in (1, 2, 5)):
        place = float(norm(value))
        if last + 0.17 < place <= 1.0:
            ticks.append(float(f"{value:.1g}"))
            last = place
    return ticks


def bare(axes: Axes, title: str) -> None:
    """Frame without ticks, since the scale bar tells the size."""
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#c9ced4")
    for spine in axes.spines.values():
        spine.set_visible(True)


def pixel_scale(cutout: Cutout) -> float | None:
    """Arcsec per pixel, None where the cutout has no WCS."""
    if cutout.wcs is None:
        return None
    return float(np.mean(proj_plane_pixel_scales(cutout.wcs.celestial)) * 3600)


def scale_bar(axes: Axes, cutout: Cutout, color: str = "white") -> None:
    """Bar of a round length in the lower left corner: arcsec, or pixels without a WCS."""
    scale = pixel_scale(cutout)
    width = cutout.data.shape[-1]
    wanted = 0.25 * width * (scale or 1.0)
    round_lengths = [m * 10.0**p for p in range(-3, 5) for m in (1, 2, 5)]
    length = max((r for r in round_lengths if r <= wanted), default=wanted)
    label = f'{length:g}"' if scale else f"{length:g} pixels"
    start, height = 0.05 * width, 0.06 * cutout.data.shape[-2]
    end = start + length / (scale or 1.0)
    axes.plot([start, end], [height, height], color=color, lw=1.8, solid_capstyle="butt")
    halo = [withStroke(linewidth=2, foreground="black" if color == "white" else "white")]
    middle = (start + end) / 2
    text = axes.text(middle, height * 1.3, label, color=color, ha="center", va="bottom", size=8)
    text.set_path_effects(halo)


def light_contours(axes: Axes, light: np.ndarray, color: str = "black") -> None:
    """Outlines that hold half and nine tenths of the light."""
    if not np.isfinite(light).all() or light.sum() <= 0:
        return
    order = np.sort(light, axis=None)[::-1]
    share = np.cumsum(order) / order.sum()
    levels = sorted({float(order[np.searchsorted(share, s)]) for s in (0.5, 0.9)})
    axes.contour(light, levels=levels, colors=color, linewidths=0.7, alpha=0.75)
