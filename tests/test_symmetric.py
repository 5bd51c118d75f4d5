"""The pull-back of an energy's denoiser by one more call of it."""

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.networks.symmetric import symmetric

SIDE = 6


def energy(given, x, sigma, condition):
    """A well with walls, deeper where the condition is large."""
    return jnp.sum(given * jnp.sqrt(1 + (x - condition) ** 2)) + 0.1 * jnp.sum(x[1:] * x[:-1])


def denoise(given, x, sigma, condition):
    return x - sigma**2 * jax.grad(energy, argnums=1)(given, x, sigma, condition)


def test_it_is_autodiff_to_first_order():
    x, w, condition = jax.random.normal(jax.random.key(0), (3, SIDE, SIDE))
    arguments = jnp.full((SIDE, SIDE), 1.5), x, jnp.asarray(0.05), condition
    value, pull = jax.vjp(lambda *a: symmetric(denoise, *a), *arguments)
    expected, exact = jax.vjp(denoise, *arguments)
    np.testing.assert_array_equal(value, expected)
    found, true = pull(w), exact(w)
    np.testing.assert_allclose(found[1], true[1], atol=2e-3)
    np.testing.assert_allclose(found[3], true[3], rtol=1e-6)  # by the condition: autodiff's
    assert not found[0].any() and not found[2].any()


def test_a_cotangent_of_zero_is_pulled_back_to_zero():
    x = jnp.ones((SIDE, SIDE))
    _, pull = jax.vjp(lambda x: symmetric(denoise, 1.5 * x, x, jnp.asarray(0.05), 0.0 * x), x)
    assert np.all(np.asarray(pull(jnp.zeros((SIDE, SIDE)))[0]) == 0)


def test_chains_side_by_side():
    x = jax.random.normal(jax.random.key(0), (3, SIDE, SIDE))

    def one(x):
        return jnp.sum(symmetric(denoise, jnp.ones_like(x), x, jnp.asarray(0.05), 0.0 * x) ** 2)

    apart = jnp.stack([jax.grad(one)(image) for image in x])
    np.testing.assert_allclose(jax.vmap(jax.grad(one))(x), apart, rtol=1e-5, atol=1e-5)
