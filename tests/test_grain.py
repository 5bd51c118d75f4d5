"""The factor for the grain of hosts: galaxies, noise, and where it enters the target."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest

from dustpost.assemble import build_target
from dustpost.mock import cutout_of, draw_view
from dustpost.model import model
from dustpost.priors import grain
from dustpost.settings import Settings
from dustpost.simulate.survey import get_survey
from tests import gaussian_world as world

GALAXIES = 16


@pytest.fixture(scope="module")
def disc():
    """An exponential disc with two arms on a blank sky."""
    y, x = np.mgrid[-32:32, -32:32] / 6.0
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    image = np.exp(-radius) * (1 + 0.3 * np.cos(2 * angle - 2 * radius))
    return jnp.asarray(np.where(radius < 4, image, 0.0), jnp.float32)


def test_it_does_not_depend_on_the_scale(disc):
    factor = jax.jit(grain.log_factor)
    assert factor(1e-4 * disc) == pytest.approx(float(factor(disc)), rel=1e-4)


def test_the_more_grain_the_less(disc):
    noise = jax.random.normal(jax.random.key(0), disc.shape)
    sizes = (0.0, 0.03, 0.1, 0.3)
    found = [float(grain.log_factor(disc * jnp.exp(size * noise))) for size in sizes]
    assert (np.diff(found) < -50).all()


def test_galaxies_have_it_about_zero():
    """Far nearer to zero than to what the same hosts with noise have."""
    bands, found, noisy = get_survey("hsc-wide").bands, [], []
    for number in range(GALAXIES):
        key, structure = draw_view(11, number, 0)
        host = np.clip(cutout_of(key, structure, bands).truth.host, 0.0, None)
        noise = np.random.default_rng(number).normal(size=host.shape)
        for kept, image in ((found, host), (noisy, host * np.exp(0.3 * noise))):
            kept.append(float(grain.log_factor(jnp.asarray(image, jnp.float32))))
    error = np.std(found, ddof=1) / GALAXIES**0.5
    assert abs(np.mean(found)) < 3 * error < 300
    assert np.mean(noisy) < np.mean(found) - 300


def test_its_slope_is_finite_on_blank_sky(disc):
    value, slope = jax.jit(jax.value_and_grad(grain.log_factor))(disc)
    assert jnp.isfinite(value) and jnp.isfinite(slope).all()


def test_the_target_and_the_numpyro_model_have_it():
    target, position = world.observed(jax.random.key(0), world.full_target())
    weighed = target.replace(grain=0.7)
    galaxy = target.galaxy(position)
    expected = 0.7 * float(grain.log_factor(galaxy.host))
    assert abs(expected) > 1e-3
    place = galaxy.host, galaxy.transmission, position.slope
    change = weighed.explicit(*place)[0] - target.explicit(*place)[0]
    assert float(change) == pytest.approx(expected, rel=1e-3)
    values = dict(z=position.host, x=position.dust, slope=position.slope, F=galaxy.estimate)
    density = lambda one: numpyro.infer.util.log_density(model, (one,), {}, values)[0]  # noqa: E731
    assert float(density(weighed) - density(target)) == pytest.approx(expected, rel=1e-3)


def test_energies_have_it_and_scores_do_not():
    key, structure = draw_view(11, 0, 0)
    cutout = cutout_of(key, structure, get_survey("hsc-wide").bands)
    assert build_target(cutout, Settings(grain=1.0)).grain == 1.0
    scores = Settings(cross_term="cut", host_prior="sim", grain=1.0)
    assert build_target(cutout, scores).grain == 0.0
