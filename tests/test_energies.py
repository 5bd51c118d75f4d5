"""Energies: the density of hosts alone against its score, training, files."""

import json
from importlib.resources import files

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.assemble import FAR, NEAR, choose_dust_prior, choose_host_prior, leapfrogs
from dustpost.errors import DustpostError
from dustpost.networks import checkpoint, edm, energies, host, joint, joint_task
from dustpost.networks.diffusion import sigma_of
from dustpost.networks.unet import UNet
from dustpost.priors.dust import load_dust_prior
from dustpost.priors.joint import load_joint_prior
from dustpost.priors.sim import load_sim_prior
from dustpost.settings import Settings
from tests import gaussian_world as world

TINY = UNet((8, 8), (1, 1), (1,), 8, 2, outputs=3, noisy=2)
SIDE = 16


pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def task():
    """A tiny network of hosts like those of the simulator."""
    moments = edm.Precondition(0.5, 1.0, softest=0.1), edm.Precondition(0.1, 0.2)
    return host.HostTask(
        joint.JointDenoiser(TINY, *moments, 80.0, size=SIDE, parameterisation="energy")
    )


@pytest.fixture(scope="module")
def weights(task, tmp_path_factory):
    """A weight file of it, nothing zero."""
    random = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: np.asarray(leaf + 0.1 * random.normal(size=leaf.shape), np.float32),
        jax.jit(task.init)(jax.random.key(0)),
    )
    path = tmp_path_factory.mktemp("energy") / "weights.safetensors"
    checkpoint.save(path, params, checkpoint.describe(**task.describe()))
    return path


def test_density_and_score_belong_together(weights):
    prior = load_sim_prior(weights)
    sigma = sigma_of(jnp.asarray(0.02))
    z = 3.0 + jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    score = jax.jit(prior.score)(z, sigma)
    slope = jax.jit(jax.grad(prior.log_density))(z, sigma)
    np.testing.assert_allclose(score, slope, rtol=1e-3, atol=1e-4 * np.abs(slope).max())


def test_score_networks_have_no_density():
    assert load_sim_prior(str(files("dustpost.data") / "joint.safetensors")).log_density is None


def test_full_cross_term_asks_for_host_and_dust(weights):
    with pytest.raises(DustpostError, match="an energy of hosts alone"):
        load_joint_prior(weights)


def test_loss_falls_by_a_step_down_its_gradient(task):
    """And what it is fed is noise of the level that it says."""
    image = jnp.zeros((64, SIDE, SIDE)).at[:, 6:10, 6:10].set(1.0)
    z0, z, tau = part = jax.jit(task.corrupt)(jax.random.key(1), image, image)
    np.testing.assert_allclose(jnp.std(z - z0, axis=(1, 2)), tau, rtol=0.3)
    assert 0.55 < jnp.mean((tau > joint_task.WORKING[0]) & (tau < joint_task.WORKING[1])) < 0.95
    loss = jax.jit(jax.value_and_grad(task.loss))
    params = jax.jit(task.init)(jax.random.key(0))
    before, slope = loss(params, part)
    size = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(slope))
    after, _ = loss(jax.tree.map(lambda p, g: p - 1e-2 * before * g / size, params, slope), part)
    assert 0.9 < (before - after) / (1e-2 * before) < 1.1


def test_dust_that_ships_as_an_energy():
    """Density and score belong together, the file is that of its card, anchored takes it."""
    settings = Settings(cross_term="anchored")
    dust, light = choose_dust_prior(settings), choose_host_prior(settings)
    for prior, name in ((dust, "dust_energy"), (light, "host_energy")):
        file = str(files("dustpost.data") / name)
        assert checkpoint.card_sha256(file + ".md") == prior.sha256
        assert prior.log_density is not None
    sigma, x = jnp.asarray(0.2), 0.9 + 0.2 * jax.random.normal(jax.random.key(0), (64, 64))
    host = jnp.exp(-jnp.hypot(*jnp.mgrid[-32:32, -32:32]) / 5.0)
    score, picture = jax.jit(lambda *a: (dust.score(*a), dust.denoise(*a)))(x, sigma, host)
    slope = jax.jit(jax.grad(dust.log_density))(x, sigma, host)
    np.testing.assert_allclose(score, slope, rtol=1e-3, atol=1e-4 * np.abs(slope).max())
    assert picture.min() > 0 and picture.max() <= 1


def test_what_smooth_fields_move():
    """So many images, by amplitudes in range, and no neighbour far from the next."""
    sigma = jnp.full(400, 0.1)
    moved = energies.displacement(jax.random.key(0), jnp.zeros((400, SIDE, SIDE)), sigma)
    size = jnp.sqrt(jnp.mean(moved**2, axis=(1, 2))) / 0.1
    chosen = size > 0
    assert abs(chosen.mean() - energies.DISPLACED) < 0.08
    low, high = energies.AMPLITUDES
    assert (size[chosen] > 0.999 * low).all() and (size[chosen] < 1.001 * high).all()
    steps = jnp.sqrt(jnp.mean(jnp.diff(moved, axis=2) ** 2, axis=(1, 2))) / 0.1
    assert (steps[chosen] < 0.8 * size[chosen]).all()


def test_an_image_that_was_moved_counts_in_units_of_its_move():
    """The same error costs less where the input was further off; N counts as well."""
    clean = jnp.zeros((1, SIDE, SIDE))
    error, sigma = jnp.full_like(clean, 0.01), jnp.full(1, 0.1)

    def loss(noisy, picture):
        parts = edm.Parts(error, picture, jnp.zeros(1))
        return energies.loss(parts, clean, noisy, sigma, 0.2, jnp.zeros(1, bool))[0]

    near, far = (loss(jnp.full_like(clean, by), clean) for by in (0.1, 1.0))
    assert far < 0.5 * near
    assert loss(jnp.full_like(clean, 0.1), error) > near


def test_an_energy_changes_with_the_noise_as_its_rate_says(task):
    """By finite differences; and D0 and N are those of the network's own methods."""
    net, params = task.denoiser, jax.jit(task.init)(jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 0.02, params)
    z, tau = 0.5 + jax.random.normal(jax.random.key(1), (2, SIDE, SIDE)), jnp.array([0.3, 1.0])
    parts = jax.jit(net.parts)(params, z, tau)

    @jax.jit
    def energy(tau):
        return edm.energy(z, net.picture(params, z, tau), tau, joint.HOST_ENDS[0])

    step = 1e-2
    rise = (energy(tau * jnp.exp(step)) - energy(tau * jnp.exp(-step))) / (2 * step)
    np.testing.assert_allclose(parts.rate, rise, rtol=2e-3)
    np.testing.assert_allclose(parts.picture, net.picture(params, z, tau), atol=1e-5)
    np.testing.assert_allclose(parts.denoised, net.alone(params, z, tau), atol=1e-5)


def test_weights_of_far_modes_are_tied_by_the_noise():
    """Two galaxies, 1 : 3, 40 noise levels apart at the lowest: the loss knows their odds.

    Any odds have the same score there, so that denoising alone cannot tell.
    """
    galaxies = jnp.stack([jnp.zeros((8, 8)), 0.5 * jnp.ones((8, 8))])
    key, chosen = jax.random.key(0), jnp.arange(512) % 4 > 0
    clean = galaxies[chosen.astype(int)]
    ladder = jnp.geomspace(0.1, 20.0, 512)
    sigma = jax.random.permutation(jax.random.key(1), ladder)
    noisy = clean + sigma[:, None, None] * jax.random.normal(key, clean.shape)

    def total(drift):
        """Odds that drift from 1 : 3 at the highest noise to others at the lowest."""

        def energy(x, log_sigma):
            level, share = jnp.exp(log_sigma), drift * jnp.log(20.0 / jnp.exp(log_sigma))
            squares = jnp.sum(jnp.square(x[None] - galaxies), axis=(1, 2)) / level**2
            odds = jnp.log(jnp.array([0.25, 0.75])) + jnp.array([0.0, 1.0]) * share
            return -jax.nn.logsumexp(odds - 0.5 * squares)

        slopes = jax.vmap(jax.grad(energy, argnums=(0, 1)))(noisy, jnp.log(sigma))
        denoised = noisy - jnp.square(sigma)[:, None, None] * slopes[0]
        parts = edm.Parts(denoised, denoised, slopes[1])
        tied = jnp.ones(512, bool)
        return jnp.mean(energies.loss(parts, clean, noisy, sigma, 0.2, tied))

    right, *wrong = jax.jit(jax.vmap(total))(jnp.array([0.0, -1.0, 1.0]))
    assert right < 0.98 * min(wrong)


def test_coarse_errors_count_in_units_of_their_noise():
    """White noise counts as much as in the mean over pixels; an offset n times as much."""
    noise = jax.random.normal(jax.random.key(0), (200, 64, 64))
    weight = energies.COARSE_WEIGHT
    each = len(energies.COARSE) * weight
    np.testing.assert_allclose(energies.coarse(noise).mean(), each, rtol=0.1)
    offset = energies.coarse(jnp.ones((1, 64, 64)))
    np.testing.assert_allclose(offset, weight * (8**2 + 16**2 + 64**2), rtol=1e-6)


@pytest.mark.parametrize(("kind", "load"), [("host", load_sim_prior), ("dust", load_dust_prior)])
def test_train_an_energy(dustpost, tmp_path, kind, load):
    random = np.random.default_rng(0)
    host, transmission = random.uniform(0.1, 1, (2, 16, SIDE, SIDE)).astype(np.float16)
    host = host / host.max((1, 2), keepdims=True)
    np.savez(tmp_path / "pairs.npz", host=host, transmission=transmission)
    arguments = "train", kind, "--parameterisation", "energy", "--pairs", tmp_path / "pairs.npz"
    arguments += "--steps", 1, "--batch", 4, "--channels", "4,4,4", "--out", tmp_path / "run"
    code, _, err = dustpost(*arguments)
    assert code == 0, err
    facts = checkpoint.metadata(tmp_path / "run" / "weights.safetensors")
    assert json.loads(facts["parameterisation"]) == "energy"
    assert load(tmp_path / "run" / "weights.safetensors").log_density is not None


def test_how_far_trajectories_go():
    """As told; else by whether all latents have one density."""
    free = world.target()
    assert leapfrogs(Settings(leapfrog=3), free) == 3
    assert leapfrogs(Settings(), free) == NEAR
    assert leapfrogs(Settings(), world.anchored(free)) == FAR
    assert leapfrogs(Settings(), world.anchored(world.score_only(free))) == NEAR
