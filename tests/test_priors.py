"""Every prior through the same invariants, and the flux integral against quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import nquad

from dustpost.errors import DustpostError
from dustpost.networks.diffusion import score_from_denoised, sigma_of
from dustpost.priors.gaussian import GaussianPrior, matern_power
from dustpost.priors.host import find_hsc64, load_host_prior
from dustpost.priors.spectrum import FlatFlux, StellarFlux, stellar_flux

SHAPE = (64, 64)
needs_hsc64 = pytest.mark.skipif(
    find_hsc64() is None, reason="galaxygrad 0.2.1 is not installed (pip install dustpost[hsc])"
)


def gaussian():
    return GaussianPrior(jnp.full(SHAPE, 0.9), matern_power(SHAPE, 0.01, 4.0)), 0.05, None


def host():
    return load_host_prior(), float(sigma_of(0.02)), None


def dust():
    from dustpost.priors.dust import load_dust_prior

    y, x = np.mgrid[:64, :64] - 31.5
    light = np.exp(-np.hypot(y, x) / 5)
    return load_dust_prior(), 0.05, jnp.asarray(light / light.sum(), jnp.float32)


PRIORS = [gaussian, pytest.param(host, marks=needs_hsc64), dust]


@pytest.mark.parametrize("make", PRIORS)
def test_score_and_denoiser_obey_tweedie(make):
    prior, sigma, condition = make()
    latent = prior.sample(jax.random.key(0), sigma, condition)
    denoised = prior.denoise(latent, sigma, condition)
    expected = score_from_denoised(latent, denoised, prior.level(sigma))
    score = prior.score(latent, sigma, condition)
    assert latent.shape == score.shape == SHAPE
    np.testing.assert_allclose(score, expected, atol=1e-3 * float(jnp.max(jnp.abs(score))))


@pytest.mark.parametrize("make", PRIORS)
def test_draws_are_typical(make):
    """A draw at noise sigma differs from its denoised self by noise of that sigma."""
    prior, sigma, condition = make()
    latent = prior.sample(jax.random.key(1), sigma, condition)
    noise = latent - prior.level(sigma).scale * prior.denoise(latent, sigma, condition)
    assert 0.85 < float(jnp.std(noise)) / sigma < 1.1


@pytest.mark.parametrize("make", PRIORS)
def test_density_is_honest(make):
    """A density, where there is one, has the score as gradient; else it is None."""
    prior, sigma, condition = make()
    if prior.log_density is None:
        return
    latent = prior.sample(jax.random.key(2), sigma, condition)
    gradient = jax.grad(prior.log_density)(latent, sigma, condition)
    score = prior.score(latent, sigma, condition)
    np.testing.assert_allclose(gradient, score, atol=1e-3 * float(jnp.max(jnp.abs(score))))


@needs_hsc64
def test_score_networks_have_no_density():
    assert host()[0].log_density is None
    assert dust()[0].log_density is None


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(DustpostError, match="nowhere.eqx"):
        load_host_prior(tmp_path / "nowhere.eqx")


@needs_hsc64
def test_installed_weights_that_are_not_those_of_the_wheel(tmp_path, monkeypatch):
    spoilt = tmp_path / "spoilt.eqx"
    spoilt.write_bytes(find_hsc64().read_bytes()[:-1] + b"\x01")
    monkeypatch.setattr("dustpost.priors.host.find_hsc64", lambda: spoilt)
    with pytest.raises(DustpostError, match="spoilt.eqx: sha256 is .* install it anew"):
        load_host_prior()
    assert load_host_prior(spoilt).name == "hsc64"


def tight_colours() -> StellarFlux:
    covariance = np.array([[0.3, 0.25], [0.25, 0.3]])
    factor, inverse = np.linalg.cholesky(covariance), np.linalg.inv(covariance)
    return StellarFlux(*(jnp.asarray(x) for x in (np.log([3.0, 5.0]), factor, inverse)))


@pytest.mark.parametrize("signal", [30.0, 3.0])
@pytest.mark.parametrize("prior", [FlatFlux(), tight_colours()], ids=["flat", "colours"])
def test_collapse_against_quadrature(float64, prior, signal):
    """Flat: exact. Colours: Laplace, good to 2 % at S/N 30 and 15 % at 3."""
    estimate = jnp.array([3.5, 5.5])
    precision = (signal / estimate) ** 2

    def integrand(*flux):
        flux = jnp.array(flux)
        log_fit = -0.5 * jnp.sum(precision * (flux - estimate) ** 2)
        return float(jnp.exp(log_fit + prior.log_density(flux)))

    reach = [(max(1e-6, f * (1 - 7 / signal)), f * (1 + 7 / signal)) for f in estimate.tolist()]
    options = {"epsabs": 0, "epsrel": 1e-4}
    expected = np.log(nquad(integrand, reach, opts=options)[0])
    found, _ = prior.collapse(estimate, precision)
    allowed = 2e-3 if isinstance(prior, FlatFlux) else 0.6 / signal**0.9
    assert abs(found - expected) < allowed


@pytest.mark.parametrize("estimate", [[1e3, 2e3], [2.0, -1.0], [-5.0, -5.0]])
def test_collapse_survives_any_data(estimate):
    prior = tight_colours()
    precision = jnp.array([1e-2, 4.0])
    log_evidence, proposal = prior.collapse(jnp.array(estimate), precision)
    draw = proposal.sample(jax.random.key(0))
    assert jnp.isfinite(log_evidence) and jnp.all(draw > 0)
    assert jnp.isfinite(proposal.log_prob(draw)) and jnp.isfinite(prior.log_density(draw))


def test_colours_follow_the_templates():
    """An elliptical has g - r of about 0.75, an irregular about 0.2; the mean lies between."""
    wavelength = np.array([0.4754, 0.6175, 0.7711, 0.8898, 0.9762])
    prior = stellar_flux(wavelength, np.array([1.0, 2.0, 3.0, 3.5, 4.0]))
    colour = -2.5 * np.log10(np.exp(prior.mean[0] - prior.mean[1]))
    covariance = np.asarray(prior.scale_tril) @ np.asarray(prior.scale_tril).T
    spread = 1.0857 * np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert 0.3 < colour < 0.6 and 0.15 < spread < 0.4
