"""What the dust's energy that ships makes of a screen over a whole galaxy."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.energy_holds import looks, screens, sweep
from dustpost.priors.dust import load_dust_prior
from dustpost.settings import SIGMA_ENERGY
from dustpost.simulate.suite import draw_pairs

SWEEPS = 30  # they pass through dust of 0.3 to 0.6 mag, which is not rare among galaxies


def test_chains_come_back_from_behind_it():
    """Without data, from 1.5 mag, on galaxies never trained on that have little dust."""
    prior, sigma = load_dust_prior(energy=True), jnp.asarray(SIGMA_ENERGY)
    hosts, maps = draw_pairs(jax.random.key(2025), 16)
    hosts = hosts / hosts.sum(axis=(1, 2), keepdims=True)
    thin = (hosts * -2.5 * jnp.log10(jnp.clip(maps, 1e-3, 1.0))).sum(axis=(1, 2)) < 0.2
    large = 1 / jnp.sum(jnp.square(hosts), axis=(1, 2)) > 80  # pixels
    hosts = hosts[np.flatnonzero(thin & large)[:5]]
    assert len(hosts) == 5
    noise, key = jax.random.split(jax.random.key(0))
    deep = jnp.asarray(screens(np.asarray(hosts), 1.5), hosts.dtype)
    places = prior.latent(deep) + sigma * jax.random.normal(noise, hosts.shape)
    before = looks(prior, sigma, places, hosts)[0]
    for sweep_key in jax.random.split(key, SWEEPS):
        places, _ = sweep(prior, sigma, jax.random.split(sweep_key, len(hosts)), places, hosts)
    after = looks(prior, sigma, places, hosts)[0]
    assert before.mean() > 1.0
    assert jnp.median(after) < 0.3 and after.mean() < 0.4 * before.mean()
