"""The chains: traces with rank histograms, and the pairs in which the degeneracy shows."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from dustpost.diagnostics.summary import Row, scalar_series
from dustpost.io.cutout import Cutout
from dustpost.plots.maps import short
from dustpost.plots.style import CHAINS, FAINT, INK, TRUTH, new_figure, styled
from dustpost.results import settings_of

RANK_BINS = 20
LONGEST_TRACE = 2000
LABELS = {
    "delta": "delta",
    "mean_attenuation": "mean A [mag]",
    "covering_fraction": "covering\nfraction",
    "log_screen": "log screen",
}


@styled
def trace_plot(tree: xr.DataTree, cutout: Cutout, rows: list[Row]) -> Figure:
    """Trace of every scalar, and the ranks of its draws per chain.

    Chains that sample one posterior have flat rank histograms, within the grey band that
    holds 95% of independent draws (Vehtari et al. 2021).
    """
    series = scalar_series(tree)
    figure = new_figure(10.6, 1.15 * len(series) + 0.3)
    axes = figure.subplots(len(series), 2, squeeze=False, width_ratios=(2.6, 1))
    truths = _true_values(cutout, settings_of(tree))
    for (left, right), (name, band, draws, _), row in zip(axes, series, rows, strict=True):
        left.set_ylabel(f"F {short(band)}" if band else LABELS[name])
        step = max(1, draws.shape[1] // LONGEST_TRACE)
        for chain, values in enumerate(draws):
            colour = CHAINS[chain % len(CHAINS)]
            left.plot(np.arange(values.size)[::step], values[::step], lw=0.5, color=colour)
        if (name, band) in truths:
            left.axhline(truths[name, band], color=TRUTH, lw=1.1, ls="--")
        left.set_xlim(0, draws.shape[1])
        note = f"R-hat {row.rhat:.3f}   ESS {row.ess_bulk:.0f} / {row.ess_tail:.0f}"
        right.set_title(note, size=8, color=INK if row.rhat <= 1.01 else TRUTH)
        _ranks(right, draws)
    for left, right in axes[:-1]:
        left.set_xticklabels([])
        right.set_xticklabels([])
    axes[0, 0].set_title("Traces, one colour per chain" + (", truth dashed" if truths else ""))
    axes[-1, 0].set_xlabel("draw")
    axes[-1, 1].set_xlabel("rank among all draws")
    return figure


@styled
def pair_plot(tree: xr.DataTree, cutout: Cutout) -> Figure:
    """log screen, delta and ln F against each other, with the direction of a free screen."""
    posterior = tree["posterior"]
    order = np.argsort(cutout.wavelength)
    bands = sorted({int(order[0]), int(order[len(order) // 2]), int(order[-1])})
    columns = {"log screen": posterior["log_screen"].values, "delta": posterior["delta"].values}
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in bands:
            name = f"ln F {short(cutout.bands[i])}"
            columns[name] = np.log(posterior["F"].values[..., i])
    settings = settings_of(tree)
    truths = _true_columns(cutout, settings, bands)
    k = settings.get("k")
    slopes = {f"ln F {short(cutout.bands[i])}": -k[i] for i in bands} if k is not None else {}

    names = list(columns)
    figure = new_figure(1.75 * len(names) + 0.4, 1.75 * len(names) + 0.4)
    axes = figure.subplots(len(names), len(names), sharex="col")
    for i, down in enumerate(names):
        for j, across in enumerate(names):
            panel = axes[i, j]
            if j > i:
                panel.set_visible(False)
            elif i == j:
                _histograms(panel, columns[down], truths.get(down))
                panel.set_title(down)
            else:
                _scatter(panel, columns[across], columns[down])
                _mark(panel, truths.get(across), truths.get(down))
                if across == "log screen" and down in slopes:
                    _orbit(panel, columns[across], columns[down], slopes[down])
            panel.tick_params(labelleft=j == 0 and i > 0)
        axes[i, 0].set_ylabel(down if i else "")
        axes[-1, i].set_xlabel(down)
    note = "Dotted: a uniform screen, D -> c D and F -> F / c^k,\nwhich the likelihood cannot see."
    if truths:
        note += "\nRed: truth."
    figure.text(0.98, 0.9, note, ha="right", va="top", size=8.5)
    return figure


def _ranks(axes: Axes, draws: np.ndarray) -> None:
    chains, length = draws.shape
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, draws.size)
    if not np.isfinite(draws).all() or np.ptp(draws) == 0:
        return
    ranks = stats.rankdata(draws, method="average").reshape(draws.shape)
    edges = np.linspace(0.5, draws.size + 0.5, RANK_BINS + 1)
    band = stats.binom(length, 1 / RANK_BINS).ppf([0.025, 0.975])
    axes.axhspan(*band, color=FAINT, alpha=0.25, lw=0)
    top = band[1] * 1.3
    for chain in range(chains):
        count = np.histogram(ranks[chain], edges)[0]
        axes.stairs(count, edges, baseline=None, color=CHAINS[chain % len(CHAINS)], lw=0.9)
        top = max(top, count.max() * 1.05)
    axes.set_ylim(0, top)


def _histograms(axes: Axes, draws: np.ndarray, truth: float | None) -> None:
    axes.set_yticks([])
    finite = draws[np.isfinite(draws)]
    if finite.size and np.ptp(finite) > 0:
        edges = np.linspace(finite.min(), finite.max(), 31)
        for chain, values in enumerate(draws):
            colour = CHAINS[chain % len(CHAINS)]
            axes.hist(values, edges, histtype="step", color=colour, lw=0.8)
    if truth is not None:
        axes.axvline(truth, color=TRUTH, lw=1.0)


def _scatter(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    step = max(1, x.shape[1] // 500)
    for chain in range(x.shape[0]):
        colour = CHAINS[chain % len(CHAINS)]
        axes.plot(x[chain, ::step], y[chain, ::step], ".", ms=2.4, alpha=0.5, color=colour, mew=0)


def _mark(axes: Axes, x: float | None, y: float | None) -> None:
    if x is not None:
        axes.axvline(x, color=TRUTH, lw=0.7)
    if y is not None:
        axes.axhline(y, color=TRUTH, lw=0.7)


def _orbit(axes: Axes, x: np.ndarray, y: np.ndarray, slope: float) -> None:
    low, high = axes.get_ylim()
    ends = np.array([np.nanmin(x), np.nanmax(x)])
    axes.plot(ends, np.nanmedian(y) + slope * (ends - np.nanmedian(x)), ":", color=INK, lw=1.1)
    axes.set_ylim(low, high)


def _true_values(cutout: Cutout, settings: dict) -> dict[tuple[str, str], float]:
    truth = cutout.truth
    if truth is None:
        return {}
    found = {
        ("delta", ""): truth.slope,
        ("mean_attenuation", ""): truth.mean_attenuation,
        ("covering_fraction", ""): truth.covering_fraction,
        ("log_screen", ""): _true_screen(cutout) / settings.get("k_reference", 1.0),
    }
    if truth.flux is not None:
        found |= {("F", b): float(f) for b, f in zip(cutout.bands, truth.flux, strict=True)}
    return {key: value for key, value in found.items() if value is not None}


def _true_columns(cutout: Cutout, settings: dict, bands: list[int]) -> dict[str, float]:
    true = _true_values(cutout, settings)
    found = {"log screen": true.get(("log_screen", "")), "delta": true.get(("delta", ""))}
    for i in bands:
        flux = true.get(("F", cutout.bands[i]))
        found[f"ln F {short(cutout.bands[i])}"] = None if flux is None else float(np.log(flux))
    return {name: value for name, value in found.items() if value is not None}


def _true_screen(cutout: Cutout) -> float:
    """Light-weighted mean of ln transmission at 0.4754 micron: k(l0) ln D."""
    light, through = cutout.truth.host, cutout.truth.transmission
    return float((light * np.log(np.clip(through, 1e-10, None))).sum() / light.sum())
