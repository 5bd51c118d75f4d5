"""Score-HMC on targets whose posterior is known."""

from functools import partial

import arviz
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from dustpost.block import Block, Evaluation
from dustpost.samplers import hmc
from tests import gaussian_world as world

HALF_NORMAL = dist.HalfNormal(1.0)


def block(score, log_likelihood) -> Block:
    """Block of one vector, its prior known by its score alone."""

    def evaluate(x):
        value, gradient = jax.value_and_grad(log_likelihood)(x)
        return Evaluation(score(x), value, gradient, None)

    return Block(score, evaluate)


@partial(jax.jit, static_argnames=("block", "kernel", "draws", "steps"))
def chain(key, start, precision, block, step, draws, steps=5, kernel=hmc.kernel):
    def sweep(state, key):
        state, info = kernel(key, state, block, step, precision, steps)
        return state, (state.moving, info)

    return jax.lax.scan(sweep, hmc.init(start, block), jax.random.split(key, draws))[1]


def gaussian_score(x):
    return -x


def shifted(x):
    return -0.5 * jnp.sum((x - 2.0) ** 2)


@pytest.mark.parametrize("dimension", [1, 64, 1024, 4096])
def test_the_prior_is_not_dropped(dimension):
    """N(0, 1) prior x N(2; x, 1) has the posterior N(1, 1/2) in each dimension."""
    problem = block(gaussian_score, shifted)
    step = 0.7 / dimension**0.25
    # trajectories of half a period keep |x - 1|: 3000 draws know the sd in one dimension to 0.02
    many = 60_000 if dimension == 1 else 3000
    draws, info = chain(
        jax.random.key(0), jnp.ones(dimension), jnp.full(dimension, 2.0), problem, step, many
    )
    assert info.acceptance.mean() > 0.7
    error = 4 * np.sqrt(0.5 / arviz.ess(np.asarray(draws[None, :, 0])) / dimension)
    assert abs(draws.mean() - 1.0) < max(error, 0.02)
    assert abs(draws.std() - 0.5**0.5) < max(error, 0.02)


def test_a_made_up_density_drops_the_prior():
    """A replica of what must not happen: log p = 0 with the score as custom gradient.

    HMC moves along the right gradient, and its accept step then undoes the prior: the
    chain samples the likelihood N(2, 1), with a good acceptance rate.
    """

    @jax.custom_vjp
    def fake(x):
        return jnp.zeros(())

    fake.defvjp(lambda x: (fake(x), x), lambda x, g: (g * gaussian_score(x),))
    import blackjax

    kernel = blackjax.hmc(lambda x: fake(x) + shifted(x), 0.2, jnp.ones(1), 2)
    step = jax.jit(kernel.step)

    def sweep(state, key):
        state, info = step(key, state)
        return state, (state.position, info.acceptance_rate)

    keys = jax.random.split(jax.random.key(1), 20000)
    _, (draws, rate) = jax.lax.scan(sweep, kernel.init(jnp.ones(1)), keys)
    assert rate.mean() > 0.6
    assert abs(draws.mean() - 2.0) < 0.1 and abs(draws.std() - 1.0) < 0.1


def skewed_score(x):
    # gamma(3, 1) in y = e^x, hence in x: 3x - e^x
    return 3.0 - jnp.exp(x)


def no_likelihood(x):
    return jnp.zeros(())


def test_a_skewed_prior():
    """Two gates: enough effective draws, then quantiles within 3 standard errors."""
    problem = block(skewed_score, no_likelihood)
    dimension = 16
    draws, info = chain(
        jax.random.key(2), jnp.zeros(dimension), jnp.full(dimension, 3.0), problem, 0.6, 8000
    )
    draws = np.asarray(draws)[500:]
    ess = np.mean([arviz.ess(draws[None, :, i]) for i in range(dimension)])
    assert ess > 1000
    truth = stats.loggamma(3.0)
    for q in (0.1, 0.5, 0.9):
        inside = (draws < truth.ppf(q)).mean()
        assert abs(inside - q) < 3 * np.sqrt(q * (1 - q) / (ess * dimension))


def unadjusted(key, state, block, step_size, precision, steps):
    """Negative control: the same trajectory, always taken."""
    end, info = hmc.kernel(key, state, block, step_size, precision, steps)
    momentum_key, jitter_key, _ = jax.random.split(key, 3)
    step = step_size * hmc.jitter(jitter_key, state.moving.dtype)
    place, momentum = (
        state.moving,
        jnp.sqrt(precision) * jax.random.normal(momentum_key, state.moving.shape),
    )
    for _ in range(steps):
        momentum = momentum + 0.5 * step * block.score(place)
        place = place + step * momentum / precision
        momentum = momentum + 0.5 * step * block.score(place)
    return hmc.init(place, block), info


def test_without_acceptance_the_same_test_fails():
    problem = block(skewed_score, no_likelihood)
    draws, _ = chain(
        jax.random.key(2), jnp.zeros(16), jnp.full(16, 3.0), problem, 0.9, 8000, 5, unadjusted
    )
    draws = np.asarray(draws)[500:]
    inside = (draws < stats.loggamma(3.0).ppf(0.1)).mean()
    assert not abs(inside - 0.1) < 3 * np.sqrt(0.1 * 0.9 / (1000 * 16))


def test_a_pair_of_steps_errs_less_than_two_leapfrogs():
    """N(0, 1) in 4096 dimensions, a trajectory of the same length; and it can be run back."""
    ones = jnp.ones(4096)
    problem = block(gaussian_score, no_likelihood)
    rates = [
        float(chain(jax.random.key(3), ones, ones, problem, 0.3, 400, steps)[1].acceptance.mean())
        for steps in (9, 10)
    ]
    assert rates[0] < 0.85 and rates[1] > 0.95
    for steps in (1, 6, 9):
        share = hmc.kicks(steps)
        np.testing.assert_allclose(share, (1 - share)[::-1], rtol=1e-6)


def test_prior_change_against_the_exact_density():
    """The integral along the trajectory is the change of ln p, to 0.02 nat rms at 64x64.

    The trapezoid rule on the same nodes is off by more.
    """
    problem = block(skewed_score, no_likelihood)
    log_density = lambda x: jnp.sum(3.0 * x - jnp.exp(x))  # noqa: E731
    start = jnp.log(jax.random.gamma(jax.random.key(0), 3.0, (64 * 64,)))
    draws, info = chain(jax.random.key(1), start, jnp.full(4096, 3.0), problem, 0.15, 40, 8)
    exact = jnp.diff(jax.vmap(log_density)(jnp.concatenate([start[None], draws])))
    error = np.asarray(info.prior_change - exact)[np.asarray(info.accepted)]
    assert error.size > 20
    assert np.sqrt(np.mean(error**2)) < 0.02


def test_blocks_of_the_target_against_the_exact_density():
    """Both blocks of the Gaussian world; its score is linear, so the chord agrees too."""
    keys = jax.random.split(jax.random.key(3), 4)
    position, flux = world.draw_prior(keys[0], world.target())
    target = world.draw_data(keys[1], world.target(), position, flux)
    scores = world.score_only(target)
    dust = scores.dust_block(scores.host_of(position.host)[0])
    host = scores.host_block(position.dust, position.slope)
    for problem, start, mass, log_density in (
        (
            dust,
            (position.dust, position.slope),
            (jnp.full(world.SHAPE, 1e4), jnp.asarray(1e3)),
            lambda moving: target.dust_prior.log_density(moving[0], target.sigma_dust),
        ),
        (
            host,
            position.host,
            jnp.full(world.SHAPE, 1e3),
            lambda moving: target.host_prior.log_density(moving, target.sigma_host),
        ),
    ):
        begin = hmc.init(start, problem)
        end, info = hmc.kernel(keys[2], begin, problem, 0.2, mass, 6, True)
        assert bool(info.accepted)
        exact = log_density(end.moving) - log_density(start)
        assert jnp.abs(info.prior_change - exact) < 0.01
        assert info.curl_defect < 0.01


def test_a_block_with_a_density_takes_the_exact_difference():
    keys = jax.random.split(jax.random.key(4), 3)
    position, flux = world.draw_prior(keys[0], world.coupled_target())
    target = world.draw_data(keys[1], world.coupled_target(), position, flux)
    problem = target.joint_block()
    mass = jax.tree.map(lambda x: jnp.full_like(x, 1e3), position)
    end, info = hmc.kernel(keys[2], hmc.init(position, problem), problem, 0.2, mass, 6)
    assert bool(info.accepted)
    before, after = problem.log_prior(position), problem.log_prior(end.moving)
    exact = after - before
    # another program may add in another order (AVX-512 does): the rounding of both numbers
    rounding = 2 * np.finfo(np.float32).eps * (abs(before) + abs(after))
    np.testing.assert_allclose(info.prior_change, exact, rtol=0, atol=rounding)
    scores = world.score_only(target).joint_block()
    _, along = hmc.kernel(keys[2], hmc.init(position, scores), scores, 0.2, mass, 6)
    np.testing.assert_allclose(along.prior_change, exact, atol=0.01)


def test_a_start_that_the_trajectory_evaluates_is_no_other():
    """`begin` and `init` of a block with a density: the same proposal, accepted or not."""
    exact = block(gaussian_score, shifted)
    density = exact._replace(log_prior=lambda x: -0.5 * jnp.sum(x**2))

    def evaluate(x):
        found = exact.evaluate(x)
        whole = found.score + found.gradient
        return found._replace(score=None, gradient=whole, log_prior=density.log_prior(x))

    density, start = density._replace(evaluate=evaluate), jnp.linspace(-1.0, 1.0, 8)
    assert hmc.begin(start, density).evaluation is None
    assert hmc.begin(start, exact).evaluation is not None
    accepted = set()
    for seed in range(8):
        one, two = (
            hmc.kernel(jax.random.key(seed), make(start, density), density, 0.9, jnp.ones(8), 6)
            for make in (hmc.init, hmc.begin)
        )
        for this, that in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
            np.testing.assert_allclose(this, that, rtol=1e-5, atol=1e-5)
        accepted.add(bool(one[1].accepted))
    assert accepted == {True, False}


def test_a_force_that_is_not_exact_leaves_a_known_density_invariant():
    """Leapfrog is reversible in any field of force: with a density only speed is lost."""
    exact = block(gaussian_score, shifted)

    def evaluate(x):
        found = exact.evaluate(x)
        field = 0.95 * found.score + 0.05 * jnp.roll(x, 1)
        return found._replace(score=field, log_prior=log_prior(x))

    log_prior = lambda x: -0.5 * jnp.sum(x**2)  # noqa: E731
    problem = Block(exact.score, evaluate, log_prior)
    draws, info = chain(jax.random.key(0), jnp.ones(64), jnp.full(64, 2.0), problem, 0.2, 3000)
    assert 0.5 < info.acceptance.mean() < 0.99
    assert abs(draws.mean() - 1.0) < 0.02
    assert abs(draws.std() - 0.5**0.5) < 0.02


def test_nan_is_never_accepted():
    problem = block(lambda x: jnp.full_like(x, jnp.nan), no_likelihood)
    start = jnp.zeros(4)
    state, info = hmc.kernel(
        jax.random.key(0), hmc.init(start, problem), problem, 0.1, jnp.ones(4), 3
    )
    assert not bool(info.accepted) and info.acceptance == 0.0
    np.testing.assert_array_equal(state.moving, start)
