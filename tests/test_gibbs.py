"""The whole sweep in a world where the joint density is known (Geweke 2004).

A galaxy from the prior with data drawn from it is a draw from the joint density. Sweeps that
leave the posterior invariant leave the joint invariant: after any number of them the galaxies
must still be distributed as the prior, and fit their data as well as the true ones did.
"""

from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost import coordinates
from dustpost.diagnostics.geweke import geweke_z
from dustpost.errors import DustpostError
from dustpost.galaxy import Position
from dustpost.likelihood import log_likelihood
from dustpost.samplers import flux, gibbs
from tests import gaussian_world as world

GALAXIES, SWEEPS, STEPS = 2000, 8, 2


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
        of_dust, of_host = (
            (jnp.full(world.SHAPE, 500.0), jnp.asarray(20.0)),
            jnp.full(world.SHAPE, 25.0),
        )
        precision = {
            "orbit": jnp.asarray(2.5e3 if target.coupled else 40.0),
            "dust": of_dust,
            "host": of_host,
            "joint": Position(of_host, *of_dust),
        }
        step = dict.fromkeys(precision, jnp.asarray(0.85))
        tuning = gibbs.Tuning(step, precision, jnp.full(world.SHAPE, -0.7), world.grey_curve())
        first = functionals(state, seen)

        def step(state, key):
            return sweep(key, state, seen, tuning, STEPS)

        state, info = jax.lax.scan(step, state, jnp.stack(sweep_keys))
        return first, functionals(state, seen), info

    return jax.vmap(one)(keys)


def z_scores(sweep, target=None):
    target = world.score_only(world.target(noise=0.05)) if target is None else target
    keys = jax.random.split(jax.random.key(1), GALAXIES)
    first, last, info = before_and_after(keys, target, sweep)
    moved = np.asarray(last - first)
    return geweke_z(first, last), moved.std(axis=0) / np.asarray(first).std(axis=0), info


TARGETS = ["anchored", "anchored densities", "cut", "full", "full densities"]


@pytest.mark.parametrize("cross_term", TARGETS)
def test_sweeps_leave_the_joint_density_invariant(cross_term):
    """Scores alone but for two; under anchored and full all latents move at once."""
    target = {
        "anchored": world.anchored_target,
        "anchored densities": lambda: world.anchored(world.target(noise=0.05)),
        "cut": lambda: world.score_only(world.target(noise=0.05)),
        "full": lambda: world.score_only(world.coupled_target()),
        "full densities": world.full_target,
    }[cross_term]()
    z, distance, info = z_scores(gibbs.kernel, target)
    assert distance.min() > 0.1  # everything moved, by a fair part of its prior's width
    for name in info.acceptance:
        assert 0.5 < info.acceptance[name].mean() < 0.99, name
    assert info.acceptance["flux"].mean() > 0.8
    assert np.abs(z).max() < 3.5, z


def test_all_latents_at_once_without_the_cross_term_is_refused():
    with pytest.raises(DustpostError, match="no Metropolis ratio"):
        gibbs.scan_of(world.target(), ("joint",))
    without_anchor = world.anchored_target().replace(anchor=None)
    assert gibbs.scan_of(without_anchor) == gibbs.scan_of(world.target()) == gibbs.APART
    assert gibbs.scan_of(world.anchored_target()) == gibbs.JOINT
    assert gibbs.scan_of(world.full_target()) == gibbs.EXACT


def test_all_latents_at_once_without_the_cross_term_is_seen():
    """Negative control: the joint move, its score short of grad_z log p(x | z)."""
    short = world.score_only(world.coupled_target())
    short = short.replace(dust_prior=NoCross(**vars(short.dust_prior)))
    assert np.abs(z_scores(gibbs.kernel, short)[0]).max() > 5


@flax.struct.dataclass
class NoCross(world.ScoreOnlyCoupled):
    """Dust that says nothing of its host."""

    def conditional(self, z, x, tau, sigma):
        """Cross term left out, and E[v | z, x]."""
        cross, clean = super().conditional(z, x, tau, sigma)
        return 0.0 * cross, clean


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
    tuning.precision["dust"] = mass, tuning.precision["dust"][1]
    return gibbs.kernel(key, state, target, tuning, steps)


def test_a_mass_of_the_moving_variables_is_seen():
    assert np.abs(z_scores(moving_mass)[0]).max() > 5
