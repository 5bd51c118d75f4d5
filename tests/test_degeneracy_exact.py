"""The log-linear Gaussian case: every number of the degeneracy against its closed form.

The world of `tests.exact_worlds.gaussian`: u and s are normal in each mode, tied to each other,
and log_screen, its contrast and ln F are linear in them. Also the committed ladder, line by
line, against what is claimed of it.
"""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table

from dustpost.diagnostics.degeneracy import along, contrast, degeneracy
from dustpost.diagnostics.divergence import kl
from tests import exact_worlds
from tests.log_linear import DUST_SIGMA, FLUX, HOST_SIGMA, basis

SIDE, CHAINS, DRAWS = 16, 4, 2500
LADDER = Path(__file__).resolve().parents[1] / "benchmarks" / "degeneracy.ecsv"
ERRORS = 4.0


class World:
    """Exact draws as a tree, and the closed forms of what it reports."""

    def __init__(self):
        exact = exact_worlds.gaussian(side=SIDE, screen=0.02)
        dust, host = exact.target.dust_prior, exact.target.host_prior
        drag, own, total = (np.asarray(x, float) for x in dust.parts(HOST_SIGMA, DUST_SIGMA))
        power = np.asarray(host.power, float)
        keep = own / total
        # u = a z + b x and s = g z in each mode
        self.to_u = np.stack([(1 - keep) * drag, keep])
        self.to_s = power / (power + HOST_SIGMA**2)
        rng = np.random.default_rng(0)
        modes, log_flux = exact.draw(rng, CHAINS * DRAWS)
        z = power + HOST_SIGMA**2
        self.before = np.array([[z, drag * z], [drag * z, drag**2 * z + total]])
        factor = np.linalg.cholesky(np.moveaxis(self.before, (0, 1), (2, 3)))
        white = rng.standard_normal((DRAWS, SIDE, SIDE, 2))
        prior = np.moveaxis(np.einsum("yxij,nyxj->nyxi", factor, white), -1, 1)
        self.q, self.exact = basis(SIDE), exact
        u, s = self.images(modes)
        dust_before = np.exp(-self.images(prior)[0])
        dust_after, light = np.exp(-u), np.exp(s)
        flat = np.full((SIDE, SIDE), 1 / SIDE**2)
        even = np.broadcast_to(flat, dust_after.shape)  # what weighs log_screen here
        shape = (CHAINS, DRAWS)
        # the exact mean's pattern, and one that does not know of the data; weights are even
        _, self.own = contrast(even, np.exp(-self.images(exact.mean)[0]))
        self.pattern = np.outer(self.q[1], self.q[0]) + np.outer(self.q[2], self.q[1])
        self.pattern = self.pattern / np.sqrt((flat * self.pattern**2).sum())
        series, draw = ("chain", "draw"), np.arange(DRAWS)
        slope = 0.1 + 0.35 * rng.standard_normal(shape)
        groups = {
            "posterior": {
                "log_screen": (series, (-u.mean(axis=(1, 2))).reshape(shape)),
                "delta": (series, slope),
                "F": ((*series, "band"), np.exp(log_flux).reshape(*shape, 3)),
            },
            "posterior_maps": {
                "S": ((*series, "y", "x"), light.reshape(*shape, SIDE, SIDE)),
                "D": ((*series, "y", "x"), dust_after.reshape(*shape, SIDE, SIDE)),
                "contrast": (series, along(-u, flat, self.pattern).reshape(shape)),
            },
            "prior": {
                "log_screen": (series, np.log(dust_before).mean(axis=(1, 2))[None]),
                "contrast": (series, along(np.log(dust_before), flat, self.pattern)[None]),
            },
        }
        coords = {"draw": draw, "chain": np.arange(CHAINS)}
        self.tree = xr.DataTree.from_dict(
            {
                name: xr.Dataset(data, None if name == "prior" else coords)
                for name, data in groups.items()
            }
        )
        self.tree["sample_stats"] = xr.DataTree()
        self.tree["posterior"] = xr.DataTree(
            self.tree["posterior"].to_dataset().assign_coords(band=["g", "r", "z"])
        )
        self.found = degeneracy(self.tree)
        # how far the posterior's own pattern lies from the prior
        own = [along(x, flat, self.own) for x in (-u, np.log(dust_before))]
        self.beyond = kl(own[0].reshape(shape), own[1])

    def images(self, modes):
        """u and s, (n, y, x), of modes (n, latent, y, x)."""
        u = np.sum(self.to_u * modes, axis=1)
        s = self.to_s * modes[:, 0]
        return [np.einsum("my,nmk,kx->nyx", self.q, x, self.q) for x in (u, s)]

    def weight(self, direction):
        """Of the modes of ln D in a scalar, (y, x)."""
        flat = np.full((SIDE, SIDE), 1 / SIDE**2)
        image = flat * {"screen": 1.0, "contrast": self.pattern, "own": self.own}[direction]
        return self.q @ image @ self.q.T

    def after(self):
        """Posterior covariance of (z, x) in each mode."""
        sd, between = self.exact.sd[0], self.exact.between
        return np.array([[sd[0] ** 2, between], [between, sd[1] ** 2]])

    def moments(self, direction):
        """Mean, and sds before and after, of a scalar of ln D."""
        weight = self.weight(direction)
        mean = -np.sum(weight * np.sum(self.to_u * self.exact.mean[0], axis=0))
        sds = [
            np.sum(weight**2 * np.einsum("iyx,ijyx,jyx->yx", self.to_u, cov, self.to_u)) ** 0.5
            for cov in (self.before, self.after())
        ]
        return mean, *sds


@pytest.fixture(scope="module")
def log_linear():
    return World()


@pytest.mark.parametrize("direction", ["screen", "contrast"])
def test_widths_and_information(log_linear, direction):
    found = log_linear.found.sel(direction=direction)
    mean, before, after = log_linear.moments(direction)
    assert after < 0.97 * before  # there is something to tell
    assert float(found["prior_sd"]) == pytest.approx(before, rel=ERRORS / (2 * DRAWS) ** 0.5)
    rel = ERRORS / (2 * CHAINS * DRAWS) ** 0.5
    assert float(found["posterior_sd"]) == pytest.approx(after, rel=rel)
    ratio = after / before
    error = rel + ERRORS / (2 * DRAWS) ** 0.5
    assert float(found["contraction"]) == pytest.approx(ratio, rel=error)
    nats = -np.log(ratio) + (ratio**2 + (mean / before) ** 2 - 1) / 2
    assert abs(float(found["kl"]) - nats) < ERRORS * float(found["kl_error"]) < 0.3


def test_correlations(log_linear):
    exact, error = log_linear.exact, ERRORS / (CHAINS * DRAWS) ** 0.5
    # ln F is tied to the lowest modes alone
    low = exact.low_cov[0]
    weight = -np.append(log_linear.to_u[:, 0, 0] / SIDE, [0, 0, 0])
    sd = (weight @ low @ weight) ** 0.5
    known = low[2:] @ weight / (sd * np.diag(low)[2:] ** 0.5)
    screen, across = (log_linear.found.sel(direction=d) for d in ("screen", "contrast"))
    np.testing.assert_allclose(screen["corr_log_flux"], known, atol=error)
    assert np.abs(known).max() > 0.02 and np.all(np.diag(FLUX) > 0)
    assert float(screen["corr_delta"]) == pytest.approx(0.0, abs=error)
    assert float(across["corr_delta"]) == pytest.approx(0.0, abs=error)
    weight = log_linear.weight("own")
    cov = log_linear.after()
    both = np.einsum("jyx,jyx->yx", log_linear.to_u, cov[:, 0]) * log_linear.to_s
    of_s = np.sum(weight**2 * log_linear.to_s**2 * cov[0, 0])
    # of the contrast with what the same pattern is in ln S: here of two patterns
    _, _, sd = log_linear.moments("contrast")
    known = -np.sum(log_linear.weight("contrast") * weight * both) / (sd * of_s**0.5)
    assert float(across["corr_host"]) == pytest.approx(known, abs=2 * error + 0.02)


def test_a_posterior_beyond_the_priors_draws_has_no_divergence_by_them(log_linear):
    """The posterior mean's own pattern: 38 nat, of which draws of the prior show five."""
    mean, before, after = log_linear.moments("own")
    assert mean > 5 * before
    assert np.isnan(log_linear.beyond).all()


def test_one_mode_and_chains_that_agree(log_linear):
    found = log_linear.found
    assert found["mode_weight"].values == pytest.approx([1.0])
    assert float(found["mode_centre"][0]) == pytest.approx(
        log_linear.moments("screen")[0], abs=0.01
    )
    assert np.all(found["rhat"] < 1.01)
    assert np.all(found["ess_bulk"] > 0.7 * CHAINS * DRAWS)


@pytest.fixture(scope="module")
def ladder():
    return Table.read(LADDER)


def test_the_ladder_is_the_prior_where_all_is_covered(ladder):
    rows = ladder[ladder["covering_fraction"] == 1.0]
    assert ladder.meta["flux_prior"] == "flat" and len(rows) == 3
    np.testing.assert_allclose(rows["contraction"], 1.0, atol=0.05)


def test_the_ladder_falls_as_fisher_says(ladder):
    rows = ladder[ladder["contraction"] < 0.9]
    assert len(rows) > 15
    np.testing.assert_allclose(rows["posterior_sd"] / rows["fisher_sd"], 1.0, atol=0.2)


def test_the_ladders_intervals_cover_on_every_rung(ladder):
    assert np.all((ladder["coverage68"] >= 0.60) & (ladder["coverage68"] <= 0.76))
    assert np.sum(ladder["covering_fraction"] > 0.9) == 9
    assert np.all(np.abs(ladder["bias"]) < 3 * ladder["bias_error"])
    assert np.all(np.isfinite(ladder["map_coverage68"]))
    assert np.all(ladder["rhat"] < 1.03)
