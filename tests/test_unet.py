"""The U-Net, its preconditioning and its weight files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.networks import checkpoint, edm
from dustpost.networks.convolution import convolve
from dustpost.networks.unet import UNet, condition, fold, unfold

TINY = UNet(channels=(8, 8), blocks=(1, 1), blocks_up=(1,), embedding=8, heads=2, coarse=True)


@pytest.fixture(scope="module")
def untrained():
    """Weights of the tiny network as it starts."""
    image = jnp.zeros((1, 16, 16))
    return jax.jit(TINY.init)(jax.random.key(0), image, jnp.zeros(1), image)["params"]


@pytest.fixture(scope="module")
def weights(untrained):
    """The same, shaken so that nothing is zero."""
    random = np.random.default_rng(1)

    def shake(leaf):
        return leaf + 0.1 * random.normal(size=leaf.shape).astype(np.float32)

    return jax.tree.map(shake, untrained)


@jax.jit
def run(params, x, sigma, host):
    """Denoise a batch with the tiny network."""
    return edm.denoise(
        lambda *inputs: TINY.apply({"params": params}, *inputs), x, sigma, host, edm.Precondition()
    )


def test_fold_and_unfold_are_inverse():
    image = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    np.testing.assert_array_equal(unfold(fold(image)), image)
    np.testing.assert_array_equal(fold(image)[0, 0, 0, 3:6], image[0, 0, 1])


def test_condition_ignores_the_unit_and_survives_negative_sky():
    host = jnp.abs(jax.random.normal(jax.random.key(0), (64, 64))) - 0.05
    np.testing.assert_allclose(condition(host), condition(1e-6 * host), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(condition(host), condition(1e4 * host), rtol=1e-3, atol=1e-5)
    slope = jax.grad(lambda h: condition(h).sum())(host)
    assert jnp.isfinite(slope).all() and jnp.isfinite(condition(host)).all()


def test_convolution_gradients_are_those_of_jax():
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))

    def plain(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    for one, other in zip(
        jax.grad(lambda *a: jnp.sin(convolve(*a)).sum(), (0, 1))(x, kernel),
        jax.grad(lambda *a: jnp.sin(plain(*a)).sum(), (0, 1))(x, kernel),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_preconditioning_identities():
    """Unit variance in, unit variance wanted out, and the weight is 1/c_out^2."""
    sigma, spread = jnp.geomspace(1e-3, 10.0, 9), 0.08
    skip, out, scale = edm.coefficients(sigma, spread)
    np.testing.assert_allclose(scale**2 * (sigma**2 + spread**2), 1.0, rtol=1e-5)
    # Variance of (D - c_skip (D + sigma e))/c_out for data of the given spread.
    wanted = ((1 - skip) ** 2 * spread**2 + skip**2 * sigma**2) / out**2
    np.testing.assert_allclose(wanted, 1.0, rtol=1e-4)
    np.testing.assert_allclose(edm.loss_weight(sigma, spread) * out**2, 1.0, rtol=1e-4)


def test_bound_stays_in_range_and_keeps_a_slope():
    value = jnp.linspace(-50.0, 50.0, 2001)
    held = edm.bound(value, jnp.full_like(value, 0.01))
    assert held.min() > 0 and held.max() <= 1
    assert jnp.all(jnp.diff(held) > -1e-5)
    inside = jnp.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(edm.bound(inside, jnp.full(9, 0.01)), inside, atol=1e-3)
    slope = jax.grad(lambda v: edm.bound(v, jnp.asarray(0.01)))(1.3)
    assert slope > 1e-4


def test_denoiser_at_no_noise_is_the_identity(weights):
    x = jax.random.uniform(jax.random.key(0), (3, 16, 16), minval=0.1, maxval=0.95)
    host = jax.random.uniform(jax.random.key(1), (3, 16, 16))
    np.testing.assert_allclose(run(weights, x, jnp.full(3, 1e-5), host), x, atol=2e-4)


def test_untrained_network_is_the_linear_denoiser(untrained):
    x = jax.random.uniform(jax.random.key(0), (3, 16, 16), minval=0.3, maxval=0.9)
    moments = edm.Precondition()
    skip, _, _ = edm.coefficients(jnp.asarray(0.05), moments.spread)
    expected = moments.mean + skip * (x - moments.mean)
    np.testing.assert_allclose(run(untrained, x, jnp.full(3, 0.05), x), expected, atol=2e-3)


def test_batch_is_only_a_batch(weights):
    """Maps of a batch do not see each other; vmap agrees."""
    x, host = jax.random.uniform(jax.random.key(0), (2, 3, 16, 16))
    sigma = jnp.array([0.01, 0.1, 1.0])
    together = run(weights, x, sigma, host)
    alone = jax.vmap(lambda *a: run(weights, *(b[None] for b in a))[0])(x, sigma, host)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_double_precision_agrees(weights, float64):
    """Single-precision weights, double-precision maps."""
    x, host = np.random.default_rng(0).uniform(size=(2, 1, 16, 16))
    wide = run(weights, jnp.asarray(x), jnp.full(1, 0.1), jnp.asarray(host))
    assert wide.dtype == jnp.float64
    narrow = run(weights, jnp.float32(x), jnp.full(1, 0.1, jnp.float32), jnp.float32(host))
    np.testing.assert_allclose(wide, narrow, atol=1e-4)


def test_weights_survive_the_disk(weights, tmp_path):
    path = tmp_path / "net.safetensors"
    checkpoint.save(path, {**weights, "scalar": jnp.float32(2.0)}, {"architecture": '"tiny"'})
    found, metadata = checkpoint.load(path, checkpoint.sha256(path))
    assert metadata == {"architecture": '"tiny"'}
    assert found.pop("scalar").shape == ()
    jax.tree.map(np.testing.assert_array_equal, found, jax.tree.map(np.asarray, weights))


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "card"])
def test_damaged_files_are_refused(weights, tmp_path, damage):
    path = tmp_path / "net.safetensors"
    checkpoint.save(path, weights, {})
    expected = "0" * 64 if damage == "card" else None
    raw = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif damage == "flipped":
        raw[-9] ^= 1
        path.write_bytes(raw)
    with pytest.raises(DustpostError, match=r"net\.safetensors"):
        checkpoint.load(path, expected)
