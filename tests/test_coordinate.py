"""The dust's coordinates: there and back, exact where there is no dust, smooth everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.networks.coordinate import COORDINATES, LOWEST, coordinate

NAMES = pytest.mark.parametrize("name", COORDINATES)


@NAMES
def test_there_and_back(name):
    axis = coordinate(name)
    transmission = jnp.concatenate([jnp.geomspace(LOWEST, 1.0, 200), 1 - jnp.geomspace(1e-5, 0.1)])
    np.testing.assert_allclose(axis.decode(axis.encode(transmission)), transmission, rtol=3e-6)
    assert axis.low <= axis.encode(transmission).min()
    assert axis.encode(transmission).max() <= axis.high * (1 + 1e-6)


@NAMES
def test_no_dust_is_exact_and_the_range_is_kept(name):
    axis = coordinate(name)
    assert float(axis.encode(jnp.ones(()))) == axis.clear
    assert float(axis.decode(jnp.asarray(axis.clear))) == 1.0
    wild = axis.decode(jnp.linspace(-1e3, 1e3, 101))
    assert wild.min() > 0 and wild.max() <= 1
    assert jnp.isfinite(axis.encode(jnp.array([0.0, -1.0, 2.0]))).all()


@NAMES
def test_slopes_are_finite_and_those_of_the_inverse(name):
    axis = coordinate(name)
    transmission = jnp.geomspace(2 * LOWEST, 1.0, 50)
    encode = jax.vmap(jax.grad(axis.encode))(transmission)
    decode = jax.vmap(jax.grad(axis.decode))(axis.encode(transmission))
    np.testing.assert_allclose(encode * decode, 1.0, rtol=1e-3)
    outside = jnp.array([axis.low - 1.0, axis.high + 1.0])
    np.testing.assert_array_equal(jax.vmap(jax.grad(axis.decode))(outside), 0.0)
    assert jnp.isfinite(jax.vmap(jax.grad(axis.encode))(jnp.array([0.0, 1e-9, 1.0, 1.5]))).all()


def test_values_by_hand():
    """A = 1 mag."""
    transmission = jnp.asarray(10**-0.4)
    assert float(coordinate("transmission").encode(transmission)) == pytest.approx(
        0.39811, rel=1e-4
    )
    assert float(coordinate("optical_depth").encode(transmission)) == pytest.approx(
        0.92103, rel=1e-4
    )
    found = float(coordinate("log_attenuation").encode(transmission))
    assert found == pytest.approx(np.log(11.0), rel=1e-4)


@NAMES
def test_lowest_noise_is_faint_in_every_pixel(name):
    """At sigma_low D moves by no more than 0.0025, and somewhere by half of that at least."""
    axis = coordinate(name)
    value = axis.encode(jnp.geomspace(LOWEST, 1.0, 500))
    most = axis.sigma_low * jnp.abs(jax.vmap(jax.grad(axis.decode))(value)).max()
    assert 0.00125 < most <= 0.00251


def test_unknown_coordinate():
    with pytest.raises(DustpostError, match="magnitude: choose one of transmission"):
        coordinate("magnitude")
