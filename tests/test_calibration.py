"""Calibration on posteriors known in closed form; every wrong one must be seen."""

import numpy as np
import pytest

from dustpost.diagnostics.calibration import check_ranks, sbc_ranks, thin
from dustpost.diagnostics.coverage import interval_coverage
from dustpost.diagnostics.ecdf import ecdf_test
from dustpost.diagnostics.geweke import geweke_joint_z, geweke_z
from dustpost.diagnostics.tarp import tarp
from dustpost.errors import DustpostError
from dustpost.findings import worst
from tests.synthetic import ar1

SIMULATIONS, DRAWS, NOISE = 400, 200, 0.5
WRONG = {"narrow": (1 / 1.5, 0.0), "wide": (1.5, 0.0), "low": (1.0, -0.4), "high": (1.0, 0.4)}


def gaussian(seed=0, width=1.0, shift=0.0, quantities=2, draws=DRAWS, simulations=SIMULATIONS):
    """Truths ~ Normal(0, 1), data = mixed truths + noise; draws of the exact posterior.

    `width` and `shift` (in posterior sd) make it wrong.
    """
    rng = np.random.default_rng(seed)
    mixing = np.eye(quantities) + 0.3 * np.ones((quantities, quantities))
    truth = rng.normal(size=(simulations, quantities))
    data = truth @ mixing.T + NOISE * rng.normal(size=truth.shape)
    covariance = np.linalg.inv(np.eye(quantities) + mixing.T @ mixing / NOISE**2)
    mean = data @ mixing @ covariance / NOISE**2
    noise = rng.normal(size=(simulations, draws, quantities)) @ np.linalg.cholesky(covariance).T
    return truth, mean[:, None] + width * noise + shift * np.sqrt(np.diag(covariance))


# SBC ------------------------------------------------------------------------------------


def test_right_posteriors_have_uniform_ranks():
    findings = check_ranks(sbc_ranks(*gaussian()), DRAWS, ["a", "b"])
    assert [f.level for f in findings] == ["info"]
    test = ecdf_test(sbc_ranks(*gaussian()), DRAWS)
    assert test.inside.all()
    assert (test.p_value > 0.05).all()
    assert test.difference.shape == (len(test.level), 2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("narrow", "too narrow"), ("wide", "too wide"), ("low", "too low"), ("high", "too high")],
)
def test_wrong_posteriors_are_named(wrong, words):
    findings = check_ranks(sbc_ranks(*gaussian(0, *WRONG[wrong])), DRAWS, ["a", "b"])
    assert worst(findings) == "error"
    assert [f.message[0] for f in findings] == ["a", "b"]
    assert all(words in f.message for f in findings)


def test_a_wrong_quantity_among_right_ones():
    truth, draws = gaussian(quantities=4)
    draws[..., 2] += 0.2
    findings = check_ranks(sbc_ranks(truth, draws), DRAWS)
    assert [f.message.split(":")[0] for f in findings] == ["quantity 2"]


@pytest.mark.parametrize(("size", "draws"), [(30, 9), (100, 200)])
def test_band_holds_what_it_promises(size, draws):
    ranks = np.random.default_rng(1).integers(0, draws + 1, size=(size, 1000))
    test = ecdf_test(ranks, draws, 0.9)
    outside = 1 - test.inside.mean()
    assert 0.04 < outside < 0.13  # at most 0.1; the counts are whole numbers
    np.testing.assert_array_equal(test.inside, test.p_value > 0.1)
    error = 4 * np.sqrt(0.25 / 1000)
    for p in (0.1, 0.3, 0.5, 0.8):
        assert (test.p_value <= p).mean() < p + error
    if draws == 200:
        assert (test.p_value <= 0.5).mean() > 0.5 - 2 * error


def test_band_is_that_of_arviz():
    utils = pytest.importorskip("arviz.stats.ecdf_utils", exc_type=ImportError)
    ours = ecdf_test(np.arange(200) % 51, 50)
    lower, upper = utils.ecdf_confidence_band(200, ours.level, ours.level)
    np.testing.assert_allclose(ours.lower + ours.level, lower, atol=1.5 / 200)
    np.testing.assert_allclose(ours.upper + ours.level, upper, atol=1.5 / 200)


def test_ties_are_broken_at_random():
    rng = np.random.default_rng(2)
    truth, draws = rng.integers(0, 3, size=1000), rng.integers(0, 3, size=(1000, 20))
    ranks = sbc_ranks(truth, draws, rng)
    assert ranks.dtype.kind == "i"
    assert ecdf_test(ranks, 20).inside
    below = (draws < truth[:, None]).sum(axis=1)
    assert not ecdf_test(below, 20).inside


def test_slow_chains_need_thinning():
    truth = np.random.default_rng(3).normal(size=(SIMULATIONS, 1))
    chains = ar1(np.random.default_rng(4), (2 * SIMULATIONS, 600, 1), phi=0.9)
    chains = chains.reshape(SIMULATIONS, 2, 600, 1)
    short = chains[:, :1, :80]  # some 4 independent draws
    found = check_ranks(sbc_ranks(truth, short[:, 0]), 80)
    assert "too narrow, look for chains" in found[0].message
    with pytest.raises(DustpostError, match="draw longer chains"):
        thin(short)
    thinned = thin(chains)
    assert 20 < thinned.shape[1] < 65  # 1200 / 19 = 63 independent draws on average
    assert ecdf_test(sbc_ranks(truth, thinned), thinned.shape[1]).inside
    chains[7] = 0.0
    with pytest.raises(DustpostError, match="first of them 7, a quantity stands still"):
        thin(chains)


# TARP -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tarp_of_right_posteriors(seed):
    found = tarp(*gaussian(seed, quantities=8))
    assert found.deviation < 0.03
    assert found.p_value > 0.05
    assert 0.001 < found.deviation_error < 0.02
    assert np.abs(found.coverage - found.level).max() == found.deviation


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("width", [1 / 1.5, 1.5])
def test_tarp_sees_a_wrong_width(seed, width):
    found = tarp(*gaussian(seed, width, quantities=8))
    assert found.deviation > 0.1
    assert found.p_value < 0.002
    outer = found.coverage[found.level > 0.8] - found.level[found.level > 0.8]
    assert np.sign(outer.mean()) == np.sign(width - 1)


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_tarp_sees_a_great_bias(shift):
    assert tarp(*gaussian(0, 1.0, shift, quantities=8)).p_value < 0.002


def test_tarp_takes_references_and_its_p_values_are_uniform():
    rng = np.random.default_rng(5)
    p_value = []
    for seed in range(60):
        truth, draws = gaussian(seed, draws=100, simulations=150)
        p_value.append(tarp(truth, draws, rng.normal(size=(150, 5, 2)), rng).p_value)
    assert 1 <= np.sum(np.array(p_value) < 0.2) <= 22  # Binomial(60, 0.2)


# Intervals ------------------------------------------------------------------------------


def gamma(rate=1.0, simulations=1500, draws=1000):
    """Rates ~ Exponential, Poisson counts; draws of the skewed exact posterior."""
    rng = np.random.default_rng(6)
    truth = rng.exponential(size=simulations)
    shape = 1 + rng.poisson(truth)
    return truth, rng.gamma(shape[:, None], 0.5 * rate, size=(simulations, draws))


@pytest.mark.parametrize("kind", ["central", "hpd"])
def test_coverage_of_a_skewed_posterior(kind):
    found = interval_coverage(*gamma(), kind=kind)
    assert (np.abs(found.covered - found.mass) < 3 * found.error + 0.01).all()
    wrong = interval_coverage(*gamma(rate=0.7), kind=kind)
    assert (wrong.covered < wrong.mass - 5 * wrong.error).all()


def test_hpd_is_the_shortest_interval():
    draws = np.random.default_rng(7).exponential(size=(2, 4000))
    near_zero = np.full(2, 0.01)  # inside the shortest, outside the central interval
    assert interval_coverage(near_zero, draws, [0.9], "hpd").covered == 1
    assert interval_coverage(near_zero, draws, [0.9], "central").covered == 0


def test_coverage_is_exact_with_few_draws_and_has_all_axes():
    truth, draws = gaussian(quantities=6, draws=39, simulations=2000)
    shaped = truth.reshape(-1, 2, 3), draws.reshape(2000, 39, 2, 3)
    found = interval_coverage(*shaped, mass=[0.5, 0.95])
    assert found.covered.shape == (2, 2, 3)
    assert np.abs(found.covered.mean(axis=(1, 2)) - found.mass).max() < 0.012
    assert interval_coverage(*shaped, kind="hpd").covered.shape == (3, 2, 3)


# Geweke ---------------------------------------------------------------------------------


def test_paired_scores():
    rng = np.random.default_rng(8)
    first = rng.normal(size=(2000, 3))
    last = 0.8 * first + 0.6 * rng.normal(size=first.shape)  # leaves Normal(0, 1) alone
    assert np.abs(geweke_z(first, last)).max() < 3.5
    assert geweke_z(first, last + 0.1).min() > 5
    assert np.abs(geweke_z(first**2, (1.1 * last) ** 2)).min() > 4
    last[:, 1] = first[:, 1]
    assert np.isnan(geweke_z(first, last)[1])


def successive(noise):
    """Chains of (mu, mu^2, mu x): mu given x assumes a noise of 1, x given mu has `noise`."""
    rng = np.random.default_rng(9)
    mu, kept = rng.normal(size=4), []
    for _ in range(4000):
        x = mu + noise * rng.normal(size=4)
        mu = 0.5 * x + np.sqrt(0.5) * rng.normal(size=4)
        kept.append([mu, mu**2, mu * x])
    return np.moveaxis(np.array(kept), (0, 1, 2), (1, 2, 0))


def test_joint_scores():
    rng = np.random.default_rng(10)
    mu = rng.normal(size=20_000)
    marginal = np.stack([mu, mu**2, mu * (mu + rng.normal(size=mu.size))], axis=1)
    right, wrong = (
        geweke_joint_z(marginal, successive(1.0)),
        geweke_joint_z(marginal, successive(1.3)),
    )
    assert np.abs(right.z).max() < 3.5
    assert right.ess[0] < 0.6 * 16_000  # mu is an AR(1) series of coefficient 1/2
    assert np.abs(wrong.z[1:]).min() > 5
    frozen = successive(1.0)
    frozen[2, :, 0] = 0.3
    assert np.isnan(geweke_joint_z(marginal, frozen).z[0])


# Errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [sbc_ranks, tarp, interval_coverage])
@pytest.mark.parametrize("case", ["shape", "few", "nan"])
def test_bad_truths_and_draws(function, case):
    truth, draws = gaussian(simulations=5)
    if case == "shape":
        with pytest.raises(DustpostError, match=r"not \(4, 2\) and \(5, 200, 2\)"):
            function(truth[1:], draws)
    elif case == "few":
        with pytest.raises(DustpostError, match="at least 2 simulations"):
            function(truth[:1], draws[:1])
    else:
        draws[3, 0, 0] = np.nan
        with pytest.raises(DustpostError, match="draws of 1 simulation.*first of them 3"):
            function(truth, draws)


def test_other_bad_input():
    truth, draws = gaussian(simulations=5)
    ranks = sbc_ranks(truth, draws)
    bad = [
        ("run from 0 to", lambda: ecdf_test(np.array([0, 30]), 20)),
        ("must be integers", lambda: ecdf_test(ranks / 2, DRAWS)),
        ("band lies between", lambda: ecdf_test(ranks, DRAWS, 1.0)),
        ("3 names", lambda: check_ranks(ranks, DRAWS, ["a", "b", "c"])),
        ("Ranks to judge", lambda: check_ranks(ranks[..., None], DRAWS)),
        ("chain, draw", lambda: thin(truth)),
        ("flatten", lambda: tarp(truth[..., None], draws[..., None])),
        ("reference point", lambda: tarp(truth, draws, 0)),
        ("References must", lambda: tarp(truth, draws, truth)),
        ("'central' or 'hpd'", lambda: interval_coverage(truth, draws, kind="hdi")),
        ("Masses", lambda: interval_coverage(truth, draws, [0.5, 95])),
        ("at least 39 draws", lambda: interval_coverage(truth, draws[:, :20])),
        ("one shape", lambda: geweke_z(truth, truth[:, :1])),
        (r"not \(5, 2\) and \(5, 2\)", lambda: geweke_joint_z(truth, truth)),
        ("chains of 4", lambda: geweke_joint_z(truth, draws[:, :3])),
    ]
    for words, call in bad:
        with pytest.raises(DustpostError, match=words):
            call()
