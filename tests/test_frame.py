"""Frames: the few directions that are not noise, and sweeps that move in them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from dustpost.coordinates import clean_from_image, image_from_clean
from dustpost.galaxy import Host
from dustpost.samplers import directions, frame, gibbs
from tests import gaussian_world as world
from tests.test_gibbs import z_scores

SIZE = 65  # variables of the dust block
CHAINS = 3


def places(target, position):
    """Chains at one position."""
    keys = jax.random.split(jax.random.key(1), CHAINS)
    return jax.vmap(lambda key: gibbs.init(key, position, target))(keys)


def fitted(target, position, rank, scan=()):
    tuning = gibbs.tune(target, position, 0.4, scan)
    return gibbs.retune(jax.random.key(2), places(target, position), target, tuning, rank).frames


def matrix(seat):
    """P itself."""
    return np.eye(SIZE) + seat.basis.T @ ((seat.precision - 1.0)[:, None] * seat.basis)


def gauss_newton(target, position, scale):
    """P by its formula, in full, with automatic derivatives."""
    start, unravel = ravel_pytree((position.dust, position.slope))
    size, _ = ravel_pytree(scale)
    host = target.galaxy(position).host
    root, log_flux = jnp.sqrt(target.observation.ivar), jnp.log(target.galaxy(position).estimate)

    def model(w, log_flux):
        dust, slope = unravel(start + size * w)
        transmission = target.dust_of(dust, Host(position.host, host)).transmission
        cube = target.explicit(host, transmission, slope)[1].templates
        return (jnp.exp(log_flux)[:, None, None] * cube * root).ravel()

    m = jax.jacrev(model, 0)(jnp.zeros(SIZE), log_flux)
    t = jax.jacrev(model, 1)(jnp.zeros(SIZE), log_flux)
    of_flux = t.T @ t + target.flux_prior.precision

    @jax.jit
    def density(w):
        return target.dust_of(unravel(start + size * w)[0], Host(position.host, host)).log_density

    prior = -jax.hessian(density)(jnp.zeros(SIZE)).at[-1, -1].set(-1.0)
    return np.asarray(prior + m.T @ m - m.T @ t @ jnp.linalg.solve(of_flux, t.T @ m))


@pytest.fixture(scope="module")
def observed():
    """A galaxy of the Gaussian world."""
    return world.observed(jax.random.key(3), world.target(noise=0.004))


def test_all_directions_give_the_precision_itself(observed):
    target, position = observed
    seat = fitted(target, position, SIZE)["dust"]
    exact = gauss_newton(target, position, seat.scale)
    scale = np.abs(exact).max()
    assert np.abs(seat.basis @ seat.basis.T - np.eye(SIZE)).max() < 1e-5
    # differences over REACH, float32; below LEAST it is held up
    turned = np.diag(seat.basis @ exact @ seat.basis.T)
    seen = np.asarray(seat.precision) > directions.LEAST * 1.01
    np.testing.assert_allclose(seat.precision[seen], turned[seen], rtol=0.1, atol=1e-3 * scale)


def test_few_directions_make_the_block_round(observed):
    """Condition of the exact precision: in units of the noise level, and in the frame.

    What keeps it from 1 is `LEAST`: one direction here is softer.
    """
    target, position = observed
    seat = fitted(target, position, 16)["dust"]
    exact = gauss_newton(target, position, seat.scale)
    values, turn = np.linalg.eigh(matrix(seat))
    root = turn @ np.diag(values**-0.5) @ turn.T
    spread = np.linalg.eigvalsh(exact)
    within = np.linalg.eigvalsh(root @ exact @ root)
    assert spread.max() / spread.min() > 100
    assert within.max() / within.min() < 25
    assert within[1] > 0.4 and within.max() < 1.6


def test_the_host_may_brighten(observed):
    """As a whole, which the data cannot see; no probe would find it."""
    target, position = observed
    seat = fitted(target, position, 4)["host"]
    x = image_from_clean(target.host_prior.denoise(position.host, target.sigma_host, None))
    along = np.ravel(clean_from_image(1.01 * x) - clean_from_image(x))
    along = along / np.linalg.norm(along)
    assert np.linalg.norm(seat.basis @ along) == pytest.approx(1.0, abs=1e-3)


def test_a_wrapped_block_is_the_block(observed):
    target, position = observed
    seat = fitted(target, position, 8)["dust"]
    block = target.dust_block(Host(position.host, target.galaxy(position).host))
    origin = position.dust, position.slope
    seen = frame.wrap(seat, origin, block)
    y = 0.3 * jax.random.normal(jax.random.key(5), (SIZE,))
    there = block.evaluate(frame.place(seat, origin, y))
    assert seen.evaluate(y).log_density == pytest.approx(float(there.log_density), rel=1e-6)
    along = jax.random.normal(jax.random.key(6), (SIZE,))
    _, explicit = jax.jvp(lambda y: seen.evaluate(y).log_density, (y,), (along,))
    _, prior = jax.jvp(seen.log_prior, (y,), (along,))
    assert seen.score(y) @ along == pytest.approx(float(prior), rel=1e-3)
    found = seen.evaluate(y)  # its prior has a density, and both share a gradient
    assert found.gradient @ along == pytest.approx(float(explicit + prior), rel=1e-3)
    assert found.score is None
    assert found.log_prior == pytest.approx(float(seen.log_prior(y)), rel=1e-6)
    still = frame.place(seat, origin, jnp.zeros(SIZE))
    np.testing.assert_array_equal(still[0], position.dust)


@pytest.mark.parametrize("cross_term", ["cut", "full"])
def test_sweeps_in_frames_leave_the_joint_density_invariant(cross_term):
    """Frames of another galaxy, fixed: poor ones, but lawful."""
    whole = world.target(noise=0.05) if cross_term == "cut" else world.coupled_target()
    target, position = world.observed(jax.random.key(8), whole)
    frames = fitted(world.score_only(target), position, 12)

    def sweep(key, state, target, tuning, steps):
        return gibbs.kernel(key, state, target, tuning._replace(frames=frames), steps)

    z, distance, info = z_scores(sweep, world.score_only(whole))
    assert distance.min() > 0.1
    for name in frames:
        assert 0.5 < info.acceptance[name].mean() < 0.999, name
    assert np.abs(z).max() < 3.5, z


def moving_frame(key, state, target, tuning, steps):
    """Negative control: a frame whose scale follows the very variables that it moves."""
    pixels = jnp.ones(world.SHAPE) * jnp.maximum(state.position.dust, 0.2) ** 4 / 5.0
    basis, precision = jnp.eye(1, SIZE), jnp.ones(1)
    seat = frame.Frame((pixels, jnp.asarray(0.2)), basis, precision)
    return gibbs.kernel(key, state, target, tuning._replace(frames={"dust": seat}), steps)


def test_a_frame_of_the_moving_variables_is_seen():
    assert np.abs(z_scores(moving_frame)[0]).max() > 5
