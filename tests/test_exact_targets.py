"""Kernels against exact posteriors, quick: 16x16 pixels. At length: benchmarks/exact_targets.py.

Two gates, ESS and then bias in standard errors; of each some 16 numbers.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.exact_controls import of_kernel
from benchmarks.exact_targets import ESS, Cell, measure, of_gibbs
from dustpost.galaxy import Host, Position
from tests import exact_worlds, wrong_kernels

SIDE, DRAWS = 16, 2000
ERRORS = 3.5
CELLS = {
    "mixture": Cell("mixture", ("orbit", "dust"), 0.5, 4, 250),
    "skewed": Cell("skewed", ("dust",), 0.3, 6, 350),
    "gaussian": Cell("gaussian", ("joint", "slope"), 0.45, 5, 300),
}


def gradient(target, latents):
    """Score of the posterior, prior and likelihood; latents (latent, y, x)."""
    slope = jnp.asarray(0.1)
    if len(latents) == 2:
        total = target.joint_block().evaluate(Position(*latents, slope)).force
        return jnp.stack([total.host, total.dust])
    nothing = jnp.zeros_like(latents[0])
    found = target.dust_block(Host(nothing, nothing)).evaluate((latents[0], slope))
    return found.force[0][None]


@pytest.mark.parametrize("name", CELLS)
def test_exact_draws_have_the_score_of_the_target(name):
    """E[score] = 0 and E[(q - mean) score] = -1, in every mode."""
    exact = getattr(exact_worlds, name)(side=SIDE)
    draws, log_flux = exact.draw(np.random.default_rng(1), DRAWS)
    score = np.asarray(jax.jit(jax.vmap(lambda q: gradient(exact.target, q)))(jnp.asarray(draws)))
    mean = np.einsum("k,klyx->lyx", exact.weight, exact.mean)
    for values in (score, (draws - mean) * score + 1.0, draws - mean):
        z = values.mean(axis=0) / values.std(axis=0) * DRAWS**0.5
        assert np.abs(z).max() < 5.0
        assert abs(np.std(z) - 1.0) < 0.15
    flux_mean = exact.weight @ exact.low_mean[:, -3:]
    assert np.abs((log_flux.mean(axis=0) - flux_mean) / log_flux.std(axis=0)).max() < 0.1


@pytest.mark.parametrize("name", CELLS)
def test_kernels_reach_the_exact_posterior(name):
    cell = CELLS[name]
    found = measure(getattr(exact_worlds, name)(side=SIDE), cell, of_gibbs(cell), 3)
    assert found["least ess"] > ESS, found["ess"]
    assert found["largest"] < ERRORS, found["bias in standard errors"]
    assert found["two-sample accuracy"] < 0.54


def test_a_ratio_by_the_trapezoid_on_the_nodes_is_seen():
    """Negative control: it sees its own error no more than no ratio at all would."""
    cell = Cell("skewed", ("control",), 0.45, 4, 2000)
    wrong = wrong_kernels.with_ratio(wrong_kernels.trapezoid)
    found = measure(exact_worlds.skewed(side=SIDE), cell, of_kernel(wrong, 4), 3)
    assert found["least ess"] > ESS
    assert found["largest"] > 6.0
