"""The attenuation curve against the published formulae."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.attenuation import (
    BRANCH,
    CURVES,
    NORMS,
    PIVOT,
    PIVOT_VALUE,
    attenuation_curve,
    band_attenuation,
)
from dustpost.bands import filter_nodes, photon_measure, throughput
from dustpost.errors import DustpostError

ORACLE = np.loadtxt(Path(__file__).parent / "data" / "calzetti_noll.csv", delimiter=",").T


@pytest.mark.parametrize(("curve", "column"), [("calzetti-noll", 2), ("paper", 3)])
def test_published_formulae(float64, curve, column):
    wavelength, slope, expected = ORACLE[0], ORACLE[1], ORACLE[column]
    literal = attenuation_curve(wavelength, slope, curve, "paper")
    np.testing.assert_allclose(literal, expected, rtol=1e-13)
    unit = attenuation_curve(wavelength, slope, curve, "lambda0")
    np.testing.assert_allclose(unit, expected / PIVOT_VALUE, rtol=1e-13)


def test_single_precision():
    k = attenuation_curve(ORACLE[0].astype(np.float32), ORACLE[1].astype(np.float32), norm="paper")
    assert k.dtype == jnp.float32
    # the blue and the red law differ at the branch, where float32 must still tell the side
    np.testing.assert_allclose(k, ORACLE[2], rtol=3e-6)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.7])
def test_one_at_the_pivot(curve, slope):
    assert attenuation_curve(PIVOT, slope, curve) == pytest.approx(1.0, abs=1e-6)
    assert attenuation_curve(PIVOT, slope, curve, "paper") == pytest.approx(1.1605, abs=5e-5)


def test_red_branch_departs_from_the_blue_one_by_band():
    """DESIGN section 2, trap 2: 1 % in z, 2 % in y (HSC), 14 % in J, 39 % in H (Euclid's)."""
    names = ["hsc2017-z", "hsc2017-y", "Euclid-J", "Euclid-H"]
    nodes = filter_nodes(names, [np.nan] * 4, average=False)
    both, blue = (band_attenuation(*nodes, 0.0, curve) for curve in CURVES)
    np.testing.assert_allclose(1 - blue / both, [0.008, 0.020, 0.140, 0.389], atol=0.001)


def test_branches_agree_below_and_jump_at_the_branch(float64):
    below = jnp.linspace(0.12, BRANCH - 1e-9, 50)
    both, blue = (attenuation_curve(below, 0.2, curve) for curve in CURVES)
    np.testing.assert_array_equal(both, blue)
    jump = attenuation_curve(BRANCH, 0.0) / attenuation_curve(BRANCH - 1e-9, 0.0)
    assert jump == pytest.approx(1.007, abs=0.001)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("curve", CURVES)
def test_gradient_in_slope(float64, curve, norm):
    wavelength = jnp.array([[0.2, 0.4754], [0.63, 2.0]])

    def total(slope):
        return jnp.sum(attenuation_curve(wavelength, slope, curve, norm) * wavelength)

    step = 1e-5
    for slope in (-0.8, 0.0, 0.5):
        numeric = (total(slope + step) - total(slope - step)) / (2 * step)
        assert jax.grad(total)(slope) == pytest.approx(float(numeric), rel=1e-8)


@pytest.mark.parametrize("curve", CURVES)
def test_never_negative(curve):
    k = attenuation_curve(jnp.geomspace(0.01, 100, 400), 0.3, curve)
    assert jnp.all(jnp.isfinite(k)) and jnp.all(k >= 0)
    assert attenuation_curve(5.0, 0.0, curve) == 0.0


def test_any_shape():
    for shape in ((), (3,), (2, 3, 4)):
        assert attenuation_curve(jnp.full(shape, 0.5), 0.1).shape == shape


def test_unknown_names_are_refused():
    with pytest.raises(DustpostError, match="curve='cardelli'.*calzetti-noll"):
        attenuation_curve(0.5, 0.0, "cardelli")
    with pytest.raises(DustpostError, match="norm='unit'.*lambda0"):
        attenuation_curve(0.5, 0.0, "paper", "unit")


@pytest.mark.parametrize("redshift", [0.0, 0.04, 0.3])
@pytest.mark.parametrize("name", ["hsc2017-r", "lsst2023-g", "Euclid-VIS", "decam2014-z"])
def test_filter_average_against_dense_integration(float64, name, redshift):
    """16 nodes are good to 1e-8, also where 0.63 micron lies inside the filter."""
    wavelength, weight = filter_nodes([name], [np.nan], redshift)
    points, mass = photon_measure(*throughput(name), split=BRANCH * (1 + redshift))
    for slope in (-1.0, 0.0, 0.6):
        k = band_attenuation(wavelength, weight, slope)
        dense = np.average(attenuation_curve(points / (1 + redshift), slope), weights=mass)
        assert k.shape == (1,)
        assert float(k[0]) == pytest.approx(dense, rel=1e-8)
