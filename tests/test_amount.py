"""The amount of dust that an image alone tells: what the network sees, and what it says."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from dustpost import amount
from dustpost.networks.amount import (
    BINS,
    DEEPEST,
    FINEST,
    Amount,
    coordinate,
    features,
    loss,
    quantiles,
)
from dustpost.reproduce.exposure import observe
from dustpost.reproduce.sources import find_views


@pytest.fixture(scope="module")
def views():
    """Simulated galaxies through HSC's PSFs at a peak signal-to-noise of 30."""
    return [observe(view.read(False), 30.0, 0) for view in find_views(None, 30, 1, 77)]


def test_the_calibration_of_the_bands_does_not_matter(views):
    data, noise, width = amount.seen(views[0])
    before = features(*map(jnp.asarray, (data, noise, width)))
    factor = np.array([0.2, 3.0, 40.0], np.float32)
    after = features(data * factor[:, None, None], noise * factor, width)
    np.testing.assert_allclose(after, before, atol=2e-4)
    assert before.shape == (64, 64, 6) and np.ptp(before[..., 1]) > 0.5


def test_quantiles_are_those_of_the_density():
    edges = np.linspace(0.0, DEEPEST, BINS + 1)
    share = np.diff(scipy.stats.norm.cdf(edges, 2.0, 0.5))
    found = coordinate(np.array(quantiles(share, (0.16, 0.5, 0.84))))
    np.testing.assert_allclose(found, [1.5, 2.0, 2.5], atol=0.02)


def test_the_loss_is_least_for_the_true_bin():
    class Sure:
        def apply(self, parameters, images):
            return jnp.zeros((1, BINS)).at[0, parameters].set(9.0)

    true = jnp.array([0.5])
    losses = [loss(b, None, true, Sure()) for b in range(BINS)]
    assert int(np.argmin(losses)) == int(coordinate(0.5) / DEEPEST * BINS)


def test_the_network_that_ships_knows_dusty_galaxies_from_others(views):
    """Of thirty that it was not taught: most intervals hold, and what is dusty looks dusty."""
    truth = np.array([cutout.truth.mean_attenuation for cutout in views])
    found = [amount.image_alone(cutout) for cutout in views]
    low, middle, high = (
        np.array([one[f"image_alone_{q}"] for one in found]) for q in ("q05", "q50", "q95")
    )
    assert np.median(middle[truth > 0.2]) > 2 * np.median(middle[truth < 0.02])
    assert ((low <= np.maximum(truth, FINEST)) & (truth <= high)).mean() > 0.75


def test_of_a_cutout_of_another_kind_nothing_is_told(views):
    cutout = views[0]
    assert amount.why_not(cutout) == ""
    others = {
        "no band near g": replace(cutout, wavelength=cutout.wavelength + 0.5),
        "not 64x64": replace(cutout, data=cutout.data[:, 8:-8, 8:-8]),
        "a redshift of 0.6": replace(cutout, redshift=0.6),
        "PSFs": replace(cutout, psf=np.ones((len(cutout.bands), 1, 1), np.float32)),
        "masked": replace(cutout, ivar=cutout.ivar * (np.arange(64) < 32)),
        "a peak signal-to-noise": replace(cutout, ivar=cutout.ivar * 0.01),
    }
    for word, other in others.items():
        assert word in amount.why_not(other), word
        assert list(amount.image_alone(other)) == ["image_alone_missing"]


def test_the_network_needs_no_certain_size():
    network = Amount((8, 8))
    images = jnp.zeros((2, 32, 32, 6))
    assert network.init_with_output(jax.random.key(0), images)[0].shape == (2, BINS)
