"""The factor that holds the peak of hosts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.coordinates import clean_from_image, host_from_clean, image_from_clean
from dustpost.networks.diffusion import Level, sigma_of
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


def test_drawn_latents_have_the_law_of_the_factor():
    """The peak with its noise, of a small and of a large galaxy."""
    level = Level(jnp.asarray(0.99), jnp.asarray(0.14))
    keys = jax.random.split(jax.random.key(2), 400)
    for clean in (galaxy(0.5), galaxy(3.0)):
        drawn = jax.vmap(lambda key, clean=clean: peak.perturb(key, clean, level))(keys)
        far = jnp.log(jax.vmap(peak.soft_peak)(drawn / level.scale) / peak.PEAK) / peak.WIDTH
        assert abs(far.mean()) < 0.2 and 0.85 < far.std() < 1.15


def test_a_flat_top_pays_more_for_its_peak_than_its_energy_saves():
    """Hosts 1.8 times as bright were within reach while the peak was held to a tenth."""
    prior, sigma = load_sim_prior(energy=True), sigma_of(jnp.asarray(0.02))
    level = prior.level(sigma)
    disc = peak.hold(galaxy(1.0))
    image = image_from_clean(disc)
    flat = clean_from_image(1.8 * peak.PEAK * image / (image**4 + 0.4**4) ** 0.25)
    noise = level.sigma * jax.random.normal(jax.random.key(3), (64, 64))
    at = lambda clean: prior.log_density(level.scale * clean + noise, sigma)  # noqa: E731
    assert at(disc) > at(flat) + 300
