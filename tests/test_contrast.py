"""Learning from the energy's own chains, where the answer is known, and resumed to the bit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.networks import contrast, edm, host, joint, training
from dustpost.networks.joint import HOST_ENDS
from dustpost.train import Design, Source, train_network
from tests.test_energies import SIDE, TINY

pytestmark = pytest.mark.usefixtures("quick_compilation")

CLEAR = HOST_ENDS[0]


class Linear(NamedTuple):
    """N(z) = c + a (z - c): exp(-E) is a Gaussian of variance tau^2/(1 - a) about c."""

    def picture(self, params, z, tau):
        return CLEAR + params["a"] * (z - CLEAR)

    def parts(self, params, z, tau):
        picture = self.picture(params, z, tau)
        return edm.Parts(picture, picture, jnp.zeros(len(z)))


def spread(chains) -> float:
    """Variance about c in units of the noise's."""
    return float(jnp.mean(jnp.square((chains - CLEAR) / contrast.noise())))


def test_chains_follow_the_energy(monkeypatch):
    monkeypatch.setattr(contrast, "ANEW", 0.0)
    clean = jnp.full((contrast.MANY, 8, 8), CLEAR)
    chains, found = contrast.begin(jax.random.key(0), clean), []
    for number in range(120):
        key = jax.random.fold_in(jax.random.key(1), number)
        chains, _ = contrast.step(key, Linear(), {"a": jnp.asarray(0.5)}, chains, clean, 1.0)
        found.append(spread(chains))
    assert found[0] < 1.5
    # 40 times 3072 pixels, not independent
    assert np.mean(found[80:]) == pytest.approx(2.0, rel=0.03)


def test_the_energy_learns_the_data():
    """Too wide a Gaussian, a = 0.5, is narrowed to the noise about c: a = 0."""
    clean = jnp.full((contrast.MANY, 8, 8), CLEAR)
    params, chains = {"a": jnp.asarray(0.5)}, contrast.begin(jax.random.key(0), clean)
    for number in range(200):
        key = jax.random.fold_in(jax.random.key(2), number)
        chains, gradient = contrast.step(key, Linear(), params, chains, clean, 1.0)
        params = {"a": params["a"] - 0.1 * gradient["a"]}
    assert abs(float(params["a"])) < 0.05


def test_a_run_with_chains_resumes_to_the_bit(tmp_path, train_and_die):
    random = np.random.default_rng(0)
    hosts = random.uniform(0, 1, (256, SIDE, SIDE)).astype(np.float16)
    moments = edm.Precondition(3.0, 2.0, softest=0.1), edm.Precondition(0.1, 0.2)
    denoiser = joint.JointDenoiser(TINY, *moments, 80.0, size=SIDE, parameterisation="energy")
    config = training.Config(steps=4, batch=16, warmup=2)
    arguments = hosts, np.ones_like(hosts), "noise"
    task = host.HostTask(denoiser, 5.0)
    whole = training.train(task, *arguments, tmp_path / "whole", config, every=2)
    assert whole.chains.shape == (contrast.MANY, SIDE, SIDE)
    train_and_die(3, task, *arguments, tmp_path / "cut", config, every=2)
    again = training.train(task, *arguments, tmp_path / "cut", config, every=2)
    jax.tree.map(np.testing.assert_array_equal, whole, again)
    without = training.train(
        host.HostTask(denoiser), *arguments, tmp_path / "without", config, every=2
    )
    assert len(without.chains) == 0
    moved = [
        float(jnp.abs(a - b).max())
        for a, b in zip(*map(jax.tree.leaves, (whole.params, without.params)), strict=True)
    ]
    assert max(moved) > 0
    with pytest.raises(DustpostError, match="another contrast"):
        training.train(host.HostTask(denoiser), *arguments, tmp_path / "whole", config)


@pytest.mark.parametrize("kind, parameterisation", [("host", "score"), ("dust", "energy")])
def test_contrast_is_for_energies_of_hosts(tmp_path, kind, parameterisation):
    pairs = tmp_path / "pairs.npz"
    images = np.ones((16, 64, 64), np.float16)
    np.savez(pairs, host=images, transmission=images)
    design = Design(parameterisation=parameterisation, contrast=3.0)
    with pytest.raises(DustpostError, match="--contrast 3.0"):
        train_network(kind, tmp_path / "out", Source(npz=pairs), design, training.Config())
