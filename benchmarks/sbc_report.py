"""What `sbc.py` reads off its simulations: ranks, bands, coverage, and their figure."""

import numpy as np
from sbc_worlds import BANDS

from dustpost.diagnostics.calibration import check_ranks, sbc_ranks, thin
from dustpost.diagnostics.coverage import interval_coverage
from dustpost.diagnostics.ecdf import EcdfTest, ecdf_test
from dustpost.diagnostics.ranks import bulk_ess
from dustpost.diagnostics.tarp import tarp
from dustpost.errors import DustpostError
from dustpost.plots import style

SCALARS = tuple(f"F {band[-1]}" for band in BANDS)
SCALARS += ("delta", "log_screen", "mean_attenuation", "covering_fraction")
NAMES = SCALARS + tuple(f"A {number}" for number in range(20))
MASS = 0.9
SHOWN = 50  # simulations; with fewer a panel says nothing
ALONG = ("host, blob", "host, pixel", "dust, blob", "dust, pixel")


def judge(runs: dict[str, np.ndarray], independent: bool) -> dict:
    """Judge all simulations of one kind.

    Parameters
    ----------
    runs : dict of ndarray, (simulation, ...)
        What `sbc.py` keeps of each: `draws` (simulation, chain, draw, quantity), `truth`
        (simulation, quantity), `stein`, `acceptance`, `curl`, `seconds`.
    independent : bool
        Whether every draw may be ranked: the path of a serial test.

    Returns
    -------
    dict
        JSON values.
    """
    truth, chains = runs["truth"], runs["draws"]
    count, note = len(truth), "serial test: exact for any autocorrelation"
    draws = chains.reshape(count, -1, chains.shape[-1])
    if not independent:
        try:
            draws, note = thin(chains), "thinned to the effective sample size"
        except DustpostError as error:
            note = f"not thinned, draws are autocorrelated: {error}"
    ranks = sbc_ranks(truth, draws)
    size = draws.shape[1]
    band = ecdf_test(ranks, size)
    central = np.abs((ranks + 0.5) / (size + 1) - 0.5) < MASS / 2
    ess = np.array([bulk_ess(one) for one in chains])
    found = tarp(truth, draws)
    verdict = {
        "simulations": count,
        "draws ranked": f"{size}; {note}",
        "outside their own 95 % band": [
            f"{name} (p = {p:.2g})"
            for name, p, inside in zip(NAMES, band.p_value, band.inside, strict=True)
            if not inside
        ],
        "all quantities together": [finding.message for finding in check_ranks(ranks, size, NAMES)],
        "tarp deviation, p": [_short(found.deviation), _short(found.p_value)],
        "coverage of 90 % central": _by_name(central.mean(axis=0)),
        "bulk ESS, 5 50 95 % of simulations": {
            name: _short(np.nanquantile(column, (0.05, 0.5, 0.95)))
            for name, column in zip(NAMES, ess.T, strict=True)
        },
        "acceptance of each move, and of the fluxes": _short(runs["acceptance"].mean(axis=0)),
        "curl defect, nat, 50 95 %": _short(np.quantile(runs["curl"], (0.5, 0.95))),
        "stein": stein(runs["stein"]),
        "seconds a simulation": _short(np.median(runs["seconds"])),
    }
    if size >= 19:
        verdict["coverage of 90 % HPD"] = _by_name(
            interval_coverage(truth, draws, (MASS,), "hpd").covered[0]
        )
    verdict["ranks"] = {
        name: " ".join(map(str, column)) for name, column in zip(NAMES, ranks.T, strict=True)
    }
    return verdict


def band_of(verdict: dict) -> EcdfTest:
    """The band again of what `judge` has written down."""
    ranks = np.array([verdict["ranks"][name].split() for name in NAMES], int).T
    return ecdf_test(ranks, int(verdict["draws ranked"].split(";")[0]))


def stein(found: np.ndarray) -> dict:
    """Stein's identities along `ALONG`: mean score in standard errors, ratio and its error."""
    score, place = found[:, :2].reshape(len(found), -1), found[:, 2:].reshape(len(found), -1)
    error = score.std(axis=0) / len(found) ** 0.5
    products = -score * (place - place.mean(axis=0))
    return {
        name: {"mean score, z": _short(z), "ratio": _short(ratio), "error": _short(spread)}
        for name, z, ratio, spread in zip(
            ALONG,
            score.mean(axis=0) / error,
            products.mean(axis=0),
            products.std(axis=0) / len(found) ** 0.5,
            strict=True,
        )
    }


def draw_figure(results: dict[str, dict]) -> bytes:
    """One panel a kind of many simulations: ECDF less its expectation, the 95 % band grey."""
    many = {kind: v for kind, v in results.items() if v["simulations"] >= SHOWN}
    return _figure({kind: band_of(verdict) for kind, verdict in many.items()})


@style.styled
def _figure(bands):
    columns = min(3, len(bands))
    rows = -(-len(bands) // columns)
    figure = style.new_figure(3.6 * columns, 2.6 * rows + 0.5)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for panel, (kind, band) in zip(axes.ravel(), bands.items(), strict=False):
        panel.fill_between(band.level, band.lower, band.upper, color="#e4e7eb", lw=0)
        panel.plot(band.level, band.difference[:, len(SCALARS) :], color=style.FAINT, lw=0.5)
        five = [name.startswith("F ") for name in SCALARS]
        panel.plot(
            band.level, band.difference[:, : len(SCALARS)][:, five], color=style.CHAINS[0], lw=0.8
        )
        others = [(i, name) for i, name in enumerate(SCALARS) if not five[i]]
        for colour, (number, name) in zip(style.CHAINS[1:], others, strict=False):
            panel.plot(band.level, band.difference[:, number], color=colour, lw=1.2, label=name)
        panel.set_title(kind)
    for panel in axes.ravel()[len(bands) :]:
        panel.axis("off")
    first = axes[0, 0]
    first.plot([], [], color=style.CHAINS[0], lw=0.8, label="F, each band")
    first.plot([], [], color=style.FAINT, lw=0.5, label="A, 20 pixels")
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    for panel in axes[-1]:
        panel.set_xlabel("rank of the truth, relative")
    for panel in axes[:, 0]:
        panel.set_ylabel("ECDF - expected")
    return style.save_png(figure)


def _by_name(values: np.ndarray) -> dict:
    return {name: _short(value) for name, value in zip(NAMES, values, strict=True)}


def _short(value):
    return np.asarray(np.array(value, float)).round(3).tolist()
