"""Dust maps beside the truth: Siegel & Melchior (2024), Figure 2, with error bars."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dustpost.plots.style import FAINT, INK, bare, new_figure, styled

RANGE = (
    0.0,
    0.75,
)  # as in the paper; of D itself, dust thinner than A = 0.31 mag is all one colour
SHARES = (0.5, 0.84)  # of the unattenuated light, inside the contours
FAINTEST = 1e-4  # of the peak's light: where there is less, no truth is known
COLOURS, SPREAD, ERROR = "magma", "viridis", "RdBu_r"
BLUE, RED = "#33658a", "#d1495b"


class Spectrum(NamedTuple):
    """Flux per band before and after attenuation, (band,) each; wavelength in micron."""

    wavelength: np.ndarray
    before: np.ndarray
    after: np.ndarray


class Galaxy(NamedTuple):
    """One line of the figure.

    Attributes
    ----------
    title : str
    light : ndarray, (y, x)
        True S.
    truth, best : ndarray, (y, x)
        D, true and of the MAP.
    spectra : tuple of Spectrum
        Of the truth, the MAP and, where there is one, the posterior mean.
    mean, sd : ndarray, (y, x), or None
        Of D under the posterior.
    """

    title: str
    light: np.ndarray
    truth: np.ndarray
    best: np.ndarray
    spectra: tuple[Spectrum, ...]
    mean: np.ndarray | None = None
    sd: np.ndarray | None = None


@styled
def comparison_plot(galaxies: Sequence[Galaxy], absorbed: bool = False) -> Figure:
    """True D, the MAP's and, where it was sampled, mean, sd and standardised error.

    Parameters
    ----------
    galaxies : sequence of Galaxy
    absorbed : bool
        Show 1 - D on the same scale, so that thin dust is seen.
    """
    sampled = any(galaxy.mean is not None for galaxy in galaxies)
    columns = 5 if sampled else 2
    figure = new_figure(2.15 * columns + 0.6, 2.1 * len(galaxies) + 0.5)
    axes = figure.subplots(len(galaxies), columns, squeeze=False)
    name, colours = ("1 - D", f"{COLOURS}_r") if absorbed else ("D", COLOURS)
    heads = [f"{name}, {what}" for what in ("truth", "MAP", "posterior mean", "posterior sd")]
    heads.append(f"{name}: (mean - truth) / sd")
    # one scale for the spreads of all galaxies
    spreads = [galaxy.sd for galaxy in galaxies if galaxy.sd is not None]
    top = float(np.quantile(spreads, 0.995)) if spreads else 1.0
    limits = (RANGE, RANGE, RANGE, (0.0, top or 1.0), (-4.0, 4.0))
    maps = (colours, colours, colours, SPREAD, ERROR)
    shown = [None] * columns
    for row, galaxy in zip(axes, galaxies, strict=True):
        for number, plane in enumerate(_planes(galaxy, absorbed)[:columns]):
            panel = row[number]
            bare(panel, "")
            if plane is None:
                panel.set_visible(False)
                continue
            low, high = limits[number]
            shown[number] = panel.imshow(plane, cmap=maps[number], vmin=low, vmax=high)
            _contours(panel, galaxy.light, "white" if number == 3 else INK)
            if number < len(galaxy.spectra):
                _inset(panel, galaxy.spectra[number], galaxy.spectra[0])
        row[0].set_ylabel(galaxy.title, size=8)
    for panel, head in zip(axes[0], heads, strict=False):
        panel.set_title(head)
    groups = [(axes[:, : min(3, columns)], 1)] + [
        (axes[:, n : n + 1], n) for n in (3, 4) if sampled
    ]
    for panels, number in groups:
        if shown[number] is not None:
            extend = ("max", "max", "max", "max", "both")[number]
            bar = figure.colorbar(
                shown[number],
                ax=panels.ravel().tolist(),
                location="bottom",
                shrink=0.6,
                aspect=30 if number == 1 else 14,
                pad=0.01,
                extend=extend,
            )
            bar.outline.set_linewidth(0.5)
    figure.supxlabel(
        f"{name} at 0.4754 micron. Lines hold 50 and 84% of the unattenuated light. "
        "Insets: flux per band before (blue) and after (red) attenuation; truth dotted.",
        size=8,
    )
    return figure


def _planes(galaxy: Galaxy, absorbed: bool) -> list[np.ndarray | None]:
    shown = [galaxy.truth, galaxy.best, galaxy.mean]
    shown = [1 - plane if absorbed and plane is not None else plane for plane in shown]
    if galaxy.mean is None:
        return [*shown, None, None]
    error = (shown[2] - shown[0]) / np.maximum(galaxy.sd, 1e-6)
    error = np.where(galaxy.light > FAINTEST * galaxy.light.max(), error, np.nan)
    return [*shown, galaxy.sd, error]


def _contours(axes: Axes, light: np.ndarray, colour: str) -> None:
    order = np.sort(light, axis=None)[::-1]
    share = np.cumsum(order) / order.sum()
    levels = sorted({float(order[np.searchsorted(share, s)]) for s in SHARES})
    axes.contour(light, levels=levels, colors=colour, linewidths=0.7, alpha=0.8)


def _inset(axes: Axes, spectrum: Spectrum, truth: Spectrum) -> None:
    inset = axes.inset_axes((0.66, 0.70, 0.33, 0.29))
    scale = truth.before.max()
    for flux, true, colour in (
        (spectrum.before, truth.before, BLUE),
        (spectrum.after, truth.after, RED),
    ):
        inset.plot(spectrum.wavelength, flux / scale, "o-", ms=1.8, lw=0.9, color=colour)
        inset.plot(truth.wavelength, true / scale, ":", lw=0.8, color=colour)
    inset.set_xticks([])
    inset.set_yticks([])
    inset.patch.set_alpha(0.85)
    for spine in inset.spines.values():
        spine.set_visible(True)
        spine.set_color(FAINT)
        spine.set_linewidth(0.5)
