"""Training: it learns, it resumes to the bit, and its parts do what they say."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.io import fits

from dustpost import pairs as training_set
from dustpost.errors import DustpostError
from dustpost.networks import batches, checkpoint, dust, resume, training
from dustpost.networks.unet import UNet
from dustpost.priors.dust import load_dust_prior
from dustpost.priors.gaussian import GaussianPrior, matern_power

TINY = UNet(channels=(8, 8), blocks=(1, 1), blocks_up=(1,), embedding=8, heads=2)
CONFIG = training.Config(steps=450, batch=16, micro=8, warmup=20, rate=1e-2, average=0.98)
FIELD = GaussianPrior(jnp.full((16, 16), 0.5), matern_power((16, 16), 0.1**2, 4.0))
DESIGN = ("--channels", "4,4,4", "--batch", 4, "--every", 2)


pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def pairs():
    """Dust that is a Gaussian field, whatever the host."""
    keys = jax.random.split(jax.random.key(0), 512)
    clean = jax.jit(jax.vmap(lambda key: FIELD.sample(key, 0.0)))(keys)
    return np.ones((512, 16, 16), np.float16), np.asarray(clean.clip(0.01, 1.0), np.float16)


@pytest.fixture(scope="module")
def task(pairs):
    """Denoise it with a tiny network."""
    task = dust.task(*pairs)
    return task._replace(denoiser=task.denoiser._replace(network=TINY))


@pytest.fixture(scope="module")
def finished(task, pairs, tmp_path_factory):
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    return out, training.train(task, *pairs, "a field", out, CONFIG, every=150)


def test_trained_denoiser_is_between_the_pixelwise_and_the_wiener_filter(finished, task, pairs):
    """Known answer: untrained it is the best that looks at single pixels, at best it is Wiener."""
    _, state = finished
    host, clean = (images[-128:].astype(np.float32) for images in pairs)
    sigma = 0.1
    untrained = training.init(task, CONFIG).params
    error = [
        np.sqrt(np.mean((dust.denoise_all(task.denoiser, p, host, clean, sigma) - clean) ** 2))
        for p in (untrained, state.average)
    ]
    wiener = np.sqrt(np.mean(FIELD.power * sigma**2 / (FIELD.power + sigma**2)))
    pixelwise = sigma / np.sqrt(2)
    assert error[0] == pytest.approx(pixelwise, rel=0.05)
    assert 0.95 * wiener < error[1] < wiener + 0.5 * (pixelwise - wiener)


def test_log_and_weight_file(finished, task):
    out, state = finished
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [150, 300, 450]
    assert log[-1]["loss"] < log[0]["loss"]
    assert len(log[0]["score"]) == len(dust.LEVELS)
    prior = load_dust_prior(out / training.WEIGHTS)
    assert prior.denoiser == task.denoiser
    assert prior.metadata["step"] == 450 and prior.metadata["origin"] == "a field"
    assert prior.sigma_range == (task.sigma_low, task.sigma_high)
    jax.tree.map(np.testing.assert_array_equal, prior.parameters, state.average)


def test_resumed_run_ends_with_the_same_bits(task, pairs, finished, tmp_path, train_and_die):
    """Killed after step 200, resumed from the checkpoint of step 150."""
    whole, state = finished
    seen = []
    arguments = (task, *pairs, "a field", tmp_path, CONFIG)
    train_and_die(200, *arguments, every=150)
    again = training.train(*arguments, every=150, stage=lambda name, total: seen.append)
    assert seen == [150] + [1] * 300
    jax.tree.map(np.testing.assert_array_equal, state, again)
    one, _ = checkpoint.load(whole / training.WEIGHTS)
    other, _ = checkpoint.load(tmp_path / training.WEIGHTS)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_state_of_another_run_is_refused(task, pairs, finished):
    out, _ = finished
    with pytest.raises(DustpostError, match=r"another config seed \(0, now 1\)"):
        training.train(task, *pairs, "a field", out, CONFIG._replace(seed=1))
    with pytest.raises(DustpostError, match="another origin"):
        training.train(task, *pairs, "another field", out, CONFIG)
    # a longer run goes on where the shorter one ended: nothing is left to do here
    state = training.train(task, *pairs, "a field", out, CONFIG._replace(steps=450))
    assert int(state.step) == 450


def test_start_takes_over_what_fits(task, finished):
    _, state = finished
    fresh = training.init(task, CONFIG).params
    known = dict(state.params)
    left_out = known.pop("coarse_in")
    adopted = resume.adopt(fresh, known)
    np.testing.assert_array_equal(adopted["coarse_in"]["kernel"], 0 * left_out["kernel"])
    np.testing.assert_array_equal(adopted["Conv_0"]["kernel"], state.params["Conv_0"]["kernel"])
    with pytest.raises(DustpostError, match="layer other has shape"):
        resume.adopt(fresh, {**known, "other": np.zeros(3)})


def test_symmetries_are_the_eight_of_the_square():
    image = jnp.arange(9.0).reshape(3, 3)
    turned = {np.asarray(batches.dihedral(jnp.asarray(n), image)).tobytes() for n in range(8)}
    assert len(turned) == 8


def test_pairs_are_turned_alike():
    image = jax.random.uniform(jax.random.key(0), (16, 8, 8))
    host, transmission = batches.turn(jax.random.key(1), image, image)
    np.testing.assert_array_equal(host, transmission)
    assert not np.array_equal(host, image)


def test_noise_levels_cover_their_range():
    levels = batches.noise_levels(jax.random.key(0), 4000, 0.0025, 60.0, 0.08)
    assert levels.min() >= 0.0025 and levels.max() <= 60.0
    np.testing.assert_allclose(jnp.mean(levels < 0.8), batches.SHARE, atol=1e-3)
    assert jnp.mean(levels < 0.003) > 0.01 and jnp.mean(levels > 50.0) > 0.005
    assert jnp.sum(jnp.diff(levels) < 0) == 1


@pytest.mark.parametrize("v", ["transmission", "log_attenuation"])
def test_noise_has_the_stated_size(v):
    image = jax.random.uniform(jax.random.key(0), (16, 32, 32), minval=0.5)
    task = dust.task(image, image, v)._replace(host_noise=0.0)
    clean, noisy, light, sigma, _ = jax.jit(task.corrupt)(jax.random.key(1), image, image)
    np.testing.assert_allclose(task.denoiser.axis.decode(clean), image, rtol=1e-5)
    np.testing.assert_allclose(light, dust.condition(image), rtol=1e-5)
    np.testing.assert_allclose(jnp.std(noisy - clean, axis=(1, 2)), sigma, rtol=0.12)
    noise = batches.grit(jax.random.key(2), image, 0.01) - image
    assert jnp.abs(noise[1::2]).max() == 0 and 0 < jnp.std(noise[::2]) < 0.01


def test_an_energy_is_tied_where_nothing_is_moved_and_samplers_work():
    image = jax.random.uniform(jax.random.key(0), (200, 16, 16), minval=0.5)
    task = dust.task(image, image, parameterisation="energy")
    clean, noisy, _, sigma, tied = jax.jit(task.corrupt)(jax.random.key(1), image, image)
    # a field that moves an image is smooth, so that means over blocks see it
    blocks = (noisy - clean).reshape(200, 4, 4, 4, 4).mean(axis=(2, 4))
    size = 4 * jnp.sqrt(jnp.mean(blocks**2, axis=(1, 2))) / sigma
    loud = sigma >= dust.WORKING[0] * task.denoiser.moments.spread
    assert loud[tied].all() and size[tied].max() < 2.0
    assert (size[~tied & loud] > 2.0).mean() > 0.6


def test_train_command(dustpost, tmp_path, pairs):
    """Trains; what it writes is a prior; the folder is not for another run."""
    np.savez(tmp_path / "pairs.npz", host=pairs[0][:16], transmission=pairs[1][:16])
    options = ("--pairs", tmp_path / "pairs.npz", "--out", tmp_path / "run", *DESIGN)
    options += ("--coordinate", "optical_depth", "--steps", 3)
    code, out, _ = dustpost("train", "dust", *options)
    assert code == 0 and str(tmp_path / "run" / "weights.safetensors") in out
    prior = load_dust_prior(tmp_path / "run" / "weights.safetensors")
    assert prior.metadata["step"] == 3 and prior.coordinate == "optical_depth"
    code, _, error = dustpost("train", "dust", *options, "--rate", 0.1)
    assert code == 2 and "another config rate" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "options, words",
    [
        (("--pairs", "none.npz"), "none.npz: no such file"),
        (("--data", "nowhere"), "nowhere: no such folder"),
        (("--channels", "8,x"), "--channels 8,x"),
        (("--pairs", "good.npz", "--data", "."), "--pairs and --data"),
        (("--pairs", "good.npz", "--channels", "8"), "fold 2 asks for 3 widths"),
        (("--pairs", "good.npz", "--coordinate", "colour"), "coordinate colour"),
        (("--pairs", "good.npz", "--parameterisation", "flow"), "parameterisation flow"),
        (("--pairs", "bad.npz"), "bad.npz: a transmission outside"),
        (("--pairs", "text.npz"), "text.npz: not an npz"),
        (("--start", "none.safetensors"), "none.safetensors: no such weight file"),
    ],
)
def test_wrong_options_end_with_one_sentence(dustpost, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).uniform(0.1, 1.0, (8, 16, 16)).astype(np.float16)
    np.savez("good.npz", host=image, transmission=image)
    np.savez("bad.npz", host=image, transmission=image + 1)
    (tmp_path / "text.npz").write_text("text")
    code, _, error = dustpost("train", "dust", "--out", "run", *options)
    assert code == 2 and words in error and error.count("\n") == 1


def test_simulated_pairs_resume(tmp_path, monkeypatch):
    """Killed in the second part of three: the third call draws what is missing, no more."""
    drawn = []

    def draw(seed, number):
        if len(drawn) == 1:
            drawn.append("killed")
            raise KeyboardInterrupt
        drawn.append(number)
        images = np.random.default_rng(number).uniform(0.1, 1.0, (4, 16, 16)).astype(np.float16)
        return images / images.max(axis=(1, 2), keepdims=True), images

    monkeypatch.setattr(training_set, "PART", 4)
    monkeypatch.setattr(training_set, "_draw", draw)
    monkeypatch.setattr(training_set, "LEAST", 4)
    with pytest.raises(KeyboardInterrupt):
        training_set.simulated(tmp_path, 10, 3)
    assert not (tmp_path / "pairs.npz").exists()
    found = training_set.simulated(tmp_path, 10, 3)
    assert drawn == [0, "killed", 1, 2]
    assert found.host.shape == (10, 16, 16) and found.origin == "simulator, seed 3"
    again = training_set.simulated(tmp_path, 10, 3)
    np.testing.assert_array_equal(again.transmission, found.transmission)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.npz"]
    with pytest.raises(DustpostError, match="holds 10 pairs of seed 3, not 10 of seed 4"):
        training_set.simulated(tmp_path, 10, 4)


def test_simulator_draws_what_its_seed_says(monkeypatch):
    """A part is the simulator's chunks one after the other, and they differ."""
    import dustpost.simulate.suite as suite

    def draw_pairs(key, n):
        images = jax.random.uniform(key, (n, 8, 8), minval=0.1)
        return images / images.sum(axis=(1, 2), keepdims=True), images

    monkeypatch.setattr(suite, "draw_pairs", draw_pairs)
    host, transmission = training_set._draw(0, 1)
    assert host.shape == (training_set.PART, 8, 8) and host.dtype == np.float16
    np.testing.assert_array_equal(host.max(axis=(1, 2)), 1.0)
    assert len(np.unique(transmission[:, 0, 0])) > 500
    assert not np.array_equal(transmission, training_set._draw(0, 0)[1])


def test_folder_of_files_with_truth(tmp_path):
    image = np.random.default_rng(0).uniform(0.1, 1.0, (9, 16, 16)).astype(np.float32)
    for number, one in enumerate(image):
        truth = [fits.ImageHDU(one / one.sum(), name="TRUE_HOST")]
        truth += [fits.ImageHDU(one, name="TRUE_TRANS")]
        fits.HDUList([fits.PrimaryHDU(), *truth]).writeto(tmp_path / f"galaxy{number}.fits")
    fits.HDUList([fits.PrimaryHDU(one)]).writeto(tmp_path / "survey.fits")
    found = training_set.from_folder(tmp_path)
    assert found.origin == f"9 FITS files of {tmp_path.name}"
    np.testing.assert_allclose(found.transmission, image, rtol=1e-3)
    np.testing.assert_allclose(found.host.max(axis=(1, 2)), 1.0)
    with pytest.raises(DustpostError, match="no FITS file with TRUE_HOST"):
        (tmp_path / "empty").mkdir()
        training_set.from_folder(tmp_path / "empty")


def test_a_run_goes_on_in_the_moments_of_its_start(task):
    """Weights mean nothing under another preconditioning."""
    moments = task.denoiser.moments._replace(mean=0.2, spread=0.3)
    moved = task._replace(denoiser=task.denoiser._replace(moments=moments))
    assert moved.after(task.describe()) == task
