"""Learning from the energy's own chains, where the answer is known, and resumed to the bit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.networks import contrast, dust, edm, host, joint, training
from dustpost.networks.joint import HOST_ENDS
from dustpost.train import Design, Source, train_network
from tests.test_energies import SIDE, TINY

pytestmark = pytest.mark.usefixtures("quick_compilation")

CLEAR = HOST_ENDS[0]


class Linear(NamedTuple):
    """N(z) = c + a g (z - c): exp(-E) is a Gaussian of variance tau^2/(1 - a g) about c."""

    clear: float = CLEAR

    def picture(self, params, z, tau, given):
        return CLEAR + params["a"] * given[:, None, None] * (z - CLEAR)

    def parts(self, params, z, tau, given):
        picture = self.picture(params, z, tau, given)
        return edm.Parts(picture, picture, jnp.zeros(len(z)))


BATCH = 16
MANY, MOVED = 48, 8  # chains of such a batch
CLEAN = jnp.full((MANY, 8, 8), CLEAR)
DATA = CLEAN[:BATCH]
LEVEL = jnp.linspace(0.1, 0.3, MANY)


def spread(chains) -> np.ndarray:
    """Variance of each about c in units of the noise's."""
    square = jnp.square((chains.places - CLEAR) / chains.level[:, None, None])
    return np.asarray(square.mean(axis=(1, 2)))


def test_chains_follow_the_energy(monkeypatch):
    """Of each what it was given, at its noise level."""
    monkeypatch.setattr(contrast, "ANEW", 0.0)
    given = jnp.where(jnp.arange(MANY) % 2 == 0, 1.0, 0.0)
    chains, found = contrast.noisy(jax.random.key(0), CLEAN, LEVEL, (given,)), []
    for number in range(240):
        key = jax.random.fold_in(jax.random.key(1), number)
        params = {"a": jnp.asarray(0.5)}
        chains, _ = contrast.step(key, Linear(), params, chains, DATA, 1.0, (given[:BATCH],))
        found.append(spread(chains))
    assert found[0].mean() < 1.5
    # 160 times 1536 pixels, not independent
    assert np.mean(found[80:], axis=0)[::2].mean() == pytest.approx(2.0, rel=0.03)
    assert np.mean(found[80:], axis=0)[1::2].mean() == pytest.approx(1.0, rel=0.03)


def test_chains_that_begin_anew_take_what_data_are_given(monkeypatch):
    monkeypatch.setattr(contrast, "ANEW", 1.0)
    given = jnp.zeros(MANY)
    chains = contrast.noisy(jax.random.key(0), CLEAN, LEVEL, (given,))
    arguments = jax.random.key(1), Linear(), {"a": jnp.asarray(0.5)}, chains, DATA, 1.0
    chains, _ = contrast.step(*arguments, (given[:BATCH] + 1,))
    assert float(chains.given[0].sum()) == MOVED
    np.testing.assert_array_equal(chains.level, LEVEL)


def test_chains_may_begin_anew_where_no_data_are(monkeypatch):
    """At the images given for it, with noise of their level; without steps they stay there."""
    monkeypatch.setattr(contrast, "ANEW", 1.0)
    monkeypatch.setattr(contrast, "STEPS", 0)
    given = (jnp.zeros(MANY),)
    chains = contrast.noisy(jax.random.key(0), CLEAN, LEVEL, given)
    data = DATA, 1.0, (given[0][:BATCH],), DATA + 10.0
    arguments = jax.random.key(1), Linear(), {"a": jnp.asarray(0.5)}, chains, *data
    moved, _ = contrast.step(*arguments)
    away = moved.places.mean(axis=(1, 2)) > CLEAR + 9
    assert float(away.sum()) == MOVED
    assert spread(moved._replace(places=moved.places - 10.0))[away].mean() < 1.5


def test_the_energy_learns_the_data():
    """Too wide a Gaussian, a = 0.5, is narrowed to the noise about c: a = 0."""
    given = (jnp.ones(MANY),)
    params = {"a": jnp.asarray(0.5)}
    chains = contrast.noisy(jax.random.key(0), CLEAN, LEVEL, given)
    for number in range(200):
        key = jax.random.fold_in(jax.random.key(2), number)
        data = DATA, 1.0, (given[0][:BATCH],)
        chains, gradient = contrast.step(key, Linear(), params, chains, *data)
        params = {"a": params["a"] - 0.1 * gradient["a"]}
    assert abs(float(params["a"])) < 0.05


def task_of(kind: str, hosts, transmissions, weight: float):
    """A tiny energy of one kind, that learns from its own chains or does not."""
    if kind == "dust":
        options = dict(parameterisation="energy", channels=(4, 4, 4))
        return dust.task(hosts, transmissions, **options, weight=weight)
    moments = edm.Precondition(3.0, 2.0, softest=0.1), edm.Precondition(0.1, 0.2)
    denoiser = joint.JointDenoiser(TINY, *moments, 80.0, size=SIDE, parameterisation="energy")
    return host.HostTask(denoiser, weight)


@pytest.mark.parametrize("kind", ["host", "dust"])
def test_a_run_with_chains_resumes_to_the_bit(tmp_path, train_and_die, kind):
    random = np.random.default_rng(0)
    hosts, maps = random.uniform(0, 1, (2, 256, SIDE, SIDE)).astype(np.float16)
    config = training.Config(steps=4, batch=16, warmup=2)
    arguments = hosts, maps, "noise"
    task = task_of(kind, hosts, maps, 5.0)
    whole = training.train(task, *arguments, tmp_path / "whole", config, every=2)
    assert whole.chains.places.shape == (MANY, SIDE, SIDE)
    train_and_die(3, task, *arguments, tmp_path / "cut", config, every=2)
    again = training.train(task, *arguments, tmp_path / "cut", config, every=2)
    jax.tree.map(np.testing.assert_array_equal, whole, again)
    other = task_of(kind, hosts, maps, 0.0)
    without = training.train(other, *arguments, tmp_path / "without", config, every=2)
    assert len(without.chains) == 0
    moved = [
        float(jnp.abs(a - b).max())
        for a, b in zip(*map(jax.tree.leaves, (whole.params, without.params)), strict=True)
    ]
    assert max(moved) > 0
    with pytest.raises(DustpostError, match="another contrast"):
        training.train(other, *arguments, tmp_path / "whole", config)


@pytest.mark.parametrize("kind", ["host", "dust"])
def test_contrast_is_for_energies(tmp_path, kind):
    pairs = tmp_path / "pairs.npz"
    images = np.ones((16, 64, 64), np.float16)
    np.savez(pairs, host=images, transmission=images)
    design = Design(parameterisation="score", contrast=3.0)
    with pytest.raises(DustpostError, match="--contrast 3.0"):
        train_network(kind, tmp_path / "out", Source(npz=pairs), design, training.Config())


def test_some_chains_begin_behind_smooth_dust_where_the_light_is():
    """Darker than the maps by 0.2 to 3 mag at the centre, by nothing where there is no light."""
    row = np.arange(SIDE) - SIDE / 2
    hosts = np.tile(np.exp(-0.5 * (row[:, None] ** 2 + row**2) / (SIDE / 10) ** 2), (MANY, 1, 1))
    maps = np.random.default_rng(0).uniform(0.2, 1.0, hosts.shape)
    task = dust.task(hosts, maps, parameterisation="energy", channels=(4, 4, 4), weight=1.0)
    clean, given = task.clean(jax.random.key(0), hosts, maps)
    away = task.astray(jax.random.key(1), clean, given)
    depth = -2.5 * np.log10(np.asarray(away) / np.asarray(clean))
    assert depth.min() > -1e-5 and depth.max() < 3.0
    centre = depth[:, SIDE // 2, SIDE // 2]
    assert centre.min() < 0.3 and centre.max() > 1.5
    assert np.all(centre >= depth[:, 0, 0])
    pairs = contrast.begin(jax.random.key(0), task, hosts, maps, BATCH).places
    darker = (np.asarray(clean) - np.asarray(pairs))[:, hosts[0] > 0.5].mean(axis=1) > 0.1
    assert 0.1 < darker.mean() < 0.5
