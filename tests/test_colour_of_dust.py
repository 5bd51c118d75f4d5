"""A colour field that follows the dust: its pattern, and its covariance against numpy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from dustpost.assemble import build_target
from dustpost.colour_covariance import free_colour, with_colour
from dustpost.colour_of_dust import CLEAR, follow_dust
from dustpost.likelihood import expected_cube, fit_flux
from dustpost.settings import Settings
from tests.synthetic import make_cutout
from tests.test_colour import EXPECTED, SCALES, field_of, hold_against_dense, hold_powers
from tests.test_forward import observation

FOLLOWS = (10.0, -2.0, -6.0)  # the data are noise, so that F^ is small


@pytest.fixture
def images():
    """A host of unit sum and its dust."""
    y, x = np.mgrid[:24, :24]
    host = np.exp(-np.hypot(y - 11.0, x - 12.0) / 3.0)
    depth = 0.8 * np.exp(-((y - 10.0) ** 2 + (x - 14.0) ** 2) / 20.0)
    return jnp.asarray(host / host.sum(), float), jnp.asarray(10 ** (-0.4 * depth), float)


@pytest.fixture
def small(images):
    """Noise, a mask and random templates behind a field that follows the dust."""
    seen = observation(size=24)
    field = with_colour(seen, *field_of(seen), SCALES, EXPECTED, FOLLOWS)
    return follow_dust(field, *images), jax.random.uniform(jax.random.key(0), seen.data.shape)


def dense(seen, templates):
    """Templates with the one that follows the dust last, means and covariances of each scale."""
    use, weight, unit = np.asarray(seen.ivar) > 0, np.asarray(seen.ivar), np.asarray(templates)
    free = np.asarray(free_colour(seen, templates))
    precision = (unit**2 * weight).sum(axis=(1, 2))
    flux = (unit * weight * np.asarray(seen.data)).sum(axis=(1, 2)) / precision
    own = (np.array(FOLLOWS) * flux)[:, None, None] * unit * np.asarray(seen.colour.pattern)
    share = (own * unit * weight).sum(axis=(1, 2)) / precision
    own = np.where(use, own - share[:, None, None] * unit, 0.0)
    np.testing.assert_allclose(free[-1], own, atol=1e-10)
    scales = np.array(SCALES) / np.sqrt(np.mean(np.square(SCALES)))
    columns = [scale * free[:, use] for scale in scales]
    expected = np.append(np.asarray(seen.colour.expected), 0.0)
    noise = np.diag(1 / weight[use])
    return use, columns, [expected @ c for c in columns], [noise + c.T @ c for c in columns]


def test_the_pattern_has_unit_scatter_and_does_not_see_a_screen(float64, images):
    seen = observation(size=24)
    seen = with_colour(seen, *field_of(seen), follows=FOLLOWS)
    host, transmission = images
    pattern = follow_dust(seen._replace(psf=jnp.ones((3, 1, 1))), *images).colour.pattern
    weight = host * transmission / jnp.sum(host * transmission)
    assert jnp.sum(weight * pattern) == pytest.approx(0.0, abs=1e-10)
    depth = -2.5 * jnp.log10(transmission)
    variance = jnp.sum(weight * (depth - jnp.sum(weight * depth)) ** 2)
    found = jnp.sum(weight * pattern**2)
    assert found == pytest.approx(variance / (variance + CLEAR**2)) and found > 0.95
    assert jnp.corrcoef(pattern.ravel(), depth.ravel())[0, 1] == pytest.approx(1.0)
    blurred = follow_dust(seen, *images).colour.pattern
    assert 0.5 < jnp.max(blurred) / jnp.max(pattern) < 0.999
    screened = follow_dust(seen, host, 0.6 * transmission).colour.pattern
    np.testing.assert_allclose(screened, blurred, atol=1e-9)


def test_no_pattern_without_dust_and_a_finite_gradient(float64, images):
    seen = observation(size=24)
    seen = with_colour(seen, *field_of(seen), follows=FOLLOWS)
    host, clear = images[0], jnp.ones((24, 24))
    np.testing.assert_array_equal(follow_dust(seen, host, clear).colour.pattern, 0.0)
    total = lambda d: jnp.sum(follow_dust(seen, host, d).colour.pattern ** 2)  # noqa: E731
    assert np.isfinite(jax.grad(total)(clear)).all()
    plain = observation(size=24)
    assert follow_dust(plain, *images) is plain
    unaware = with_colour(plain, *field_of(plain))
    assert follow_dust(unaware, *images) is unaware


def test_likelihood_against_numpy(float64, small):
    """As `test_colour` has it without dust."""
    seen, templates = small
    _, _, means, covariances = dense(seen, templates)
    hold_against_dense(seen, templates, jnp.array([1.0, 2.0, 3.0]), means, covariances)
    without = seen._replace(colour=seen.colour._replace(pattern=None))
    peaks = [fit_flux(one, templates).log_peak for one in (seen, without)]
    assert abs(peaks[1] - peaks[0]) > 0.1


def test_the_expected_cube_against_numpy(float64, small):
    """E[U c | Y] in the mean over the scales, off F m."""
    seen, templates = small
    use, columns, means, covariances = dense(seen, templates)
    fit = fit_flux(seen, templates)
    model = np.asarray(fit.estimate[:, None, None] * templates)
    left = (np.asarray(seen.data) - model)[use]
    log = [multivariate_normal(m, c).logpdf(left) for m, c in zip(means, covariances, strict=True)]
    share = np.exp(log - logsumexp(log))
    fields = [
        mean + (u.T @ u) @ np.linalg.solve(c, left - mean)
        for u, mean, c in zip(columns, means, covariances, strict=True)
    ]
    found = np.asarray(expected_cube(seen, templates, fit.estimate))[use]
    np.testing.assert_allclose(found, model[use] + np.tensordot(share, fields, 1), atol=1e-9)


def test_a_power_of_the_likelihood(float64, images):
    seen = observation(size=24)
    templates = jax.random.uniform(jax.random.key(0), seen.data.shape)
    one = follow_dust(with_colour(seen, *field_of(seen), (1.0,), EXPECTED, FOLLOWS), *images)
    hold_powers(one, templates)


def test_the_setting_reaches_the_target():
    cutout = make_cutout(64, wcs=False)
    settings = Settings(host_prior="sim", colour_along_dust=0.15)
    spectrum = np.asarray(build_target(cutout, settings).observation.colour.follows)
    assert abs(spectrum.sum()) < 1e-6 and np.ptp(spectrum) > 0.01
    unaware = build_target(cutout, replace(settings, colour_along_dust=0.0))
    assert unaware.observation.colour.follows is None
