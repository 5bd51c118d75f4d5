"""Figures are drawn from good and from broken draws, and nobody pays for them who has none."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from dustpost import plots
from dustpost.diagnostics.fit import fit
from dustpost.diagnostics.summary import summarise
from dustpost.plots.maps import colour_composite
from dustpost.plots.style import pixel_scale
from dustpost.results import to_tree
from tests.synthetic import make_cutout, make_draws, prior_draws

PNG = b"\x89PNG\r\n"


def draw_all(tree, cutout):
    rows = summarise(tree)
    figures = [
        plots.cutout_plot(cutout),
        plots.dust_plot(tree, cutout),
        plots.truth_plot(tree, cutout),
        plots.residual_plot(tree, cutout, fit(tree)),
        plots.spectrum_plot(tree, cutout),
        plots.pair_plot(tree, cutout),
        plots.trace_plot(tree, cutout, rows),
    ]
    return [plots.save_png(f) for f in figures if f is not None]


def one_band(cutout, draws):
    flat = dataclasses.replace(
        cutout,
        data=cutout.data[:1],
        ivar=cutout.ivar[:1],
        psf=cutout.psf[:1],
        bands=("free",),
        wavelength=cutout.wavelength[:1],
        truth=None,
        wcs=None,
    )
    fewer = draws._replace(
        flux=draws.flux[..., :1],
        template_flux=None,
        attenuated_flux=None,
        model=draws.model[:1],
        settings=draws.settings | {"k": [1.0]},
    )
    return flat, fewer


def test_all_figures():
    cutout = make_cutout(16)
    pictures = draw_all(to_tree(make_draws(16), cutout), cutout)
    assert len(pictures) == 7
    assert all(p.startswith(PNG) for p in pictures)


def test_one_band_without_wcs_and_truth():
    cutout, draws = one_band(make_cutout(16), make_draws(16))
    assert len(draw_all(to_tree(draws, cutout), cutout)) == 6


def test_broken_draws_are_drawn_too():
    cutout, draws = make_cutout(16), make_draws(16, chains=2, length=40)
    slope, through, flux = draws.slope.copy(), draws.transmission.copy(), draws.flux.copy()
    slope[0, 3], through[0, 1, 2, 2], flux[:, 5, 0] = np.nan, np.nan, np.nan
    draws = draws._replace(
        slope=slope,
        transmission=through,
        flux=flux,
        log_screen=np.full_like(draws.log_screen, -0.2),
        **prior_draws(16, 0.0),
    )
    assert len(draw_all(to_tree(draws, cutout), cutout)) == 7


def test_empty_band_and_empty_sky():
    cutout = make_cutout(16)
    ivar = cutout.ivar.copy()
    ivar[0] = 0.0
    dark = dataclasses.replace(cutout, data=np.zeros_like(cutout.data), ivar=ivar)
    assert plots.save_png(plots.cutout_plot(dark)).startswith(PNG)
    rgb = colour_composite(dark)
    assert np.isfinite(rgb).all()


def test_colour_composite():
    rgb = colour_composite(make_cutout(32))
    assert rgb.shape == (32, 32, 3)
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    assert rgb[10:22, 10:22].mean() > 3 * rgb[:5, -5:].mean()


def test_pixel_scale():
    assert pixel_scale(make_cutout(8)) == pytest.approx(0.168)
    assert pixel_scale(make_cutout(8, wcs=False)) is None


def test_figures_repeat():
    cutout = make_cutout(8)
    tree = to_tree(make_draws(8), cutout)
    first, second = (plots.save_png(plots.dust_plot(tree, cutout)) for _ in range(2))
    assert first == second


def test_importing_results_and_report_loads_no_matplotlib():
    code = (
        "import sys, dustpost, dustpost.results, dustpost.io.netcdf, dustpost.report, "
        "dustpost.diagnostics.convergence; "
        "sys.exit('matplotlib' in sys.modules or 'arviz' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
