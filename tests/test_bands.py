"""Filters: nodes, weights, and names or wavelengths that cannot be right."""

import subprocess
import sys

import numpy as np
import pytest

from dustpost.bands import (
    effective_wavelength,
    filter_names,
    filter_nodes,
    resolve_wavelengths,
)
from dustpost.errors import DustpostError
from dustpost.milky_way import milky_way_coefficients

HSC = ("hsc2017-g", "hsc2017-r", "hsc2017-i", "hsc2017-z", "hsc2017-y")


def test_nodes_average_to_the_effective_wavelength():
    wavelength, weight = filter_nodes(HSC, [np.nan] * 5)
    assert wavelength.shape == weight.shape == (5, 16)
    np.testing.assert_allclose(weight.sum(axis=1), 1.0, rtol=1e-12)
    assert np.all(weight >= 0)
    np.testing.assert_allclose(
        (wavelength * weight).sum(axis=1), [effective_wavelength(b) for b in HSC], rtol=1e-9
    )


def test_effective_wavelength_is_speclite_s():
    from speclite.filters import load_filter

    for name in ("hsc2017-g", "decam2014-z", "Euclid-VIS"):
        speclite = load_filter(name).effective_wavelength.to_value("micron")
        assert effective_wavelength(name) == pytest.approx(speclite, rel=1e-4)


def test_redshift_moves_nodes_to_the_rest_frame():
    observed, weight = filter_nodes(HSC, [np.nan] * 5)
    rest, rest_weight = filter_nodes(HSC, [np.nan] * 5, redshift=0.5)
    for nodes, w in ((observed, weight), (rest * 1.5, rest_weight)):
        np.testing.assert_allclose((nodes * w).sum(axis=1), (observed * weight).sum(axis=1))


def test_single_node():
    wavelength, weight = filter_nodes(["hsc2017-g", "rt-r"], [0.4754, 0.62], 0.1, average=False)
    np.testing.assert_allclose(wavelength, np.array([[0.4754], [0.62]]) / 1.1)
    np.testing.assert_array_equal(weight, np.ones((2, 1)))
    wavelength, _ = filter_nodes(["hsc2017-g"], [np.nan], average=False)
    assert wavelength[0, 0] == pytest.approx(effective_wavelength("hsc2017-g"))


def test_unknown_name_with_a_wavelength_is_one_node():
    wavelength, weight = filter_nodes(["rt-g", "hsc2017-r"], [0.4754, np.nan])
    assert wavelength.shape == (2, 16)
    assert np.sum(wavelength[0] * weight[0]) == pytest.approx(0.4754)
    assert np.count_nonzero(weight[0]) == 1


@pytest.mark.parametrize(
    ("name", "wavelength", "words"),
    [
        ("hsc2017-q", np.nan, ("hsc2017-q", "hsc2017-z", "micron")),
        ("hsc-g", np.nan, ("hsc2017-g",)),
        ("zzz", np.nan, ("zzz", "no wavelength")),
        ("hsc2017-g", 4754.0, ("Angstrom", "0.4754 micron")),
        ("rt-g", 475.4, ("nm", "0.4754 micron")),
        ("hsc2017-g", 0.62, ("0.62", "0.4844")),
        ("rt-g", -0.5, ("-0.5", "micron")),
        ("wise2010-W1", np.nan, ("wise2010-W1", "2.2 micron", "leave this band out")),
        ("mid", 24.0, ("24 micron", "leave this band out")),
    ],
)
def test_wrong_bands_are_refused(name, wavelength, words):
    with pytest.raises(DustpostError) as caught:
        filter_nodes(["hsc2017-r", name], [np.nan, wavelength])
    for word in (name, *words):
        assert word in str(caught.value)


def test_redshift_can_push_a_band_off_the_curve():
    filter_nodes(["hsc2017-g"], [np.nan], redshift=2.0)
    with pytest.raises(DustpostError, match="redshift 4"):
        filter_nodes(["hsc2017-g"], [np.nan], redshift=4.0)


def test_missing_wavelengths_are_filled():
    resolved = resolve_wavelengths(["hsc2017-g", "rt-r"], [np.nan, 0.62])
    np.testing.assert_allclose(resolved, [effective_wavelength("hsc2017-g"), 0.62])


def test_speclite_is_imported_only_when_asked():
    code = "import sys; from dustpost.bands import filter_names; filter_names(); "
    code += "print('speclite.filters' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().endswith("False")
    assert "hsc2017-g" in filter_names()


# Schlafly & Finkbeiner 2011, Table 6 (SDSS, LSST); DECam: the Legacy Surveys' coefficients,
# computed in the same way
PUBLISHED = {
    "sdss2010-u": 4.239,
    "sdss2010-g": 3.303,
    "sdss2010-r": 2.285,
    "sdss2010-i": 1.698,
    "sdss2010-z": 1.263,
    "lsst2016-g": 3.237,
    "lsst2016-r": 2.273,
    "lsst2016-i": 1.684,
    "lsst2016-z": 1.323,
    "lsst2016-y": 1.088,
    "decam2014-g": 3.214,
    "decam2014-r": 2.165,
    "decam2014-z": 1.211,
}


def test_milky_way_coefficients_are_the_published_ones():
    ours = milky_way_coefficients(list(PUBLISHED), [np.nan] * len(PUBLISHED))
    np.testing.assert_allclose(ours, list(PUBLISHED.values()), rtol=0.01)


def test_milky_way_needs_the_optical():
    assert milky_way_coefficients(["rt-g"], [0.4754])[0] == pytest.approx(3.26, abs=0.05)
    with pytest.raises(DustpostError, match=r"0\.26 micron"):
        milky_way_coefficients(["galex-nuv"], [np.nan])
