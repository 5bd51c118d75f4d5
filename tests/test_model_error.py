"""Error of the model as noise: its size, its edges, its effect on the likelihood."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from dustpost.assemble import build_target
from dustpost.io.read import to_observation
from dustpost.likelihood import fit_flux, inflate_noise
from dustpost.model_error import add_model_error, inflated
from dustpost.settings import Settings
from tests.synthetic import make_cutout

FLAT = np.full((2, 9, 9), 5.0)
PSF = np.ones((2, 3, 3)) / 9


def test_variances_add():
    ivar = np.full_like(FLAT, 4.0)
    found = inflated(FLAT, ivar, PSF, np.array([0.1, 0.0]))
    np.testing.assert_allclose(found[0], 1 / (1 / 4.0 + 0.5**2), rtol=1e-5)
    np.testing.assert_allclose(found[1], 4.0, rtol=1e-5)


def test_masked_pixels_stay_masked_and_cast_no_shadow():
    ivar, data = np.full_like(FLAT, 4.0), FLAT.copy()
    ivar[:, 4, 4], data[:, 4, 4] = 0.0, 0.0
    found = np.asarray(inflated(data, ivar, PSF, 0.1))
    assert (found[:, 4, 4] == 0).all()
    np.testing.assert_allclose(np.delete(found[0].ravel(), 40), 2.0, rtol=1e-5)


def test_negative_flux_has_no_error_and_no_psf_is_fine():
    found = inflated(-FLAT, np.full_like(FLAT, 4.0), np.ones((2, 1, 1)), 0.1)
    np.testing.assert_allclose(found, 4.0, rtol=1e-6)


def test_a_model_that_misses_a_tenth_is_forgiven():
    cutout = replace(make_cutout(32, wcs=False), psf=np.ones((5, 1, 1), np.float32))
    seen, truth = to_observation(cutout), cutout.truth
    unit = truth.host * 10 ** (-0.4 * truth.attenuation)
    wrong = jnp.asarray(unit * (1 + 0.1 * np.sign(np.sin(np.arange(32)))[None, :, None]))
    chi2 = []
    for observation in (seen, add_model_error(seen, 0.1)):
        fitted = fit_flux(observation, wrong)
        residual = seen.data - fitted.estimate[:, None, None] * wrong
        chi2.append(float((residual**2 * observation.ivar).sum() / (observation.ivar > 0).sum()))
    assert chi2[1] < 1.05 < chi2[0]


def test_the_setting_reaches_the_target():
    cutout = make_cutout(64, wcs=False)
    settings = Settings(model_error=0.05, noise_inflation=1.2, host_prior="sim")
    wanted = add_model_error(inflate_noise(to_observation(cutout), 1.2), 0.05).ivar
    found = build_target(cutout, settings).observation.ivar
    np.testing.assert_array_equal(found, wanted)
    assert (found < build_target(cutout, replace(settings, model_error=0.0)).observation.ivar).any()
