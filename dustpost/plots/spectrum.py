"""The galaxy's total flux per band, before and behind its dust."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dustpost.io.cutout import Cutout
from dustpost.plots.maps import short
from dustpost.plots.style import CHAINS, INK, TRUTH, new_figure, styled


@styled
def spectrum_plot(tree: xr.DataTree, cutout: Cutout) -> Figure:
    """F with its 68% interval, the flux behind the dust, and the difference in magnitudes."""
    order = np.argsort(cutout.wavelength)
    wavelength = cutout.wavelength[order]
    host = tree["posterior"]["F"].values[..., order]
    figure = new_figure(7.6, 3.3)
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _interval(left, wavelength, host, CHAINS[0], "without dust, F")
    if "F_attenuated" in tree["posterior"]:
        behind = tree["posterior"]["F_attenuated"].values[..., order]
        _interval(left, wavelength, behind, CHAINS[1], "behind the dust")
    else:
        behind = tree["maps"]["model_mean"].values.sum(axis=(1, 2))[order]
        left.plot(wavelength, behind, "s--", ms=4, lw=0.8, color=CHAINS[1], label="behind the dust")
    if cutout.truth is not None and cutout.truth.flux is not None:
        true = cutout.truth.flux[order]
        left.plot(wavelength, true, "x", color=TRUTH, ms=6, label="F, truth", zorder=4)
    if np.nanmin(np.nanmedian(host, axis=(0, 1))) * 10 < np.nanmax(host):
        left.set_yscale("log")
    else:
        left.set_ylim(0, None)
    left.set_ylabel(f"total flux [{cutout.unit}]" if cutout.unit else "total flux")
    left.set_title("Spectrum, median and 68%")
    left.legend(loc="lower right")

    with np.errstate(divide="ignore", invalid="ignore"):
        loss = 2.5 * np.log10(host / behind)
    _interval(right, wavelength, loss, INK, "")
    right.axhline(0, color=INK, lw=0.6, ls=":")
    right.set_ylabel("light lost [mag]")
    right.set_title("Effective attenuation of the whole galaxy")
    for axes in (left, right):
        axes.set_xlabel("observed wavelength [micron]")
        reach = 0.06 * max(float(np.ptp(wavelength)), 0.1)
        axes.set_xlim(wavelength[0] - reach, wavelength[-1] + reach)
        bands = [cutout.bands[i] for i in order]
        axes.set_xticks(wavelength, list(map(_tick, wavelength, bands)))
    return figure


def _tick(wavelength: float, band: str) -> str:
    return f"{short(band)}\n{wavelength:.2f}"


def _interval(axes, x: np.ndarray, draws: np.ndarray, colour: str, label: str) -> None:
    """Median and 16 to 84% over chains and draws, (chain, draw, band)."""
    low, middle, high = np.nanquantile(draws, [0.16, 0.5, 0.84], axis=(0, 1))
    error = np.stack([middle - low, high - middle])
    axes.errorbar(x, middle, error, fmt="o-", ms=4, lw=0.9, capsize=2.5, color=colour, label=label)
