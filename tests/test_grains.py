"""Dust grains against Draine's own numbers, another reader of his tables, and RADMC-3D."""

import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.simulate.grains import KINDS, PIVOT, TABLES, grains

OPTICAL = np.geomspace(0.3, 2.3, 40)


@pytest.mark.parametrize(
    ("kind", "wavelength", "albedo", "asymmetry"),
    [
        ("milky-way", 0.4685, 0.6609, 0.5602),  # Draine 2003, SDSS g
        ("lmc", 0.4955, 0.7449, 0.6130),
        ("smc", 0.4955, 0.7574, 0.5601),
    ],
)
def test_rows_of_the_published_tables(kind, wavelength, albedo, asymmetry):
    found = grains(kind, [wavelength])
    np.testing.assert_allclose(found.albedo, albedo, rtol=1e-12)
    np.testing.assert_allclose(found.asymmetry, asymmetry, rtol=1e-12)


def test_published_extinction_ratio():
    """Two rows of the Milky Way's table: C_ext 5.968e-22 at 0.4685, 5.945e-22 at 0.47."""
    found = grains("milky-way", [0.4685, 0.47])
    np.testing.assert_allclose(found.k[0] / found.k[1], 5.968 / 5.945, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "model", "name"),
    [
        ("milky-way", "D03", "MWRV31"),
        ("lmc", "WD01", "LMCAvg"),
        ("smc", "WD01", "SMCBar"),
    ],
)
def test_extinction_is_that_of_dust_extinction(kind, model, name):
    """The package's classes read the same tables with another parser, and A(V) for unit."""
    from astropy import units
    from dust_extinction import grain_models

    curve = getattr(grain_models, model)(name)
    expected = curve(1 / (OPTICAL * units.micron)) / curve(1 / (PIVOT * units.micron))
    np.testing.assert_allclose(grains(kind, OPTICAL).k, expected, rtol=2e-3)


@pytest.mark.parametrize(("name", "kind"), [("spiral", "milky-way"), ("irr", "lmc")])
def test_radiative_transfer_had_the_same_grains(shared_data, name, kind):
    """RADMC-3D's inputs were taken from Draine's files independently."""
    with np.load(shared_data / "rt_transfer" / f"{name}.npz") as file:
        truth = {key: file[key] for key in ("wavelength_um", "kext_over_v", "albedo", "g")}
    found = grains(kind, truth["wavelength_um"])
    ratio = truth["kext_over_v"] / truth["kext_over_v"][1]  # the second is at the pivot
    np.testing.assert_allclose(found.k, ratio, rtol=1e-4)
    np.testing.assert_allclose(found.albedo, truth["albedo"], atol=1e-4)
    np.testing.assert_allclose(found.asymmetry, truth["g"], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_physics_of_small_grains(kind):
    """k falls through the optical; light far longer than a grain is scattered evenly, if at all."""
    found = grains(kind, OPTICAL)
    assert np.all(np.diff(found.k) < 0)
    assert np.all((found.albedo > 0) & (found.albedo < 1))
    assert np.all((found.asymmetry > 0) & (found.asymmetry < 1))
    np.testing.assert_allclose(grains(kind, [PIVOT]).k, 1.0, rtol=1e-12)
    far = grains(kind, [300.0])
    assert far.albedo < 1e-3 and abs(far.asymmetry) < 0.02


def test_kinds_differ():
    """The SMC's curve is steeper than the Milky Way's in the ultraviolet and has no bump."""
    ultraviolet = [0.15, 0.2175]
    steep = {kind: grains(kind, ultraviolet).k for kind in TABLES}
    assert steep["smc"][0] > 1.5 * steep["milky-way"][0]
    assert steep["milky-way"][1] > steep["milky-way"][0]
    assert steep["smc"][1] < steep["smc"][0]


@pytest.mark.parametrize(
    ("kind", "wavelength", "words"),
    [("m31", 0.5, "choose one of milky-way"), ("lmc", 1e-3, "micron"), ("smc", np.nan, "nan")],
)
def test_bad_input_ends_in_one_sentence(kind, wavelength, words):
    with pytest.raises(DustpostError, match=words):
        grains(kind, [wavelength])
