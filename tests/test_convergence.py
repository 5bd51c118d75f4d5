"""R-hat and ESS against ArviZ; what the checks say of good, poor and broken chains."""

import numpy as np
import pytest

from dustpost.diagnostics import fit as fitting
from dustpost.diagnostics import ranks
from dustpost.diagnostics.convergence import check, converged
from dustpost.diagnostics.summary import summarise
from dustpost.findings import Finding, format_findings, worst
from dustpost.io.netcdf import import_arviz
from dustpost.networks.amount import coordinate
from dustpost.results import to_tree
from tests.synthetic import ar1, make_cutout, make_draws

SERIES = 30


def found(draws, size=8):
    return check(to_tree(draws, make_cutout(size)))


def codes(findings, level):
    return {f.code for f in findings if f.level == level}


def with_setting(draws, **changed):
    return draws._replace(settings=draws.settings | changed)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # ArviZ divides by zero in ties
@pytest.mark.parametrize("shape", [(4, 100), (2, 51), (4, 5), (3, 4), (4, 7)])
@pytest.mark.parametrize("phi", [-0.8, 0.0, 0.95])
def test_ranks_equal_arviz(shape, phi):
    draws = ar1(np.random.default_rng(3), (*shape, SERIES), phi)
    draws[..., 0] = np.round(draws[..., 0])  # ties
    draws[..., 1] += np.arange(shape[0])[:, None]  # chains apart
    arviz = import_arviz()
    rhat = [np.ravel(arviz.rhat(draws[..., i]))[0] for i in range(SERIES)]
    ess = [np.ravel(arviz.ess(draws[..., i]))[0] for i in range(SERIES)]
    assert ranks.rhat(draws) == pytest.approx(np.array(rhat, dtype=float), rel=1e-6)
    assert ranks.bulk_ess(draws) == pytest.approx(np.array(ess, dtype=float), rel=1e-6)


def test_ranks_of_broken_series():
    draws = np.random.default_rng(0).normal(size=(4, 50, 4))
    draws[2, 7, 0] = np.nan
    draws[..., 1] = 0.3
    draws[..., 2] = np.arange(4)[:, None]
    rhat, ess = ranks.rhat(draws), ranks.bulk_ess(draws)
    assert np.isnan(rhat[:2]).all()
    assert np.isnan(ess[:2]).all()
    assert np.isinf(rhat[2])
    assert np.isfinite([rhat[3], ess[3]]).all()
    assert np.isnan(ranks.rhat(draws[:1])).all()
    assert np.isnan(ranks.rhat(draws[:, :3])).all()


def test_maps_of_a_galaxy_in_one_call():
    draws = np.random.default_rng(0).normal(size=(4, 40, 64, 64)).astype(np.float32)
    assert ranks.rhat(draws).shape == (64, 64)
    assert 100 < np.median(ranks.bulk_ess(draws)) < 250


def test_summary_gives_every_scalar():
    rows = summarise(to_tree(make_draws(8), make_cutout(8)))
    assert rows[4].label == "F[hsc2017-y]"
    assert len(rows) == 9
    for r in rows:
        assert r.q16 < r.q50 < r.q84
        assert r.mcse == pytest.approx(r.sd / np.sqrt(r.ess_bulk), rel=0.2)


def test_good_chains():
    findings = found(make_draws(8))
    assert converged(findings)
    assert worst(findings) == "info"
    assert "R-hat of at most 1.0" in findings[0].message


def test_slow_chains_are_told_how_many_more():
    findings = found(make_draws(8, phi=0.9))
    assert "ess" in codes(findings, "error") | codes(findings, "warning")
    assert "more draws per chain (--draws" in "".join(f.message for f in findings)


def test_chains_apart():
    findings = found(make_draws(8, offset=2.0))
    assert {"rhat", "ess"} <= codes(findings, "error")
    assert not converged(findings)
    assert findings[0].level == "error"


@pytest.mark.parametrize("name", ["flux", "slope", "log_screen", "host", "transmission"])
def test_one_nan_is_an_error(name):
    draws = make_draws(8)
    values = getattr(draws, name).copy()
    values[1, 2] = np.nan
    findings = found(draws._replace(**{name: values}))
    assert "nan" in codes(findings, "error")
    assert not converged(findings)


@pytest.mark.parametrize("name", ["slope", "log_screen", "transmission"])
def test_one_frozen_chain_is_an_error(name):
    draws = make_draws(8)
    values = getattr(draws, name).copy()
    values[2] = values[2, 0]
    findings = found(draws._replace(**{name: values}))
    assert "frozen" in codes(findings, "error")
    assert any("in chain 2 (of 4)" in f.message for f in findings)


def test_all_chains_frozen_at_one_point_is_an_error():
    draws = make_draws(8)
    findings = found(draws._replace(log_screen=np.full_like(draws.log_screen, -0.2)))
    assert "frozen" in codes(findings, "error")
    assert not converged(findings)


def test_galaxy_without_dust_above_the_threshold_is_no_error():
    draws = make_draws(8)
    still = np.zeros_like(draws.covering_fraction)
    assert converged(found(draws._replace(covering_fraction=still)))
    stuck = np.full_like(still, 0.4)
    assert not converged(found(draws._replace(covering_fraction=stuck)))


def test_slope_held_fixed_is_no_error():
    draws = make_draws(8)
    fixed = draws._replace(slope=np.full_like(draws.slope, 0.1))
    assert not converged(found(fixed))
    assert converged(found(with_setting(fixed, slope_prior_sd=0.0)))


def test_one_chain_cannot_converge():
    draws = make_draws(8, chains=1)
    assert "chains" in codes(found(draws), "error")


@pytest.mark.parametrize(("rate", "level"), [(0.1, "warning"), (0.001, "error"), (0.995, "info")])
def test_acceptance(rate, level):
    draws = make_draws(8)
    stats = draws.stats | {"acceptance_dust": np.full(draws.slope.shape, rate)}
    assert "acceptance" in codes(found(draws._replace(stats=stats)), level)


def test_a_chain_apart_is_named_with_its_attenuation():
    draws = make_draws(8)
    depth = np.array(draws.mean_attenuation)
    depth[2] += 1.5
    rate = np.where(np.arange(len(depth))[:, None] == 2, 0.25, 0.8) + 0 * depth
    stats = draws.stats | {"acceptance_joint": rate}
    findings = found(draws._replace(stats=stats, mean_attenuation=depth))
    (one,) = [finding for finding in findings if finding.code == "chain-apart"]
    assert one.level == "warning"
    for words in ("chain 2 accepts 25%", "the others 80%", f"mean A {depth[2].mean():.2f} mag"):
        assert words in one.message
    even = draws.stats | {"acceptance_joint": np.full(depth.shape, 0.3)}
    assert not any(f.code == "chain-apart" for f in found(draws._replace(stats=even)))


def test_a_chain_left_behind_in_the_warm_up_is_told():
    draws = make_draws(8)
    origin = np.broadcast_to(np.array([0, 1, 1, 3])[:, None], draws.slope.shape)
    findings = found(draws._replace(stats=draws.stats | {"origin": origin}))
    (one,) = [finding for finding in findings if finding.code == "left-behind"]
    assert one.level == "info" and "Chain 2" in one.message and "chain 1 was" in one.message
    assert not any(finding.code == "left-behind" for finding in found(draws))


def test_exact_draws_are_no_matter_of_acceptance():
    assert not any(f.code == "acceptance" for f in found(make_draws(8)))  # slope accepts 1


def test_slope_beyond_the_wall_of_its_prior():
    """At 0.73 the normal is 1.8 sd down and the wall 2.3: together about 3."""
    draws = make_draws(8)
    walled = {"slope_prior_wall": 0.5, "slope_prior_softness": 0.1}
    beyond = draws._replace(slope=np.where(np.arange(400) < 20, 0.76, 0.7) + 0 * draws.slope)
    assert "delta-edge" not in codes(found(beyond), "warning")
    wall = with_setting(beyond, **walled)
    assert "delta-edge" in codes(found(wall), "warning")
    below = with_setting(draws._replace(slope=0.7 + 0 * draws.slope), **walled)
    assert "delta-edge" not in codes(found(below), "warning")


def test_deeper_dust_than_the_networks_know():
    """Though the chains agree; dust without a network may be as deep as it is."""
    draws = make_draws(8)
    deep = draws._replace(mean_attenuation=draws.mean_attenuation + 3.5)
    assert "too-deep" in codes(found(deep), "error")
    few = draws.mean_attenuation + 3.5 * (np.arange(400) < 20)
    assert "too-deep" in codes(found(draws._replace(mean_attenuation=few)), "warning")
    of_none = found(with_setting(deep, dust_checkpoint_sha256=""))
    assert not any(f.code == "too-deep" for f in of_none + found(draws))


def test_an_amount_of_dust_that_the_image_does_not_tell():
    draws = make_draws(8)
    middle = float(draws.mean_attenuation.mean())
    around = with_setting(draws, image_alone_q05=0.5 * middle, image_alone_q95=2 * middle)
    below = with_setting(draws, image_alone_q05=0.0, image_alone_q95=0.5 * middle)
    assert not any(f.code == "image-alone" for f in found(around) + found(draws))
    assert "image-alone" in codes(found(below), "warning")


def test_chains_that_take_turns_in_shares_of_the_amount_of_dust():
    # shares 10 sd apart, each where it should be; then one of them elsewhere
    draws = with_setting(make_draws(8), amount="image", image_alone_q95=1e-3)
    chains, length = draws.slope.shape
    share = (np.arange(chains)[:, None] + np.arange(length) * 2 * chains // length) % chains
    depth = draws.mean_attenuation + 10 * draws.mean_attenuation.std() * share
    where = [coordinate(depth[share == number]).mean() for number in range(chains)]
    stats = dict(share=share, aim_goal=np.array(where)[share], aim_precision=9.0 + 0 * depth)
    shared = draws._replace(mean_attenuation=depth, stats=draws.stats | stats)
    assert "amount-image" in codes(found(shared), "info")
    assert not {"rhat", "image-alone", "amount-share"} & {f.code for f in found(shared)}
    stats["aim_goal"] = stats["aim_goal"] + np.array([0.0, 0.0, 0.5, 0.0])[share]
    (warning,) = (
        f for f in found(shared._replace(stats=shared.stats | stats)) if f.code == "amount-share"
    )
    assert warning.message.count(" mag for ") == 1
    alone = depth + 10 * draws.mean_attenuation.std() * (np.arange(chains) == 2)[:, None]
    assert "rhat" in codes(found(shared._replace(mean_attenuation=alone)), "error")


def test_slope_at_the_edge_of_its_prior():
    draws = make_draws(8)
    assert "delta-edge" in codes(found(draws._replace(slope=draws.slope + 1.3)), "error")
    assert "delta-edge" in codes(found(draws._replace(slope=draws.slope + 0.9)), "warning")


def test_curl_and_transmission_out_of_range():
    draws = make_draws(8)
    stats = draws.stats | {"curl_defect": draws.stats["curl_defect"] + 2}
    assert "curl" in codes(found(draws._replace(stats=stats)), "warning")
    assert "range" in codes(found(draws._replace(transmission=draws.transmission + 1)), "error")


def test_fit_of_the_right_model():
    fit = fitting.fit(to_tree(make_draws(32), make_cutout(32)))
    assert fit.chi2 == pytest.approx(1, abs=5 * fit.chi2_sd)
    assert abs(fit.neighbours_faint) < 5 * fit.neighbours_sd[1]
    assert np.isnan(fit.residual[:, 4, 5]).all()
    assert fitting.check(fit) == []


def test_fit_of_a_wrong_model_and_inflated_noise():
    draws = make_draws(32)
    wrong = draws._replace(model=0.8 * draws.model)
    findings = fitting.check(fitting.fit(to_tree(wrong, make_cutout(32))))
    assert {"chi2-bright", "neighbours-bright", "patch"} <= codes(findings, "warning")
    inflated = with_setting(draws, noise_inflation=2.0)
    fit = fitting.fit(to_tree(inflated, make_cutout(32)))
    assert fit.chi2 == pytest.approx(0.25, abs=0.05)
    assert "chi2-low" in codes(fitting.check(fit), "warning")


def test_findings_are_printed_gravest_first():
    lines = format_findings([Finding("info", "a", "A."), Finding("error", "b", "B.")])
    assert lines == ["error   b: B.", "info    a: A."]
