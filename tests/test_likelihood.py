"""The likelihood against plain numpy, masks and float32 at high S/N included."""

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.likelihood import fit_flux, inflate_noise, log_likelihood
from tests.test_forward import observation


def test_against_numpy(float64):
    seen = observation()
    templates = jax.random.uniform(jax.random.key(0), seen.data.shape)
    flux = jnp.array([1.0, 2.0, 3.0])
    use = np.asarray(seen.ivar) > 0
    residual = np.asarray(seen.data - flux[:, None, None] * templates)[use]
    ivar = np.asarray(seen.ivar)[use]
    expected = np.sum(-0.5 * residual**2 * ivar + 0.5 * np.log(ivar / (2 * np.pi)))
    np.testing.assert_allclose(log_likelihood(seen, templates, flux), expected, rtol=1e-12)


def test_fit_is_the_parabola_in_flux(float64):
    seen = observation()
    templates = jax.random.uniform(jax.random.key(0), seen.data.shape)
    fit = fit_flux(seen, templates)
    for flux in jnp.array([[1.0, 2.0, 3.0], [-1.0, 0.0, 0.5]]):
        parabola = fit.log_peak - 0.5 * jnp.sum(fit.precision * (flux - fit.estimate) ** 2)
        np.testing.assert_allclose(log_likelihood(seen, templates, flux), parabola, rtol=1e-11)


def test_masked_pixels_do_not_matter():
    seen = observation()
    templates = jax.random.uniform(jax.random.key(0), seen.data.shape)
    wild = seen._replace(data=jnp.where(seen.ivar > 0, seen.data, 1e6))
    before, after = fit_flux(seen, templates), fit_flux(wild, templates)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradient_of_the_peak(float64):
    """The best flux is held in the gradient; chi2 is stationary there, so nothing is lost."""
    seen = observation()
    templates = jax.random.uniform(jax.random.key(0), seen.data.shape)
    direction = jax.random.normal(jax.random.key(1), seen.data.shape)
    peak = lambda step: fit_flux(seen, templates + step * direction).log_peak  # noqa: E731
    numeric = (peak(1e-6) - peak(-1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(peak)(0.0), numeric, rtol=1e-6)


def test_float32_at_high_signal():
    """At S/N 500 a pixel, ln L changes by 0.02 nat at most through float32."""
    rng = np.random.default_rng(3)
    peaks = {}
    clean = 500 * np.exp(-np.hypot(*(np.mgrid[:64, :64] - 31.5)) / 12)[None]
    data = clean + rng.normal(size=clean.shape)
    for lane in ("float32", "float64"):
        with jax.enable_x64(lane == "float64"):
            seen = observation(size=64, dtype=lane)._replace(
                data=jnp.asarray(data, lane), ivar=jnp.ones_like(jnp.asarray(data, lane))
            )
            shapes = [clean * w / clean.sum() for w in (1.0, 1.0 + 1e-3 * np.cos(clean))]
            fits = [float(fit_flux(seen, jnp.asarray(s, lane)).log_peak) for s in shapes]
            peaks[lane] = fits[1] - fits[0]
    assert abs(peaks["float32"] - peaks["float64"]) < 0.02


def test_inflation_divides_the_weight():
    seen = observation()
    np.testing.assert_allclose(inflate_noise(seen, 2.0).ivar, seen.ivar / 4)
