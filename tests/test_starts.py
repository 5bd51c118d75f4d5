"""Where chains begin: as wide as the prior where it has a density, about the MAP where not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost import coordinates
from dustpost.errors import DustpostError
from dustpost.sample import sample_many
from dustpost.samplers import map as climb
from dustpost.samplers.map import START_TRANSMISSION
from dustpost.settings import Settings
from dustpost.starts import approach, centre, disperse
from tests import gaussian_world as world
from tests.synthetic import make_cutout

CHAINS = 48


@pytest.fixture(scope="module")
def galaxy():
    """A target and a place that stands for its MAP."""
    return world.observed(jax.random.key(3), world.target(noise=0.004))


def test_with_densities_starts_are_as_wide_as_the_prior(galaxy):
    """Mean and sd of the dust over the chains are its prior's, and S D is the MAP's."""
    target, best = galaxy
    starts = disperse(jax.random.key(0), target, best, CHAINS)
    light, _ = target.host_of(best.host)
    keys = jax.random.split(jax.random.key(1), 400)
    prior = np.asarray(jax.lax.map(lambda key: target.draw_dust(key, light), keys))
    found = np.asarray(starts.dust)
    sd = prior.std(axis=0)
    assert np.abs((found.mean(axis=0) - prior.mean(axis=0)) / sd).max() < 5 / CHAINS**0.5
    assert 0.9 < (found.std(axis=0) / sd).mean() < 1.1

    wanted = light.image * target.galaxy(best).transmission
    for host, dust in zip(starts.host, starts.dust, strict=True):
        scale = target.host_prior.level(target.sigma_host).scale
        clear = coordinates.host_from_clean(host / scale)
        darkened = clear * target.dust_of(dust, light).transmission
        shape = np.asarray(darkened / darkened.sum() - wanted / wanted.sum())
        # what differs is the noise of the host's latent
        noise = float(coordinates.STRETCH * target.sigma_host)
        assert np.abs(shape).max() < 8 * noise * float((wanted / wanted.sum()).max())
    assert np.ptp(starts.slope) > 0


def test_with_scores_they_are_the_maps_dust_and_none_in_turn(galaxy):
    target, best = galaxy
    starts = disperse(jax.random.key(0), world.score_only(target), best, 4)
    transmission = target.galaxy(best).transmission
    none = jnp.full_like(transmission, START_TRANSMISSION)
    sigma = float(target.sigma_dust)
    for start, clean in zip(starts.dust, 2 * [transmission, none], strict=True):
        latent = target.dust_prior.latent(clean)
        assert np.abs(start - latent).max() < 6 * sigma
    assert np.abs(starts.dust[0] - starts.dust[2]).max() > 0  # noise of their own


def test_with_energies_chains_begin_about_the_stacked_image_and_are_not_relaxed(galaxy):
    """The first guess of the MAP's climb, dispersed, as it is."""
    target, _ = galaxy
    settings, key = Settings(chains=3), jax.random.key(5)
    guess = climb.start(target)
    found = centre(target)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, guess)
    spread_key, _ = jax.random.split(key)
    expected = disperse(spread_key, target, found, 3)
    jax.tree.map(np.testing.assert_array_equal, approach(key, target, found, settings), expected)


def test_with_scores_they_begin_about_the_map_and_are_relaxed(galaxy):
    target, settings = world.score_only(galaxy[0]), Settings(chains=2, relax=25)
    best, key = centre(target), jax.random.key(5)
    guess = climb.start(target)
    assert float(jnp.abs(best.host - guess.host).max()) > 0
    spread_key, _ = jax.random.split(key)
    starts = disperse(spread_key, target, best, 2)
    assert float(jnp.abs(approach(key, target, best, settings).host - starts.host).max()) > 0


def test_chains_begin_where_they_are_told(galaxy):
    """Of a galaxy whose chains begin nowhere nothing is drawn, and it is said."""
    target, _ = galaxy
    seen = []

    def start(key, target, best, settings, progress):
        seen.append(best)
        nowhere = disperse(key, target, best, settings.chains)
        return nowhere._replace(dust=nowhere.dust * jnp.nan)

    keys, cutouts = jax.random.key(0)[None], [make_cutout()]
    (found,) = sample_many(keys, cutouts, Settings(chains=2), targets=[target], start=start)
    jax.tree.map(np.testing.assert_array_equal, seen[0], jax.jit(climb.start)(target))
    assert isinstance(found, DustpostError) and "not finite where they start" in str(found)
