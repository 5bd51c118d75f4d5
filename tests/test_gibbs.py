"""The whole sweep in a world where the joint density is known (Geweke 2004).

A galaxy from the prior with data drawn from it is a draw from the joint density. Sweeps that
leave the posterior invariant leave the joint invariant: after any number of them the galaxies
must still be distributed as the prior, and fit their data as well as the true ones did.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dustpost import coordinates
from dustpost.diagnostics.geweke import geweke_z
from dustpost.likelihood import log_likelihood
from dustpost.samplers import flux, gibbs
from tests import gaussian_world as world

GALAXIES, SWEEPS, STEPS = 2000, 8, 4


def functionals(state, target):
    """Numbers whose means must not move; squares see the widths, products the ties."""
    galaxy, position = state.galaxy, state.position
    log_flux = jnp.log(state.flux.value) - target.flux_prior.mean
    slope = position.slope - target.slope_prior.mean
    screen = coordinates.log_screen(galaxy.host, galaxy.transmission)
    dust = position.dust[3, 4] - 0.7
    values = [slope, log_flux[0], log_flux[2] - log_flux[0], screen, dust, position.dust[0, 0]]
    values += [position.host[3, 3], galaxy.host[3, 4], slope**2, log_flux[0] ** 2, dust**2]
    values += [screen**2, slope * log_flux[0], screen * log_flux[0], dust * galaxy.host[3, 4]]
    values += [log_likelihood(target.observation, galaxy.templates, state.flux.value)]
    return jnp.stack(values)


@partial(jax.jit, static_argnames=("sweep",))
def before_and_after(keys, target, sweep):
    def one(key):
        prior_key, data_key, *sweep_keys = jax.random.split(key, 2 + SWEEPS)
        position, value = world.draw_prior(prior_key, target)
        seen = world.draw_data(data_key, target, position, value)
        galaxy = seen.galaxy(position)
        weighed = flux.weigh(value, galaxy, seen.flux_prior)
        state = gibbs.State(position, galaxy, weighed)
        # fixed masses: they may not depend on the galaxy
        tuning = gibbs.Tuning(
            jnp.asarray(0.4),
            jnp.asarray(0.4),
            (jnp.full(world.SHAPE, 500.0), jnp.asarray(20.0)),
            jnp.full(world.SHAPE, 25.0),
        )
        first = functionals(state, seen)

        def step(state, key):
            return sweep(key, state, seen, tuning, STEPS)

        state, info = jax.lax.scan(step, state, jnp.stack(sweep_keys))
        return first, functionals(state, seen), info

    return jax.vmap(one)(keys)


def z_scores(sweep):
    keys = jax.random.split(jax.random.key(1), GALAXIES)
    first, last, info = before_and_after(keys, world.target(noise=0.05), sweep)
    distance = np.std(last - first, axis=0) / np.std(first, axis=0)
    return geweke_z(first, last), distance, info


def test_sweeps_leave_the_joint_density_invariant():
    z, distance, info = z_scores(gibbs.kernel)
    assert distance.min() > 0.1  # everything moved, by a fair part of its prior's width
    assert 0.5 < info.acceptance_dust.mean() < 0.99
    assert 0.5 < info.acceptance_host.mean() < 0.99
    assert info.acceptance_flux.mean() > 0.8
    assert np.abs(z).max() < 3.5, z


def stale_flux(key, state, target, tuning, steps):
    """Negative control: collapsed moves, but F keeps the value it had before them."""
    after, info = gibbs.kernel(key, state, target, tuning, steps)
    kept = flux.weigh(state.flux.value, after.galaxy, target.flux_prior)
    return after._replace(flux=kept), info


def test_a_flux_that_is_not_redrawn_is_seen():
    z, distance, _ = z_scores(stale_flux)
    assert np.abs(z[distance > 0]).max() > 5


def moving_mass(key, state, target, tuning, steps):
    """Negative control: a mass computed from the very variables that it moves."""
    mass = 30.0 / jnp.maximum(state.position.dust, 0.2) ** 8
    tuning = tuning._replace(precision_dust=(mass, tuning.precision_dust[1]))
    return gibbs.kernel(key, state, target, tuning, steps)


def test_a_mass_of_the_moving_variables_is_seen():
    assert np.abs(z_scores(moving_mass)[0]).max() > 5
