"""The grey move: what it holds, and that it leaves its target as it is."""

import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.attenuation import band_attenuation
from dustpost.errors import DustpostError
from dustpost.galaxy import Position
from dustpost.samplers import gibbs, grey
from tests import gaussian_world as world
from tests.test_gibbs import z_scores


def test_along_the_curve_the_dust_reddens_as_much_and_the_light_stays():
    target, curve = world.full_target(), world.grey_curve()
    seen = []
    for slope in (-0.4, 0.2, 0.6):
        host, dust = grey.place(target, curve, jnp.asarray(slope))
        image = jnp.expm1(0.1 * host / target.host_prior.level(target.sigma_host).scale)
        given = target.observation.wavelength, target.observation.weight, slope
        k = np.asarray(band_attenuation(*given, target.curve, target.norm))
        dimming = k[:, None, None] * np.log(np.asarray(dust))
        seen.append((dimming.std(axis=0), np.log(image) + dimming.mean(axis=0)))
    for reddening, light in seen:
        np.testing.assert_allclose(reddening, seen[1][0], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(light - light.mean(), seen[1][1] - seen[1][1].mean(), atol=1e-4)


def test_the_curve_passes_through_the_mean_of_the_chains():
    target, curve = world.full_target(), world.grey_curve()
    host, dust = grey.place(target, curve, curve.slope)
    many = Position(
        jnp.stack([host - 0.3, host + 0.3]), jnp.stack([dust, dust]), jnp.array([0.1, 0.3])
    )
    found = grey.curve(target.replace(sigma_host=jnp.asarray(1e-4)), many, jnp.stack([dust, dust]))
    again, there = grey.place(target, found, found.slope)
    np.testing.assert_allclose(there, dust, rtol=1e-5)
    np.testing.assert_allclose(again, host, rtol=0.03, atol=0.03)


def alone(key, state, target, tuning, steps):
    """The grey move and nothing else."""
    return gibbs.kernel(key, state, target, tuning, steps, scan=("grey",))


def of_the_galaxy(key, state, target, tuning, steps):
    """Negative control: the curve of the galaxy that is moved, which is no shear."""
    depth, slope = jnp.log(state.galaxy.transmission), state.position.slope
    curve = tuning.curve._replace(log_transmission=3 * depth, slope=slope)
    return alone(key, state, target, tuning._replace(curve=curve), steps)


def test_the_move_alone_leaves_the_joint_density_invariant():
    z, distance, info = z_scores(alone, world.full_target())
    assert distance[0] > 0.5 and distance[3] > 0.02  # of the slope and of the screen
    assert 1 < info.slope_tries.mean() < 10
    assert np.abs(z).max() < 3.5, z


def test_a_curve_of_the_moving_galaxy_is_seen():
    assert np.abs(z_scores(of_the_galaxy, world.full_target())[0]).max() > 5


def test_it_is_refused_where_a_prior_has_only_a_score():
    with pytest.raises(DustpostError, match="joint density"):
        gibbs.scan_of(world.anchored_target(), ("grey",))
