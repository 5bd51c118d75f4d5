"""The colour field's light in the host's fluxes, against galaxies that are redder in the middle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.colour import TILT, add_colour_field
from dustpost.field_light import whole_flux
from tests import gaussian_world as world
from tests.test_forward import observation

SIZE = 32
DRAWS = 400


@pytest.fixture
def truth():
    """S, D, and dust-free light of every band: a bulge redder than its disc, a one-sided lane."""
    y, x = np.mgrid[:SIZE, :SIZE]
    radius = np.hypot(y - 15.0, 0.6 * (x - 16.0))
    disc, bulge = np.exp(-radius / 4.0), 3.0 * np.exp(-0.5 * (radius / 2.0) ** 2)
    light = np.array([[1.0, 0.75], [1.0, 1.0], [1.0, 1.25]]) @ np.stack([disc, bulge]).reshape(
        2, -1
    )
    light = 1e3 * light.reshape(3, SIZE, SIZE) / light.sum(axis=1).mean()
    lane = 0.5 * np.exp(-0.5 * ((y - 10.0) / 3.0) ** 2)
    host = light.mean(axis=0) / light.mean(axis=0).sum()
    return jnp.asarray(host), jnp.asarray(np.exp(-lane)), light


def seen_as(truth, slope=0.1):
    """The target of the galaxy, observed nearly without noise, and the galaxy that it is."""
    host, transmission, light = truth
    target = world.target()
    seen = observation(size=SIZE)
    seen = seen._replace(ivar=jnp.ones_like(seen.ivar))
    bare = target.replace(observation=seen)
    dimmed = [
        bare.templates(jnp.asarray(one), transmission, slope)[i] for i, one in enumerate(light)
    ]
    noise = 0.01 * np.random.default_rng(0).normal(size=light.shape)
    seen = seen._replace(data=jnp.stack(dimmed) + noise, ivar=jnp.full(light.shape, 1e4))
    target = target.replace(observation=add_colour_field(seen, TILT, 0.1))
    return target, target.explicit(host, transmission, jnp.asarray(slope))[1]


def test_the_flux_is_that_of_all_stars_and_not_of_the_template(float64, truth):
    target, galaxy = seen_as(truth)
    known = truth[2].sum(axis=(1, 2))
    keys = jax.random.split(jax.random.key(0), DRAWS)
    drawn = jax.vmap(lambda key: whole_flux(key, target, galaxy, galaxy.estimate))(keys)
    before = np.asarray(galaxy.estimate) / known - 1
    after = np.asarray(drawn).mean(axis=0) / known - 1
    assert before[0] < -0.04 and before[2] > 0.03  # the bright middle is redder than the whole
    assert np.all(np.abs(after) < 0.006)
    assert np.all(np.abs(after[[0, 2]]) < 0.1 * np.abs(before[[0, 2]]))
    assert np.all(drawn.std(axis=0) < 0.01 * known) and np.all(drawn.std(axis=0) > 0)


def test_without_a_field_the_flux_is_the_templates(truth):
    target, galaxy = seen_as(truth)
    plain = target.replace(observation=target.observation._replace(colour=None))
    found = whole_flux(jax.random.key(0), plain, galaxy, galaxy.estimate)
    np.testing.assert_array_equal(found, galaxy.estimate)
