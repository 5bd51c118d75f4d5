"""What is read off a galaxy: its screen, mean attenuation and covering fraction."""

import jax
import jax.numpy as jnp
import numpy as np

from dustpost import coordinates
from dustpost.samplers import flux, gibbs
from dustpost.samplers.scalars import scalars_of
from tests import gaussian_world as world


def test_log_screen_moves_along_the_orbit():
    host = jax.nn.softmax(jax.random.normal(jax.random.key(0), (64,))).reshape(8, 8)
    transmission = jax.random.uniform(jax.random.key(1), (8, 8), minval=0.3, maxval=0.9)
    before, after = (coordinates.log_screen(host, c * transmission) for c in (1.0, 0.8))
    np.testing.assert_allclose(after - before, np.log(0.8), rtol=1e-5)
    mean = coordinates.mean_attenuation(host, transmission, 1.0)
    np.testing.assert_allclose(mean, -2.5 / np.log(10) * before, rtol=1e-5)


def test_covering_fraction_counts_light_behind_dust():
    host = jnp.array([[0.5, 0.3], [0.2, 0.0]])
    transmission = 10 ** (-0.4 * jnp.array([[0.0, 0.06], [0.2, 5.0]]))
    for threshold, expected in ((0.05, 0.5), (0.1, 0.2), (0.3, 0.0)):
        found = coordinates.covering_fraction(host, transmission, 1.0, threshold)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_hosts_have_unit_sum_and_no_negative_light():
    clean = 3 * jax.random.normal(jax.random.key(0), (8, 8))
    host = coordinates.host_from_clean(clean)
    np.testing.assert_allclose(host.sum(), 1.0, rtol=1e-5)
    assert host.min() == 0.0


def test_draws_use_the_threshold_of_the_target():
    target = world.target()
    position, value = world.draw_prior(jax.random.key(0), target)
    galaxy = target.galaxy(position)
    threshold = float(jnp.median(coordinates.attenuation(galaxy.transmission, 1.0)))
    state = gibbs.State(position, galaxy, flux.Flux(value, jnp.zeros(())))
    target = target.replace(covering_threshold=threshold)
    scalars = scalars_of(jax.random.key(1), state, galaxy.transmission, target)
    expected = coordinates.covering_fraction(galaxy.host, galaxy.transmission, 1.0, threshold)
    np.testing.assert_allclose(scalars.covering_fraction, expected, rtol=1e-5)
    assert 0.1 < expected < 0.9
