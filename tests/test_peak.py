"""The factor that holds the peak of hosts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.coordinates import clean_from_image, host_from_clean, image_from_clean
from dustpost.networks.diffusion import sigma_of
from dustpost.priors import peak
from dustpost.priors.sim import load_sim_prior


def galaxy(height):
    """z0 of an exponential disc, (y, x), of some peak."""
    radius = np.hypot(*np.meshgrid(np.arange(64) - 32.0, np.arange(64) - 32.0))
    return clean_from_image(jnp.asarray(height * np.exp(-radius / 8), jnp.float32))


def test_soft_peak_is_near_the_peak():
    for height in (0.5, 1.0, 3.0):
        assert 1.0 < peak.soft_peak(galaxy(height)) / height < 1.35
    noisy = galaxy(1.0) + 0.14 * jax.random.normal(jax.random.key(0), (64, 64))
    assert peak.soft_peak(noisy) == pytest.approx(float(peak.soft_peak(galaxy(1.0))), rel=0.05)


def test_a_held_host_is_the_same_host():
    """Only its unit is another, and the factor is at its highest there."""
    dim = galaxy(0.5)
    held = peak.hold(dim)
    assert peak.soft_peak(held) == pytest.approx(peak.PEAK, rel=0.1)
    np.testing.assert_allclose(host_from_clean(held), host_from_clean(dim), rtol=1e-4, atol=1e-8)
    assert peak.log_factor(held) > -0.5 > -20 > peak.log_factor(dim)
    lower, higher = (
        peak.log_factor(clean_from_image(factor * image_from_clean(held))) for factor in (0.7, 1.4)
    )
    assert lower < -2 and higher < -2


def test_hosts_of_the_energy_are_drawn_with_it():
    prior, sigma = load_sim_prior(energy=True), sigma_of(jnp.asarray(0.02))
    keys = jax.random.split(jax.random.key(1), 2)
    drawn = jax.jit(lambda keys: jax.lax.map(lambda key: prior.sample(key, sigma), keys))(keys)
    scale = prior.level(sigma).scale
    found = [float(peak.soft_peak(z / scale)) for z in drawn]
    np.testing.assert_allclose(found, peak.PEAK, rtol=0.15)
