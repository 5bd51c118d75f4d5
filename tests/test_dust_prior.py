"""The shipped dust prior: what it promises at inference."""

from importlib.resources import files

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.networks import checkpoint, edm
from dustpost.networks.coordinate import COORDINATES
from dustpost.networks.denoiser import Denoiser
from dustpost.networks.unet import UNet
from dustpost.priors.dust import SHIPPED, load_dust_prior

TINY = UNet(channels=(8, 8), blocks=(1, 1), blocks_up=(1,), embedding=8, heads=2)


@pytest.fixture(scope="module")
def prior():
    """The shipped prior."""
    return load_dust_prior()


@pytest.fixture(scope="module")
def host():
    """A round exponential galaxy, slightly negative on the sky."""
    axis = jnp.arange(64) - 31.5
    radius = jnp.sqrt(axis[:, None] ** 2 + axis[None, :] ** 2)
    return jnp.exp(-radius / 5.0) - 1e-4


@jax.jit
def denoise(prior, latent, sigma, host):
    """One compiled call for all tests."""
    return prior.denoise(latent, sigma, host)


def test_file_is_the_one_of_the_card(prior):
    folder = files("dustpost.data")
    assert checkpoint.card_sha256(str(folder / "dust.md")) == prior.sha256
    assert (folder / SHIPPED).stat().st_size < 10_000_000
    assert prior.metadata["coordinate"].startswith("transmission")
    assert prior.log_density is None
    assert prior.coordinate == "transmission"


@pytest.mark.parametrize("level", [0.003, 0.05, 0.3, 1.0])
def test_tweedie_and_range(prior, host, level):
    sigma = jnp.asarray(level)
    latent = 0.9 + sigma * jax.random.normal(jax.random.key(0), (64, 64))
    clean = denoise(prior, latent, sigma, host)
    score = jax.jit(lambda p, x, s, h: p.score(x, s, h))(prior, latent, sigma, host)
    np.testing.assert_allclose(latent + sigma**2 * score, clean, atol=1e-5)
    assert clean.min() > 0 and clean.max() <= 1
    # It denoises: what is left is well below the noise that was put in.
    assert jnp.sqrt(jnp.mean((clean - 0.9) ** 2)) < max(2 * level, 0.12)


def test_unit_of_the_host_does_not_matter(prior, host):
    latent = 0.9 + 0.05 * jax.random.normal(jax.random.key(0), (64, 64))
    one = denoise(prior, latent, jnp.asarray(0.05), host)
    other = denoise(prior, latent, jnp.asarray(0.05), 1e-3 * host)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_wild_input_is_pulled_back(prior, host):
    """Far out of range the score points home."""
    sigma = jnp.asarray(0.05)
    for value in (-3.0, 0.0, 5.0):
        clean = denoise(prior, jnp.full((64, 64), value), sigma, host)
        assert jnp.isfinite(clean).all()
        assert clean.min() > 0 and clean.max() <= 1


def test_gradients_reach_latent_and_host(prior, host):
    """The vector-Jacobian products agree with finite differences."""
    sigma = jnp.asarray(0.1)
    latent = 0.9 + 0.1 * jax.random.normal(jax.random.key(0), (64, 64))
    towards = jax.random.normal(jax.random.key(1), (2, 64, 64)) * jnp.stack(
        [jnp.ones_like(host), host]
    )

    def total(move):
        clean = prior.denoise(latent + move * towards[0], sigma, host + move * towards[1])
        return (clean * latent).sum()

    total = jax.jit(total)
    slope = jax.jit(jax.grad(lambda x, h: (prior.denoise(x, sigma, h) * latent).sum(), (0, 1)))(
        latent, host
    )
    step = 3e-3
    numeric = (total(step) - total(-step)) / (2 * step)
    analytic = (slope[0] * towards[0]).sum() + (slope[1] * towards[1]).sum()
    np.testing.assert_allclose(analytic, numeric, rtol=0.03)


def test_draws_are_dust_maps(prior, host):
    """Draws at sigma carry that noise; denoised they are transmissions that differ."""
    sample = jax.jit(lambda p, k, h: p.sample(k, jnp.asarray(0.05), h))
    latents = [sample(prior, jax.random.key(n), host) for n in range(3)]
    maps = [denoise(prior, x, jnp.asarray(0.05), host) for x in latents]
    for latent, clean in zip(latents, maps, strict=True):
        assert 0.03 < float(jnp.std(latent - clean)) < 0.07
        assert clean.min() > 0 and clean.max() <= 1
        # Blank sky is clear.
        assert jnp.mean(clean[:6, :6]) > 0.97
    assert jnp.abs(maps[0] - maps[1]).max() > 0.01
    np.testing.assert_array_equal(latents[0], sample(prior, jax.random.key(0), host))


@pytest.fixture(scope="module")
def weights():
    """Parameters of a tiny network, none of them zero."""
    random = np.random.default_rng(1)
    shapes = jax.eval_shape(Denoiser(TINY, edm.Precondition()).init, jax.random.key(0))
    return jax.tree.map(lambda p: 0.3 * random.normal(size=p.shape).astype(np.float32), shapes)


def write(path, weights, facts=None, **fields):
    """Write the tiny network's weights as training does, and read them as a prior."""
    denoiser = Denoiser(TINY, edm.Precondition(0.1, 0.5), **fields)
    facts = denoiser.describe() | {"sigma": [0.01, 50.0], "step": 1} | (facts or {})
    checkpoint.save(path, weights, checkpoint.describe(**facts))
    return load_dust_prior(path)


@pytest.mark.parametrize("name", COORDINATES)
def test_every_coordinate_has_its_transmission(weights, tmp_path, name):
    """Latent and transmission are inverse, and however wild a latent, it has one."""
    prior = write(tmp_path / "net.safetensors", weights, coordinate=name)
    assert prior.coordinate == name and prior.sigma_range == (0.01, 50.0)
    clear = jnp.linspace(0.01, 1.0, 256).reshape(16, 16)
    np.testing.assert_allclose(prior.transmission(prior.latent(clear)), clear, rtol=1e-5)
    wild = 100 * jax.random.normal(jax.random.key(0), (16, 16))
    found = prior.transmission(wild)
    assert found.min() > 0 and found.max() <= 1


def test_energy_prior_has_the_density_of_its_score(weights, tmp_path):
    """The score is the slope of the density, beside which N is no denoiser of Tweedie's."""
    kind = dict(coordinate="optical_depth", parameterisation="energy")
    prior = write(tmp_path / "net.safetensors", weights, **kind)
    host = jax.random.uniform(jax.random.key(0), (16, 16))
    sigma = jnp.asarray(0.3)
    latent = prior.latent(host) + sigma * jax.random.normal(jax.random.key(1), (16, 16))
    slope = jax.jit(jax.grad(prior.log_density))(latent, sigma, host)
    score = jax.jit(type(prior).score)(prior, latent, sigma, host)
    np.testing.assert_allclose(score, slope, rtol=1e-3, atol=1e-3)
    picture = (denoise(prior, latent, sigma, host) - latent) / sigma**2
    assert np.abs(np.asarray(picture - slope)).max() > 0.1


def test_wrong_files_are_refused(prior, tmp_path):
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, prior.parameters, checkpoint.describe(architecture="mixer"))
    with pytest.raises(DustpostError, match="not the weights of a dust network .* mixer"):
        load_dust_prior(path)
    facts = dict(prior.description)
    smaller = dict(prior.parameters)
    smaller.pop("Conv_0")
    checkpoint.save(path, smaller, facts)
    with pytest.raises(DustpostError, match="not the weights of a dust network"):
        load_dust_prior(path)
    facts["coordinate"], facts["architecture"] = '"colour"', '"unet-2"'
    facts["parameterisation"] = '"score"'
    checkpoint.save(path, prior.parameters, facts)
    with pytest.raises(DustpostError, match="coordinate colour"):
        load_dust_prior(path)
    with pytest.raises(DustpostError, match="no such"):
        load_dust_prior(tmp_path / "none.safetensors")


def test_the_factor_for_the_amount_of_dust(weights, tmp_path):
    """ln g is lambda phi, phi by hand, and part of the score; a weight file may hold lambda."""
    kind = dict(coordinate="transmission", parameterisation="energy")
    plain = write(tmp_path / "net.safetensors", weights, **kind)
    tilted = write(tmp_path / "tilted.safetensors", weights, {"amount": [0.7, -1.3]}, **kind)
    assert plain.amount == () and tilted.amount == (0.7, -1.3)
    host, sigma = jax.random.uniform(jax.random.key(0), (16, 16)), jnp.asarray(0.3)
    given = 0.8 + sigma * jax.random.normal(jax.random.key(1), (16, 16)), sigma, host
    depth = -2.5 * np.log10(np.asarray(plain.transmission(denoise(plain, *given)), float))
    amount = (np.asarray(host / host.sum(), float) * depth).sum()
    expected = 0.7 * np.log1p(amount / 0.02) - 1.3 * amount / (amount + 0.3)
    score = jax.jit(type(plain).score)
    log_density = jax.jit(lambda prior, *given: prior.log_density(*given))
    found = log_density(tilted, *given) - log_density(plain, *given)
    assert found == pytest.approx(expected, abs=2e-4) and abs(expected) > 0.1
    slope = jax.jit(jax.grad(log_density, argnums=1))(tilted, *given)
    np.testing.assert_allclose(score(tilted, *given), slope, rtol=1e-3, atol=1e-3)
    assert np.abs(np.asarray(score(plain, *given) - slope)).max() > 1e-3
