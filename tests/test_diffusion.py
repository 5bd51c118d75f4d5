"""Noise bookkeeping, checked where every answer has a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.networks import diffusion
from dustpost.priors.gaussian import GaussianPrior, matern_power

SHAPE = (8, 8)


def test_time_and_sigma_are_inverse():
    times = jnp.array([1e-3, 0.02, 0.3, 3.0, 10.0])
    np.testing.assert_allclose(
        diffusion.time_of(diffusion.sigma_of(times))[:4], times[:4], rtol=1e-4
    )
    level = diffusion.variance_preserving(diffusion.sigma_of(times))
    np.testing.assert_allclose(level.scale, np.exp(-times / 2), rtol=1e-2)


@pytest.mark.parametrize("level", ["variance_preserving", "variance_exploding"])
def test_tweedie_and_score_are_inverse(level):
    level = getattr(diffusion, level)(jnp.asarray(0.3))
    latent, score = jax.random.normal(jax.random.key(0), (2, *SHAPE))
    denoised = diffusion.tweedie(latent, score, level)
    back = diffusion.score_from_denoised(latent, denoised, level)
    np.testing.assert_allclose(back, score, atol=1e-5)


@pytest.mark.parametrize("preserving", [True, False])
def test_reverse_diffusion_draws_the_prior(preserving):
    """Moments of 4000 draws of a Gaussian field, stopped at a noise level, within 4 sd."""
    prior = GaussianPrior(jnp.full(SHAPE, 0.7), matern_power(SHAPE, 0.25, 2.0))
    ratio = jnp.geomspace(60.0, 0.2, 129)  # sigma / scale
    scale = 1 / jnp.sqrt(1 + ratio**2) if preserving else jnp.ones_like(ratio)
    levels = diffusion.Level(scale, scale * ratio)

    def denoise(latent, sigma):
        scale = jnp.sqrt(1 - sigma**2) if preserving else 1.0
        return prior.denoise(latent / scale, sigma / scale)

    keys = jax.random.split(jax.random.key(1), 4000)
    draw = jax.jit(jax.vmap(lambda key: diffusion.reverse_diffusion(key, denoise, levels, SHAPE)))
    draws = np.asarray(draw(keys)) / scale[-1]
    mean_sd = np.sqrt(prior.power[0, 0] / draws[0].size / len(draws))
    assert abs(draws.mean() - 0.7) < 4 * mean_sd
    power = np.abs(np.fft.fft2(draws - 0.7, norm="ortho")) ** 2
    expected = np.asarray(prior.power) + 0.2**2
    # the mean of n exponential variables has a relative sd of n^-1/2, real modes sqrt 2 more;
    # 129 ancestral steps leave a bias of a few per cent
    np.testing.assert_allclose(power.mean(axis=0), expected, rtol=4 * (2 / 4000) ** 0.5 + 0.05)
