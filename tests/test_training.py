"""Training: it learns, it resumes to the bit, and its parts do what they say."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.networks import batches, checkpoint, training
from dustpost.networks.unet import UNet

TINY = UNet(channels=(8, 8), blocks=(1, 1), blocks_up=(1,), embedding=8, heads=2, coarse=True)
CONFIG = training.Config(steps=30, batch=4, micro=2, warmup=5, rate=5e-3)


@pytest.fixture(scope="module")
def pairs():
    """Eight hosts with dust where the light is."""
    axis = np.arange(16) - 7.5
    width = np.linspace(2.0, 4.0, 8)[:, None, None]
    host = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2)[None] / width**2)
    return host.astype(np.float16), (1 - 0.5 * host).astype(np.float16)


@pytest.fixture(scope="module")
def finished(pairs, tmp_path_factory):
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    return out, training.train(TINY, *pairs, out, CONFIG, every=10)


def test_loss_falls(finished):
    out, _ = finished
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [10, 20, 30]
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]
    assert set(log[0]["rmse"]) == {str(level) for level in training.LEVELS}


def test_resumed_run_ends_with_the_same_bits(pairs, finished, tmp_path, monkeypatch):
    """Killed after step 13, resumed from the checkpoint of step 10."""
    whole, state = finished
    real, steps = training.train_step, []

    def dies(*inputs):
        steps.append(1)
        if len(steps) > 13:
            raise KeyboardInterrupt
        return real(*inputs)

    monkeypatch.setattr(training, "train_step", dies)
    with pytest.raises(KeyboardInterrupt):
        training.train(TINY, *pairs, tmp_path, CONFIG, every=10)
    monkeypatch.setattr(training, "train_step", real)
    again = training.train(TINY, *pairs, tmp_path, CONFIG, every=10)
    jax.tree.map(np.testing.assert_array_equal, state, again)
    one, _ = checkpoint.load(whole / training.WEIGHTS)
    other, _ = checkpoint.load(tmp_path / training.WEIGHTS)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_symmetries_are_the_eight_of_the_square():
    image = jnp.arange(9.0).reshape(3, 3)
    turned = {np.asarray(batches.dihedral(jnp.asarray(n), image)).tobytes() for n in range(8)}
    assert len(turned) == 8


def test_corruption_treats_both_images_alike():
    """Host and dust are turned by one element, and the noise has the stated size."""
    image = jax.random.uniform(jax.random.key(0), (16, 32, 32)) + 1.0
    corrupt = jax.jit(batches.corrupt, static_argnums=(3, 4))
    clean, noisy, host, sigma = corrupt(jax.random.key(1), image, image, (0.01, 2.0), 0.0)
    np.testing.assert_allclose(host, batches.condition(clean), rtol=1e-5)
    measured = jnp.std(noisy - clean, axis=(1, 2))
    np.testing.assert_allclose(measured, sigma, rtol=0.12)
    assert sigma.min() >= 0.01 and sigma.max() <= 2.0
