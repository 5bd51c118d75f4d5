"""The joint score of host and dust: its cross term against an exact one, and its files."""

import json
from importlib.resources import files

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.networks import checkpoint, edm, joint, joint_task, training
from dustpost.networks.diffusion import score_from_denoised, sigma_of
from dustpost.networks.unet import UNet
from dustpost.priors.joint import load_joint_prior
from dustpost.priors.sim import SimHostPrior, load_sim_prior

TINY = UNet((24, 8), (1, 1), (1,), 16, 4, outputs=3, noisy=2)
SIDE = 16
HOST_MEAN, DUST_MEAN = 8.0, 2.0
HOST_SD, COUPLING, DUST_SD = 1.0, 0.4, 0.2
SPREAD = float(np.hypot(COUPLING * HOST_SD, DUST_SD))
CONFIG = training.settle(training.Config(steps=400, batch=16, micro=16, warmup=20, rate=1e-2))


class GaussianTask(joint_task.JointTask):
    """Each pixel z0 ~ N(8, 1) and v ~ N(2 + 0.4 (z0 - 8), 0.2^2), by itself."""

    def corrupt(self, key, host, transmission):
        first, second, noise = jax.random.split(key, 3)
        z0 = HOST_MEAN + HOST_SD * jax.random.normal(first, host.shape)
        own = DUST_SD * jax.random.normal(second, host.shape)
        return self.noise(noise, z0, DUST_MEAN + COUPLING * (z0 - HOST_MEAN) + own)


def exact_cross(z, x, tau, sigma):
    """Gradient by z of log N(x; mean(z), variance), pixel by pixel."""
    slope = COUPLING * HOST_SD**2 / (HOST_SD**2 + tau**2)
    variance = (COUPLING * HOST_SD) ** 2 + DUST_SD**2 + sigma**2
    variance -= slope**2 * (HOST_SD**2 + tau**2)
    return slope * (x - DUST_MEAN - slope * (z - HOST_MEAN)) / variance


def right(found, truth) -> bool:
    """The gate: near in size and in direction."""
    error = np.linalg.norm(found - truth) / np.linalg.norm(truth)
    cosine = np.sum(found * truth) / max(np.linalg.norm(found) * np.linalg.norm(truth), 1e-30)
    return error < 0.5 and cosine > 0.9


@jax.jit
def cross_of(prior, z, x, tau, sigma):
    """Compiled once for all noise levels."""
    return jax.vmap(lambda z, x: prior.cross(z, x, tau, sigma))(z, x)


@pytest.fixture(scope="module")
def trained():
    """The tiny task, and its averaged weights after a few hundred steps."""
    host = edm.Precondition(HOST_MEAN, HOST_SD, softest=0.1)
    dust = edm.Precondition(DUST_MEAN, SPREAD, softest=0.05)
    task = GaussianTask(joint.JointDenoiser(TINY, host, dust, 400 * SPREAD))
    blank = np.zeros((CONFIG.batch, SIDE, SIDE), np.float32)
    state = training.init(task, CONFIG)
    for _ in range(CONFIG.steps):
        state, loss = training.train_step(task, CONFIG, state, blank, blank)
    return task, state.average


@pytest.fixture(scope="module")
def weights(trained, tmp_path_factory):
    """A weight file of the trained network."""
    task, params = trained
    path = tmp_path_factory.mktemp("joint") / "joint.safetensors"
    checkpoint.save(path, params, checkpoint.describe(**task.describe(), step=CONFIG.steps))
    return path


@pytest.mark.parametrize("tau, sigma", [(0.3, 0.1), (0.5, 0.5), (2.0, 0.2)])
def test_cross_term_is_the_exact_one(trained, weights, tau, sigma):
    task, _ = trained
    corrupt = jax.jit(lambda key: task.corrupt(key, jnp.zeros((32, SIDE, SIDE)), None))
    clean = corrupt(jax.random.key(7))[:2]
    noise = jax.random.normal(jax.random.key(8), (2, 32, SIDE, SIDE))
    z, x = clean[0] + tau * noise[0], clean[1] + sigma * noise[1]
    prior = load_joint_prior(weights)
    levels = jnp.asarray(tau), jnp.asarray(sigma)
    found = np.asarray(cross_of(prior, z, x, *levels))
    truth = np.asarray(exact_cross(z, x, tau, sigma))
    assert right(found, truth)
    assert not right(0 * found, truth)
    assert not right(-found, truth)
    # the dust of another galaxy tells nothing of this host
    assert not right(np.asarray(cross_of(prior, z, x[::-1], *levels)), truth)


def test_joint_score_is_the_sum_of_its_parts(weights):
    """And E[z0 | z, x] is nearer to z0 than E[z0 | z], which is the Wiener filter."""
    prior, (tau, sigma) = load_joint_prior(weights), (1.0, 0.05)
    keys = jax.random.split(jax.random.key(3), 4)
    z0, own, *noise = (jax.random.normal(key, (SIDE, SIDE)) for key in keys)
    z0 = HOST_MEAN + z0
    z, x = z0 + tau * noise[0], DUST_MEAN + COUPLING * (z0 - HOST_MEAN) + DUST_SD * own
    x = x + sigma * noise[1]

    @jax.jit
    def everything(prior):
        score, clean = (f(z, x, tau, sigma) for f in (prior.score, prior.denoise))
        return *score, *clean, prior.cross(z, x, tau, sigma), prior.denoise_host(z, tau)

    of_host, of_dust, both, dust, cross, alone = everything(prior)
    np.testing.assert_allclose(of_host, (alone - z) / tau**2 + cross, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(x + sigma**2 * of_dust, dust, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(alone, (z + HOST_MEAN) / 2, atol=0.4)
    assert jnp.mean((both - z0) ** 2) < 0.8 * jnp.mean((alone - z0) ** 2)


def test_host_prior_obeys_tweedie_and_draws(weights):
    prior = load_sim_prior(weights)
    sigma = sigma_of(jnp.asarray(0.02))
    latent = jax.jit(lambda p, k: p.sample(k, sigma))(prior, jax.random.key(0))
    assert latent.shape == (joint.SIZE, joint.SIZE)
    denoise, score = (jax.jit(f) for f in (prior.denoise, prior.score))
    level = prior.level(sigma)
    expected = score_from_denoised(latent, denoise(latent, sigma), level)
    np.testing.assert_allclose(score(latent, sigma), expected, rtol=1e-4, atol=1e-4)
    assert level.scale**2 + level.sigma**2 == pytest.approx(1.0)
    # the world's hosts, in the scale of the latent
    np.testing.assert_allclose(latent.mean() / level.scale, HOST_MEAN, atol=0.4)
    np.testing.assert_allclose(latent.std() / level.scale, HOST_SD, rtol=0.3)
    assert prior.name == "sim" and prior.log_density is None
    assert prior.sha256 == checkpoint.sha256(weights)


def test_joint_draws_have_the_coupling(weights):
    """Reverse diffusion of both finds v's regression on z0."""
    prior = load_joint_prior(weights)
    draw = jax.jit(lambda p, k: p.sample(k, jnp.asarray(0.05), jnp.asarray(0.1)))
    host, dust = draw(prior, jax.random.key(1))
    slope = np.polyfit(np.ravel(host), np.ravel(dust), 1)[0]
    assert slope == pytest.approx(COUPLING, rel=0.4)
    assert float(jnp.std(dust)) == pytest.approx(np.hypot(SPREAD, 0.1), rel=0.3)


def test_noise_levels_serve_every_use(trained):
    """Half at the samplers' hosts, a quarter with both alike, all within the ranges."""
    task, _ = trained
    tau, sigma = (np.asarray(level) for level in task.levels(jax.random.key(0), 256))
    assert ((joint_task.WORKING[0] <= tau[:128]) & (tau[:128] <= joint_task.WORKING[1])).all()
    assert abs(np.corrcoef(np.log(tau[:128]), np.log(sigma[:128]))[0, 1]) < 0.3
    alike = tau[128:192] / HOST_SD > 0.1
    ratio = (sigma[128:192] * HOST_SD / (tau[128:192] * SPREAD))[alike]
    np.testing.assert_allclose(ratio, 1.0, rtol=1e-4)
    assert tau.min() >= joint_task.TAU_LOW * 0.999 and tau.max() <= task.tau_high
    assert sigma.max() <= task.denoiser.sigma_high
    assert tau.max() > 100 * HOST_SD and sigma.max() > 100 * SPREAD


def test_task_of_pairs_learns_and_measures(tmp_path):
    """The real coordinates on eight galaxies with dust where the light is."""
    axis = np.arange(16) - 7.5
    width = np.linspace(2.0, 4.0, 8)[:, None, None]
    host = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2)[None] / width**2)
    host, transmission = host.astype(np.float16), (1 - 0.5 * host).astype(np.float16)
    task = joint_task.task(host, transmission, channels=(4, 8, 8))
    # all weights zero: quicker than random ones, and as untrained
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
    scores = task.validate(params, host, transmission)
    # an untrained network knows no cross term, and its denoiser is linear
    assert {name.split()[0] for name in scores} == {"host", "dust", "gain", "slope"}
    assert scores[f"gain 0.14 {0.1 * task.denoiser.dust.spread:.2g}"] == 0.0
    parts = jax.jit(task.corrupt)(jax.random.key(1), jnp.float32(host), jnp.float32(transmission))
    assert np.isfinite(jax.jit(task.loss)(params, parts))
    # hosts come in many scales: ln(1 + peak) / 0.1 of a peak of 1 is 6.9
    peaks = np.asarray(parts[0]).max(axis=(1, 2))
    assert peaks.std() > 0.5 and 4.0 < np.median(peaks) < 10.0
    facts = json.loads(json.dumps(task.describe()))
    assert joint.rebuild(facts) == task.denoiser


def test_size_is_that_of_the_pairs_and_of_the_draws(weights):
    """Files that do not say are of 64x64 pixels, as the one that ships."""
    rows = np.linspace(0.1, 1.0, 16)[None, :, None]
    host = np.broadcast_to(rows, (8, 16, 16)).astype(np.float16)
    facts = json.loads(json.dumps(joint_task.task(host, host, channels=(4, 8, 8)).describe()))
    assert facts.pop("size") == 16
    assert joint.rebuild(facts).size == joint.SIZE == load_joint_prior().denoiser.size

    prior = load_joint_prior(weights)
    prior = prior.replace(denoiser=prior.denoiser._replace(size=8))
    host = SimHostPrior(prior)

    def draws(key):
        both = prior.sample(key, 0.5, 0.5)
        return *both, host.sample(key, 0.5), prior.sample_dust(key, both[0], 0.5, 0.5)

    assert [draw.shape for draw in jax.eval_shape(draws, jax.random.key(0))] == 4 * [(8, 8)]


def test_wrong_options_are_refused():
    flat = np.ones((8, 16, 16), np.float16)
    with pytest.raises(DustpostError, match="choose score"):
        joint_task.task(flat, flat, parameterisation="flow")
    with pytest.raises(DustpostError, match="all alike"):
        joint_task.task(flat, flat)
    with pytest.raises(DustpostError, match="coordinate"):
        joint_task.task(flat, flat, v="magnitudes")


def test_files_round_trip(trained, weights):
    task, params = trained
    prior = load_joint_prior(weights)
    jax.tree.map(np.testing.assert_array_equal, prior.parameters, params)
    assert prior.denoiser == task.denoiser
    assert prior.coordinate == "log_attenuation"
    assert prior.metadata["tau"] == [joint_task.TAU_LOW, task.tau_high]
    assert prior.log_density is None


def test_wrong_files_are_refused(trained, weights, tmp_path):
    task, params = trained
    path = tmp_path / "other.safetensors"
    facts = task.describe()
    checkpoint.save(path, params, checkpoint.describe(**{**facts, "architecture": "unet-2"}))
    with pytest.raises(DustpostError, match="architecture unet-2"):
        load_joint_prior(path)
    smaller = {name: leaf for name, leaf in params.items() if name != "Conv_0"}
    checkpoint.save(path, smaller, checkpoint.describe(**facts))
    with pytest.raises(DustpostError, match="not the weights of a host network"):
        load_joint_prior(path)
    with pytest.raises(DustpostError, match="no such"):
        load_joint_prior(tmp_path / "none.safetensors")
    damaged = bytearray(weights.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DustpostError, match="digest"):
        load_joint_prior(path)


def test_without_shipped_weights_it_says_so(monkeypatch):
    monkeypatch.setattr("dustpost.priors.joint.SHIPPED", "nothing.safetensors")
    with pytest.raises(DustpostError, match="dustpost train host"):
        load_joint_prior()


def test_shipped_file_is_the_one_of_the_card():
    folder = files("dustpost.data")
    prior = load_joint_prior()
    assert checkpoint.card_sha256(str(folder / "joint.md")) == prior.sha256
    assert (folder / "joint.safetensors").stat().st_size < 10_000_000


def test_a_run_goes_on_in_the_moments_of_its_start(trained):
    """Weights mean nothing under another preconditioning."""
    task, _ = trained
    moved = task._replace(denoiser=task.denoiser._replace(host=task.denoiser.dust, sigma_high=9.0))
    assert moved.after(task.describe()) == task
