"""The host's colour field: its functions, its covariance against numpy, its invariances."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from dustpost import colour
from dustpost.assemble import build_target
from dustpost.colour import add_colour_field
from dustpost.colour_covariance import (
    draw_field,
    expected_field,
    free_colour,
    hidden_by_colour,
    weighted,
    with_colour,
)
from dustpost.io.read import to_observation
from dustpost.likelihood import expected_cube, fit_flux, log_likelihood, temper
from dustpost.settings import Settings
from tests.synthetic import make_cutout
from tests.test_forward import observation

TILT = 0.2
SCALES, EXPECTED = (1.0, 3.0), (1.5, -0.5)


@pytest.fixture
def galaxy():
    """An elongated exponential disc in three bands, off the middle, without noise."""
    y, x = np.mgrid[:32, :32]
    radius = np.hypot(y - 14.0, 0.6 * (x - 17.0))
    disc = np.exp(-radius / 3.0)[None] * np.array([1.0, 2.0, 4.0])[:, None, None]
    seen = observation(size=32)
    return seen._replace(
        data=jnp.asarray(disc, float),
        ivar=jnp.full(disc.shape, 1e6),
        psf=jnp.ones((3, 1, 1)),
    )


@pytest.fixture
def small():
    """Noise, a mask and random templates, with a random colour field, weak or strong."""
    seen = observation()
    behind = with_colour(seen, *field_of(seen), SCALES, EXPECTED)
    return behind, jax.random.uniform(jax.random.key(0), seen.data.shape)


def field_of(seen):
    """Two random functions and a random light."""
    functions = jax.random.normal(jax.random.key(5), (2, *seen.data.shape[1:]))
    return functions, 1.0 + jax.random.uniform(jax.random.key(6), seen.data.shape)


def templates_of(seen):
    """T, band by band without the light's own part."""
    functions, light = (np.asarray(part, float) for part in field_of(seen))
    weight = light**2 * np.asarray(seen.ivar)
    mean = np.einsum("kyx,byx->kb", functions, weight) / weight.sum(axis=(1, 2))
    return light * (functions[:, None] - mean[:, :, None, None])


def hold_against_dense(seen, templates, flux, means, covariances):
    """Everything that the field does, against its means and covariances; ln L of each scale."""
    use = np.asarray(seen.ivar) > 0
    model = (np.asarray(flux)[:, None, None] * np.asarray(templates))[use]
    each = [
        multivariate_normal(model + mean, c).logpdf(seen.data[use])
        for mean, c in zip(means, covariances, strict=True)
    ]
    expected = logsumexp(each) - np.log(len(each))
    np.testing.assert_allclose(log_likelihood(seen, templates, flux), expected, rtol=1e-10)

    fit = fit_flux(seen, templates)
    parabola = fit.log_peak - 0.5 * jnp.sum(fit.precision * (flux - fit.estimate) ** 2)
    np.testing.assert_allclose(parabola, expected, rtol=1e-10)

    change = jax.random.normal(jax.random.key(2), seen.data.shape)
    hidden = jnp.sum(hidden_by_colour(seen, templates)(change) ** 2)
    changed, covariance = np.asarray(change)[use], np.mean(covariances, axis=0)
    known = changed @ np.linalg.solve(covariance, changed)
    np.testing.assert_allclose(jnp.sum(change**2 * seen.ivar) - hidden, known, rtol=1e-10)
    dense = np.linalg.solve(covariance, changed)
    np.testing.assert_allclose(weighted(seen, templates, change)[use], dense, rtol=1e-8, atol=1e-9)
    return each


def hold_powers(one, templates):
    """ln L to a power changes with the fluxes as that power of L does."""
    changes = []
    for power in (1.0, 0.3):
        fits = [log_likelihood(temper(one, power), templates, f * jnp.ones(3)) for f in (1.0, 2.0)]
        changes.append((fits[1] - fits[0]) / power)
    np.testing.assert_allclose(*changes, rtol=1e-10)


def test_functions_are_orthonormal_under_the_light(galaxy):
    light = np.asarray(galaxy.data, float).mean(axis=0)
    functions = colour.functions(light)
    weight = np.where(light > colour.FAINT * light.max(), light, 0.0)
    weight /= weight.sum()
    inner = np.einsum("kyx,lyx,yx->kl", functions, functions, weight)
    np.testing.assert_allclose(inner, np.eye(len(functions)), atol=1e-8)
    np.testing.assert_allclose((functions * weight).sum(axis=(1, 2)), 0.0, atol=1e-8)
    assert np.abs(functions).max() < 30


def test_patches_are_even_over_the_light_and_forget_their_neighbours(galaxy):
    light = np.asarray(galaxy.data, float).mean(axis=0)
    found = colour.patches(light)
    assert found.shape == (colour.PATCHES**2, 32, 32)
    bright = light > colour.FAINT * light.max()
    total = (found**2).sum(axis=0)
    np.testing.assert_allclose(total[bright], 1.0, atol=0.15)
    along = (found * found[:, 14:15, 17:18]).sum(axis=0)[14, 17:]
    assert along[1] > 0.9 and 0.2 < along[5] < 0.6 and along[12] < 0.05


def test_the_field_has_the_tilt_asked_for(galaxy):
    """Summed over templates, mean square over light^2 is (g r)^2, in the mean over the scales.

    g^2 is the squared tilt asked for, and that of patches that goes with it.
    """
    field = add_colour_field(galaxy, TILT).colour
    light = np.asarray(galaxy.data, float)
    weight = np.where(light > colour.FAINT * light.max(axis=(1, 2), keepdims=True), light, 0.0)
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    redder, mean = np.asarray(field.light) / light, np.asarray(field.mean)
    share = redder * (np.asarray(field.functions)[:, None] - mean[:, :, None, None])
    rms = np.sqrt((weight[None] * share**2).sum(axis=(0, 2, 3)))
    centre = np.tensordot(np.asarray(field.expected), share, 1)
    rms = np.hypot(rms, np.sqrt((weight * centre**2).sum(axis=(1, 2))))
    wavelength = np.asarray((galaxy.wavelength * galaxy.weight).sum(axis=1))
    both = TILT * np.hypot(1.0, colour.PATCH / colour.TILT)
    np.testing.assert_allclose(rms, both * np.abs(colour.reddening(wavelength)), rtol=0.1)
    np.testing.assert_allclose(np.mean(np.square(field.scales)), 1.0, rtol=1e-6)


def test_the_field_expects_a_redder_middle(galaxy):
    """Bands are brighter in the middle than the mean tells, the more so the redder they are."""
    field = add_colour_field(galaxy, colour.TILT).colour
    light = np.asarray(galaxy.data, float)
    tilt = np.tensordot(np.asarray(field.expected), np.asarray(field.functions), 1)
    redder = tilt * np.asarray(field.light) / light
    middle, edge = redder[:, 14, 17], redder[:, 14, 28]
    assert np.all(np.diff(middle - edge) > 0)
    weight = light.mean(axis=0) / light.mean(axis=0).sum()
    off = tilt - (weight * tilt).sum()
    assert np.sqrt((weight * off**2).sum()) == pytest.approx(-colour.CENTRE, rel=0.1)


def test_reddening_has_unit_slope_and_no_mean():
    for wavelength in ([0.4754, 0.62, 0.77, 0.89, 0.98], [0.3, 0.9], [0.48, 0.64, 0.9, 2.1]):
        log_wave = np.log(wavelength) - np.log(wavelength).mean()
        found = colour.reddening(np.array(wavelength))
        np.testing.assert_allclose(found.mean(), 0.0, atol=1e-12)
        np.testing.assert_allclose(found @ log_wave, log_wave @ log_wave, rtol=1e-10)
    np.testing.assert_array_equal(colour.reddening(np.array([0.62, 0.62])), [0.0, 0.0])
    assert np.isfinite(colour.reddening(np.array([2.2, 3.0]))).all()


def test_likelihood_against_numpy(float64, small):
    """The mean of normal densities with dense covariances, band by band off the model."""
    seen, templates = small
    flux = jnp.array([1.0, 2.0, 3.0])
    use = np.asarray(seen.ivar) > 0
    weight, unit = np.asarray(seen.ivar), np.asarray(templates)
    precision = (unit**2 * weight).sum(axis=(1, 2))
    field, expected = templates_of(seen), np.array(EXPECTED)
    share = (field * unit * weight).sum(axis=(2, 3)) / precision
    free = (field - share[:, :, None, None] * unit)[:, use]
    found = np.asarray(free_colour(seen, templates))[:, use]
    np.testing.assert_allclose(found.T @ found, free.T @ free, atol=1e-10)
    scales = np.array(SCALES) / np.sqrt(np.mean(np.square(SCALES)))
    covariances = [np.diag(1 / weight[use]) + scale**2 * free.T @ free for scale in scales]
    means = [scale * expected @ free for scale in scales]
    assert np.ptp(hold_against_dense(seen, templates, flux, means, covariances)) > 0.1


def test_the_expected_cube_takes_up_a_colour_field(float64, small):
    """Of data made with strong templates and little noise; off F it is F m + E[U c | Y]."""
    seen, templates = small
    unit, flux = np.asarray(templates), jnp.array([1.0, 2.0, 3.0])
    quiet = seen._replace(ivar=1e6 * (seen.ivar > 0))
    functions, light = field_of(seen)
    strong = with_colour(quiet, 30.0 * functions, light, SCALES, EXPECTED)
    free = np.asarray(free_colour(strong, templates))
    made = jnp.asarray(np.asarray(flux)[:, None, None] * unit + free[0] - 0.5 * free[1])
    use = np.asarray(seen.ivar) > 0
    found = expected_cube(strong._replace(data=jnp.where(use, made, 0.0)), templates, flux)
    np.testing.assert_allclose(np.asarray(found)[use], np.asarray(made)[use], atol=1e-3)
    plain = expected_cube(seen._replace(colour=None), templates, flux)
    np.testing.assert_allclose(plain, flux[:, None, None] * templates, rtol=1e-12)


def test_drawn_fields_have_the_mean_and_the_covariance_of_the_dense_normals(float64, small):
    """c U y of both scales, weighed by their evidence; along some random directions."""
    seen, templates = small
    use = np.asarray(seen.ivar) > 0
    free = np.asarray(free_colour(seen, templates))[:, use]
    noise, data = np.diag(1 / np.asarray(seen.ivar)[use]), np.asarray(seen.data)[use]
    # F at its best: U does not know of F
    fit = fit_flux(seen, templates)
    rest = data - np.asarray(fit.estimate[:, None, None] * templates)[use]
    log_weights, means, spreads = [], [], []
    for scale in np.asarray(seen.colour.scales):
        expected = scale * np.asarray(seen.colour.expected) @ free
        field = scale**2 * free.T @ free
        gain = field @ np.linalg.inv(noise + field)
        log_weights.append(multivariate_normal(expected, noise + field).logpdf(rest))
        means.append(expected + gain @ (rest - expected))
        spreads.append(field - gain @ field)
    weights = np.exp(log_weights - logsumexp(log_weights))
    mean = weights @ np.array(means)
    square = sum(
        w * (s + np.outer(m - mean, m - mean))
        for w, s, m in zip(weights, spreads, means, strict=True)
    )
    assert 0.05 < weights[0] < 0.95
    keys = jax.random.split(jax.random.key(3), 20_000)
    drawn = jax.jit(jax.vmap(lambda key: draw_field(key, seen, templates)))(keys)
    assert not np.any(np.asarray(drawn)[:, ~use])
    directions = np.random.default_rng(4).normal(size=(len(data), 4))
    found = np.asarray(drawn)[:, use] @ directions
    sd = np.sqrt(np.diag(directions.T @ square @ directions))
    away = (found - mean @ directions) / sd
    np.testing.assert_allclose(away.mean(axis=0), 0.0, atol=4 / len(keys) ** 0.5)
    known = directions.T @ square @ directions / np.outer(sd, sd)
    np.testing.assert_allclose(away.T @ away / len(keys), known, atol=6 / len(keys) ** 0.5)
    np.testing.assert_allclose(expected_field(seen, templates)[use], mean, rtol=1e-6, atol=1e-10)


def test_float32_survives_light_of_high_signal_to_noise(float64, galaxy):
    """S/N 3000 a pixel at the peak, and a model half of a percent or half of itself off."""
    noise = np.random.default_rng(0).normal(size=(2, *galaxy.data.shape))
    seen = galaxy._replace(data=galaxy.data + 1e-3 * noise[0])
    peaks, gradients = [], []
    for dtype in (np.float32, np.float64):
        wide = add_colour_field(jax.tree.map(lambda a, to=dtype: jnp.asarray(a, to), seen), TILT)
        unit = jnp.asarray(galaxy.data / galaxy.data.sum(axis=(1, 2), keepdims=True), dtype)
        for off in (0.005, 0.5):
            model = unit * jnp.exp(off * jnp.asarray(noise[1], dtype))
            peak, gradient = jax.value_and_grad(lambda m, o=wide: fit_flux(o, m).log_peak)(model)
            peaks.append(peak)
            gradients.append(gradient)
    assert gradients[0].dtype == np.float32
    np.testing.assert_allclose(peaks[:2], peaks[2:], rtol=1e-5)
    for single, double in zip(gradients[:2], gradients[2:], strict=True):
        assert np.linalg.norm(single - double) < 1e-4 * np.linalg.norm(double)


def test_gradient_of_the_peak(float64, small):
    seen, templates = small
    direction = jax.random.normal(jax.random.key(1), seen.data.shape)
    peak = lambda step: fit_flux(seen, templates + step * direction).log_peak  # noqa: E731
    numeric = (peak(1e-6) - peak(-1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(peak)(0.0), numeric, rtol=1e-6)


def test_a_fainter_model_at_more_flux_is_the_same_model(float64, small):
    """The orbit's invariance: (F, m) -> (F/c, c m) band by band."""
    seen, templates = small
    flux, factor = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, 0.7, 0.9])
    before = log_likelihood(seen, templates, flux)
    after = log_likelihood(seen, templates * factor[:, None, None], flux / factor)
    np.testing.assert_allclose(after, before, rtol=1e-12)


def test_a_power_of_the_likelihood(float64, small):
    seen, templates = small
    hold_powers(with_colour(seen, *field_of(seen), expected=EXPECTED), templates)


def test_a_redder_middle_and_clumps_are_forgiven_and_a_stripe_is_not(galaxy):
    """A gradient costs the nats of its prior; what is finer than patches its full chi2."""
    y, x = np.mgrid[:32, :32]
    radius = np.hypot(y - 14.0, 0.6 * (x - 17.0)) / 4.0
    log_wave = np.log(np.asarray((galaxy.wavelength * galaxy.weight).sum(axis=1)))
    reddening = (log_wave - log_wave.mean())[:, None, None]
    unit = galaxy.data / galaxy.data.sum(axis=(1, 2), keepdims=True)
    lost = {}
    # off the peak, where a pixel weighs about as much as its neighbours
    stripe = (-1.0) ** y * (radius > 1)
    clumps = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 8.0) for a, b in ((14, 12), (18, 21)))
    fields = {"gradient": -np.log(radius + 0.15), "clumps": 2 * clumps, "stripe": stripe}
    for name, field in fields.items():
        field = 0.1 * field * np.exp(-((radius / 3) ** 8))
        reddened = galaxy._replace(data=galaxy.data * (1 + field * reddening))
        wide = add_colour_field(reddened, TILT)
        lost[name] = [
            float(fit_flux(seen, jnp.asarray(reddened.data / reddened.data.sum())).log_peak)
            - float(fit_flux(seen, unit).log_peak)
            for seen in (reddened, wide)
        ]
    assert lost["gradient"][1] < 0.05 * lost["gradient"][0]
    assert lost["clumps"][1] < 0.05 * lost["clumps"][0]
    assert lost["stripe"][1] > 0.8 * lost["stripe"][0]


def test_no_field_in_one_band_nor_without_tilt(galaxy):
    assert add_colour_field(galaxy, 0.0).colour is None
    one = galaxy._replace(**{name: getattr(galaxy, name)[:1] for name in galaxy._fields[:5]})
    assert add_colour_field(one, TILT).colour is None


def test_an_empty_cutout_has_an_empty_field(galaxy):
    dark = galaxy._replace(data=jnp.zeros_like(galaxy.data))
    assert not np.any(add_colour_field(dark, TILT).colour.light)


def test_the_setting_reaches_the_target():
    cutout = make_cutout(64, wcs=False)
    settings = Settings(colour_field=TILT, model_error=0.0, host_prior="sim")
    found = build_target(cutout, settings).observation
    expected = add_colour_field(to_observation(cutout), TILT, settings.colour_along_dust).colour
    jax.tree.map(np.testing.assert_array_equal, found.colour, expected)
    assert build_target(cutout, replace(settings, colour_field=0.0)).observation.colour is None
