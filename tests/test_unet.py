"""The U-Net, its preconditioning and its weight files."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.networks import checkpoint, edm, unet
from dustpost.networks.convolution import convolve
from dustpost.networks.denoiser import Denoiser, rebuild
from dustpost.networks.unet import UNet, condition, fold, unfold

TINY = UNet(channels=(8, 8), blocks=(1, 1), blocks_up=(1,), embedding=8, heads=2)
SCORE = Denoiser(TINY, edm.Precondition())
ENERGY = SCORE._replace(parameterisation="energy")
BOTH = pytest.mark.parametrize("denoiser", [SCORE, ENERGY], ids=["score", "energy"])


pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def untrained():
    """Weights of the tiny network as it starts."""
    return jax.jit(SCORE.init)(jax.random.key(0))


def shake(tree):
    """Return parameters moved so that nothing is zero."""
    random = np.random.default_rng(1)

    def move(leaf):
        return leaf + 0.1 * random.normal(size=leaf.shape).astype(np.float32)

    return jax.tree.map(move, tree)


@pytest.fixture(scope="module")
def weights(untrained):
    """The same, shaken."""
    return shake(untrained)


denoise = jax.jit(Denoiser.denoise, static_argnums=0)


@jax.jit
@jax.value_and_grad
def energy(x, params, sigma, host):
    """Energy of the tiny energy network, and its gradient."""
    picture = ENERGY.picture(params, x, sigma, host)
    return edm.energy(x, picture, sigma, ENERGY.axis.clear)[0]


def run(params, x, sigma, host):
    """Denoise a batch with the tiny score network."""
    return denoise(SCORE, params, x, sigma, host)


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


def test_convolution_has_second_derivatives():
    """As an energy network needs them: a gradient of a gradient, by both arguments."""
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))

    def plain(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def twice(layer):
        def slope(x, kernel):
            return jax.grad(lambda y: jnp.sin(layer(y, kernel)).sum())(x)

        return jax.grad(lambda *a: (slope(*a) ** 2).sum(), (0, 1))(x, kernel)

    for one, other in zip(twice(convolve), twice(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * jnp.abs(other).max())


def test_preconditioning_identities():
    """Unit variance in, unit variance wanted out, and the weight is 1/c_out^2."""
    sigma, spread = jnp.geomspace(1e-3, 10.0, 9), 0.08
    skip, out, scale = edm.coefficients(sigma, spread)
    np.testing.assert_allclose(scale**2 * (sigma**2 + spread**2), 1.0, rtol=1e-5)
    # Variance of (D - c_skip (D + sigma e))/c_out for data of the given spread.
    wanted = ((1 - skip) ** 2 * spread**2 + skip**2 * sigma**2) / out**2
    np.testing.assert_allclose(wanted, 1.0, rtol=1e-4)
    np.testing.assert_allclose(edm.loss_weight(sigma, spread) * out**2, 1.0, rtol=1e-4)


@pytest.mark.parametrize("ends", [(1.0, 1e-3), (0.0, 7.0)])
def test_bound_stays_in_range_and_keeps_a_slope(ends):
    """The first end is never left, the second by a thousandth of the range at most."""
    first, second = ends
    size = abs(first - second)
    towards = jnp.sign(second - first)
    value = first + towards * size * jnp.linspace(-50.0, 50.0, 2001)
    held = edm.bound(value, jnp.full_like(value, 0.01 * size), first, second)
    place = (held - first) * towards / size
    assert place.min() >= 0 and place.max() <= 1.0011
    assert jnp.all(jnp.diff(place) > -1e-5)
    inside = first + towards * size * jnp.linspace(0.1, 0.9, 9)
    held = edm.bound(inside, jnp.full(9, 0.01 * size), first, second)
    np.testing.assert_allclose(held, inside, atol=1e-3 * size)
    outside = first - 0.3 * towards * size
    assert jax.grad(lambda v: edm.bound(v, jnp.asarray(0.01 * size), *ends))(outside) > 1e-4


def test_denoiser_at_no_noise_is_the_identity(weights):
    x = jax.random.uniform(jax.random.key(0), (3, 16, 16), minval=0.1, maxval=0.95)
    host = jax.random.uniform(jax.random.key(1), (3, 16, 16))
    np.testing.assert_allclose(run(weights, x, jnp.full(3, 1e-5), host), x, atol=2e-4)


@BOTH
def test_untrained_network_is_the_linear_denoiser(denoiser, untrained):
    x = jax.random.uniform(jax.random.key(0), (3, 16, 16), minval=0.3, maxval=0.9)
    moments = denoiser.moments
    skip, _, _ = edm.coefficients(jnp.asarray(0.05), moments.spread)
    # an energy is homogeneous about the clear end
    mean = moments.mean if denoiser is SCORE else (moments.mean + 1.0) / 2
    expected = mean + skip * (x - mean)
    found = denoise(denoiser, untrained, x, jnp.full(3, 0.05), x)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 2.0])
def test_energy_falls_along_its_score(weights, sigma):
    """The denoiser's score is minus the gradient of the energy, and by differences too."""
    x, host = jax.random.uniform(jax.random.key(0), (2, 1, 16, 16))
    level = jnp.full(1, sigma)
    score = (denoise(ENERGY, weights, x, level, host) - x) / sigma**2
    _, slope = energy(x, weights, level, host)
    np.testing.assert_allclose(score, -slope, rtol=1e-3, atol=1e-4 * jnp.abs(slope).max())
    step = 0.1 * sigma / jnp.sqrt((score**2).sum()) * score
    above, below = (energy(x + s * step, weights, level, host)[0] for s in (1, -1))
    np.testing.assert_allclose(above - below, -2 * (step * score).sum(), rtol=0.03)


def test_energy_network_has_a_symmetric_jacobian(weights):
    """And a score network's, for contrast, has none."""
    x, host, v, w = jax.random.uniform(jax.random.key(0), (4, 1, 16, 16)) - 0.5

    @partial(jax.jit, static_argnums=0)
    def twist(denoiser):
        _, back = jax.vjp(lambda y: denoiser.denoise(weights, y, jnp.full(1, 0.3), host), x)
        one, other = (v * back(w)[0]).sum(), (w * back(v)[0]).sum()
        return jnp.abs(one - other) / jnp.abs(one + other)

    assert twist(ENERGY) < 1e-4
    assert twist(SCORE) > 1e-2


def test_energy_network_can_be_trained(weights):
    """The gradient of the denoising error by the weights agrees with differences."""
    x, host = jax.random.uniform(jax.random.key(0), (2, 2, 16, 16))
    sigma = jnp.array([0.05, 0.5])
    towards = shake(jax.tree.map(jnp.zeros_like, weights))

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        return ((ENERGY.denoise(params, x, sigma, host) - 0.8) ** 2).mean()

    def moved(step):
        return loss(jax.tree.map(lambda p, t: p + step * t, weights, towards))[0]

    _, slope = loss(weights)
    analytic = sum(
        (a * b).sum() for a, b in zip(*map(jax.tree.leaves, (slope, towards)), strict=True)
    )
    np.testing.assert_allclose(analytic, (moved(0.01) - moved(-0.01)) / 0.02, rtol=0.02)


@pytest.mark.parametrize("side", [1, 2])
def test_several_maps_levels_and_outputs(side):
    """As a joint network of host and dust needs them."""
    network = TINY.clone(fold=side, outputs=2, noisy=2)
    images = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    noise = jax.random.normal(jax.random.key(1), (2, 2))
    shapes = jax.eval_shape(network.init, jax.random.key(0), images, noise)["params"]
    params = shake(jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes))
    apply = jax.jit(lambda i, n: network.apply({"params": params}, i, n))
    found = apply(images, noise)
    assert found.shape == (2, 16, 16, 2)
    for level in range(2):
        other = apply(images, noise.at[:, level].add(1.0))
        assert jnp.abs(other - found).max() > 1e-3
    assert unet.rebuild(json.loads(json.dumps(unet.describe(network)))) == network


def test_averages_keep_white_noise_of_unit_variance():
    images = 0.1 * jax.random.normal(jax.random.key(0), (8, 64, 64, 3))
    sums = unet.average(images, 8, 2)
    np.testing.assert_allclose(sums[..., :2].std(), 0.1, rtol=0.1)
    np.testing.assert_allclose(
        sums[..., 2], images[..., 2].reshape(8, 8, 8, 8, 8).mean((2, 4)), atol=1e-6
    )


@pytest.mark.parametrize("widths, side", [((8, 8), 2), ((8, 8, 9), 2), ((8, 8, 8), 1), (None, 3)])
def test_widths_that_do_not_fit_are_refused(widths, side):
    with pytest.raises(DustpostError, match="fold"):
        unet.unet(widths, side)


@BOTH
def test_description_rebuilds_the_denoiser(denoiser):
    denoiser = denoiser._replace(coordinate="optical_depth")
    assert rebuild(json.loads(json.dumps(denoiser.describe()))) == denoiser


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
