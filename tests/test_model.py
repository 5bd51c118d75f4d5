"""The NumPyro model: the same posterior as the sweeps', and no made-up densities."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import handlers
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS, Predictive, init_to_value

from dustpost.colour_covariance import with_colour
from dustpost.errors import DustpostError
from dustpost.galaxy import Position
from dustpost.likelihood import log_likelihood
from dustpost.model import PriorDistribution, model
from dustpost.priors.gaussian import GaussianPrior
from dustpost.priors.spectrum import FlatFlux
from dustpost.samplers import gibbs
from tests import gaussian_world as world

NAMES = ("slope", "ln F0", "ln F2", "mean A", "x", "z", "S", "D")
Z_SCORE = 4.0


def by_nuts(key, target, position, flux, draws, chains=1):
    start = {"z": position.host, "x": position.dust, "slope": position.slope, "F": flux}
    kernel = NUTS(model, init_strategy=init_to_value(values=start), max_tree_depth=5)
    mcmc = MCMC(
        kernel,
        num_warmup=120,
        num_samples=draws,
        num_chains=chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(key, target)
    found = mcmc.get_samples(group_by_chain=True)

    def one(draw):
        place = Position(draw["z"], draw["x"], draw["slope"])
        return world.functionals(draw["slope"], draw["F"], draw["S"], draw["D"], place)

    return jax.vmap(jax.vmap(one))(found)


def moments(draws):
    """Means and sds, (functional,) each, and their standard errors; (chain, draw, functional)."""
    draws = np.asarray(draws)
    ess = effective_sample_size(draws)
    mean, sd = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
    return ess, mean, sd, sd / ess**0.5, sd / (2 * ess) ** 0.5


def test_nuts_and_the_sweeps_agree():
    """Two gates: enough effective draws of both, then means and sds within their errors."""
    target, position = world.observed(jax.random.key(3), world.brisk_target())
    flux = target.galaxy(position).estimate
    tuning = gibbs.tune(target, position, 0.5)
    first = world.by_sweeps(jax.random.key(4), target, position, tuning, 160, 48)[:, 40:]
    second = by_nuts(jax.random.key(5), target, position, flux, 1500)
    (ess, *one), (ess_nuts, *two) = moments(first), moments(second)
    assert ess.min() > 200 and ess_nuts.min() > 200, (ess, ess_nuts)
    for of_sweeps, of_nuts, error, other in zip(one[:2], two[:2], one[2:], two[2:], strict=True):
        z = (of_sweeps - of_nuts) / np.hypot(error, other)
        assert np.abs(z).max() < Z_SCORE, dict(zip(NAMES, z, strict=True))


def density(target, position, flux, **options):
    values = {"z": position.host, "x": position.dust, "slope": position.slope, "F": flux}
    values = {name: value for name, value in values.items() if name not in options.pop("drop", ())}
    return numpyro.infer.util.log_density(model, (target,), options, values)


@pytest.mark.parametrize(
    "coloured, follows, flattening",
    [(False, None, 0.0), (True, None, 0.0), (True, (0.5, -0.5, 1.0), 0.0), (False, None, 0.3)],
)
def test_joint_density_is_the_sum_of_its_parts(coloured, follows, flattening):
    target, position = world.observed(jax.random.key(0), world.target())
    target = target.replace(flattening=flattening)
    if coloured:
        seen = target.observation
        functions = jax.random.normal(jax.random.key(1), (2, *seen.data.shape[1:]))
        seen = seen._replace(ivar=seen.ivar.at[:, :2].set(0.0))
        field = functions, 0.1 + 0.0 * seen.data, (1.0, 3.0), (1.5, -0.5), follows
        target = target.replace(observation=with_colour(seen, *field))
    galaxy = target.galaxy(position)
    total, trace = density(target, position, galaxy.estimate)
    parts = [
        target.host_prior.log_density(position.host, target.sigma_host),
        target.dust_prior.log_density(position.dust, target.sigma_dust),
        target.slope_prior.log_prob(position.slope),
        target.flux_prior.log_density(galaxy.estimate),
        log_likelihood(target.behind(galaxy), galaxy.templates, galaxy.estimate),
    ]
    if coloured:  # masked pixels are there, at the mode of a normal of unit sd
        masked = jnp.sum(target.observation.ivar == 0)
        parts.append(-0.5 * masked * jnp.log(2 * jnp.pi))
    np.testing.assert_allclose(total, sum(parts), rtol=1e-5)
    np.testing.assert_allclose(trace["S"]["value"], galaxy.host, rtol=1e-5)
    np.testing.assert_allclose(trace["D"]["value"], galaxy.transmission, rtol=1e-5)
    fixed, _ = density(target, position, galaxy.estimate, host=position.host, drop=("z",))
    np.testing.assert_allclose(fixed, total - parts[0], rtol=1e-5)


def test_full_cross_term_conditions_on_the_noisy_host():
    target, position = world.observed(jax.random.key(0), world.coupled_target())
    flux = target.galaxy(position).estimate
    total, trace = density(target, position, flux)
    joint = target.joint_block()
    likelihood = log_likelihood(target.observation, target.galaxy(position).templates, flux)
    rest = target.flux_prior.log_density(flux) + target.slope_prior.log_prob(position.slope)
    np.testing.assert_allclose(total, joint.log_prior(position) + likelihood + rest, rtol=1e-5)
    draw = trace["x"]["fn"].sample(jax.random.key(1), (200,))
    host, _ = target.host_of(position.host)
    one = target.draw_dust(jax.random.key(2), host)
    assert draw.shape == (200, *world.SHAPE)
    assert np.abs(draw.mean(axis=0) - one).max() < 5 * np.asarray(draw).std(axis=0).max()


def test_slope_can_be_conditioned():
    target, truth = world.observed(jax.random.key(1), world.target())
    grey = handlers.condition(model, {"slope": jnp.asarray(0.7)})
    trace = handlers.trace(handlers.seed(grey, jax.random.key(0))).get_trace(target)
    assert trace["slope"]["is_observed"] and trace["slope"]["value"] == 0.7
    start = init_to_value(
        values={"z": truth.host, "x": truth.dust, "F": jnp.array([2.0, 3.0, 4.0])}
    )
    kernel = NUTS(grey, init_strategy=start, max_tree_depth=3)
    mcmc = MCMC(kernel, num_warmup=5, num_samples=5, progress_bar=False)
    mcmc.run(jax.random.key(2), target)
    assert "slope" not in mcmc.get_samples()
    assert np.ptp(mcmc.get_samples()["mean_attenuation"]) > 0


def test_prior_predictive():
    target = world.target()
    draws = Predictive(handlers.uncondition(model), num_samples=400)(jax.random.key(0), target)
    assert draws["Y"].shape == (400, *target.observation.data.shape)
    spread = jnp.sqrt(jnp.mean(target.dust_prior.power) + target.sigma_dust**2)
    np.testing.assert_allclose(draws["x"].std(), spread, rtol=0.05)
    several = PriorDistribution(target.dust_prior, target.sigma_dust, None, world.SHAPE)
    assert several.sample(jax.random.key(1), (2, 3)).shape == (2, 3, *world.SHAPE)
    assert several.log_prob(draws["x"]).shape == (400,)


@flax.struct.dataclass
class ScoreOnly(GaussianPrior):
    """A prior that has lost its density."""

    log_density: None = flax.struct.field(pytree_node=False, default=None)


@flax.struct.dataclass
class Unnormalised(GaussianPrior):
    """A prior whose constant depends on the host."""

    @property
    def normalised(self):
        return False


def as_a(kind, prior):
    return kind(prior.mean, prior.power)


@pytest.mark.parametrize("which", ["host_prior", "dust_prior"])
def test_a_score_is_no_density(which):
    target, position = world.observed(jax.random.key(0), world.target())
    target = target.replace(**{which: as_a(ScoreOnly, getattr(target, which))})
    mcmc = MCMC(NUTS(model), num_warmup=1, num_samples=1, progress_bar=False)
    with pytest.raises(DustpostError, match="only by its score.*silently drop.*dustpost sample"):
        mcmc.run(jax.random.key(0), target)
    # but it can be drawn from
    Predictive(handlers.uncondition(model), num_samples=2)(jax.random.key(0), target)
    if which == "host_prior":
        flux = target.galaxy(position).estimate
        total, _ = density(target, position, flux, host=position.host, drop=("z",))
        assert jnp.isfinite(total)


def test_an_energy_of_the_dust_needs_a_fixed_host():
    target, position = world.observed(jax.random.key(0), world.target())
    flux = target.galaxy(position).estimate
    target = target.replace(dust_prior=as_a(Unnormalised, target.dust_prior))
    with pytest.raises(DustpostError, match=r"depends on the host.*model\(target, host="):
        density(target, position, flux)
    total, _ = density(target, position, flux, host=position.host, drop=("z",))
    assert jnp.isfinite(total)


def test_flat_flux_has_a_site_too():
    target, position = world.observed(jax.random.key(0), world.target())
    flux = target.galaxy(position).estimate
    total, _ = density(target, position, flux)
    flat, _ = density(target.replace(flux_prior=FlatFlux()), position, flux)
    np.testing.assert_allclose(flat, total - target.flux_prior.log_density(flux), rtol=1e-5)
