"""The forward model: PSF convolution, gradients, and the invariance along the orbit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import fftconvolve

from dustpost.attenuation import band_attenuation
from dustpost.forward import convolve, templates
from dustpost.observation import Observation


def observation(size=24, side=7, dtype=None) -> Observation:
    rng = np.random.default_rng(0)
    psf = rng.gamma(1.0, 1.0, (3, side, side))
    psf /= psf.sum(axis=(1, 2), keepdims=True)
    waves = np.array([[0.46, 0.49], [0.6, 0.64], [0.86, 0.92]])
    ivar = rng.gamma(3.0, 1.0, (3, size, size)) * (rng.random((3, size, size)) > 0.1)
    data = rng.normal(size=(3, size, size)) * (ivar > 0)
    parts = (data, ivar, psf, waves, np.full_like(waves, 0.5))
    return Observation(*(jnp.asarray(p, dtype) for p in parts))


def galaxy(size=24, dtype=None):
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    host = np.exp(-np.hypot(y, 1.7 * x) / 3)
    transmission = 1 - 0.6 * np.exp(-(y**2 + (x - 2) ** 2) / 12)
    return jnp.asarray(host / host.sum(), dtype), jnp.asarray(transmission, dtype)


def test_convolution_against_scipy(float64):
    seen = observation()
    images = jax.random.uniform(jax.random.key(0), (3, 24, 24))
    found = convolve(images, seen.psf)
    for image, psf, ours in zip(images, seen.psf, found, strict=True):
        padded = np.pad(image, 3, mode="edge")
        np.testing.assert_allclose(ours, fftconvolve(padded, psf, mode="valid"), atol=1e-12)


def test_convolution_keeps_constants_and_flux():
    seen = observation()
    flat = jnp.full((3, 24, 24), 2.0)
    np.testing.assert_allclose(convolve(flat, seen.psf), flat, rtol=1e-5)
    source = jnp.zeros((3, 24, 24)).at[:, 9:14, 8:15].set(1.0)
    np.testing.assert_allclose(convolve(source, seen.psf).sum((1, 2)), 35.0, rtol=1e-5)


def test_no_psf_is_a_single_pixel():
    images = jax.random.uniform(jax.random.key(0), (3, 24, 24))
    np.testing.assert_array_equal(convolve(images, jnp.ones((3, 1, 1))), images)


def test_gradients_against_finite_differences(float64):
    seen = observation()
    host, transmission = galaxy()
    weight = jax.random.normal(jax.random.key(1), (3, 24, 24))

    def loss(host, transmission, slope):
        return jnp.sum(weight * templates(seen, host, transmission, slope))

    at = (host, transmission, jnp.asarray(0.2))
    gradient = jax.grad(loss, argnums=(0, 1, 2))(*at)
    for i, key in enumerate(jax.random.split(jax.random.key(2), 3)):
        direction = jax.random.normal(key, at[i].shape)
        step = 1e-6
        ahead, behind = (
            loss(*(x + s * step * direction if j == i else x for j, x in enumerate(at)))
            for s in (1, -1)
        )
        slope = jnp.sum(gradient[i] * direction)
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("norm", ["lambda0", "paper"])
@pytest.mark.parametrize("lane", ["float32", "float64"])
def test_orbit_leaves_the_model_unchanged(lane, norm):
    """D -> c D, F_i -> F_i c^-k_i: to 1e-12 in float64, 1e-5 in float32, PSF included."""
    with jax.enable_x64(lane == "float64"):
        seen = observation(dtype=lane)
        host, transmission = galaxy(dtype=lane)
        slope = jnp.asarray(0.3, lane)
        k = band_attenuation(seen.wavelength, seen.weight, slope, norm=norm)
        before = templates(seen, host, transmission, slope, norm=norm)
        after = templates(seen, host, 0.7 * transmission, slope, norm=norm)
        after = after * jnp.asarray(0.7, lane) ** -k[:, None, None]
        worst = float(jnp.max(jnp.abs(after - before)) / jnp.max(before))
    assert worst < (1e-12 if lane == "float64" else 1e-5)


def test_deep_dust_is_greyer(float64):
    """A_i = k_i A^(1 + b ln(l_i / l0)): of 1 mag the curve is the slope's own, of more flatter."""
    seen = observation()._replace(psf=jnp.ones((3, 1, 1)))
    host, flattening, slope = jnp.full((24, 24), 24.0**-2), 0.3, jnp.asarray(-0.2)
    depth = jnp.linspace(0.01, 4.0, 24 * 24).reshape(24, 24)
    transmission = 10 ** (-0.4 * depth)
    bent = templates(seen, host, transmission, slope, flattening=flattening)
    k = np.asarray(band_attenuation(seen.wavelength, seen.weight, slope))[:, None, None]
    wave = np.log(np.asarray(seen.wavelength) / 0.4754).mean(axis=1)[:, None, None]
    found = -2.5 * np.log10(np.asarray(bent) / host[None])
    np.testing.assert_allclose(found, k * np.asarray(depth) ** (1 + flattening * wave), rtol=1e-10)
    # where there is no dust the model has the derivative of thin dust, not of 0^x
    clear = jnp.ones((24, 24))
    total = lambda t: jnp.sum(templates(seen, host, t, slope, flattening=flattening))  # noqa: E731
    assert np.all(np.isfinite(jax.grad(total)(clear)))
    straight = templates(seen, host, clear, slope)
    np.testing.assert_array_equal(templates(seen, host, clear, slope, flattening=0.3), straight)
