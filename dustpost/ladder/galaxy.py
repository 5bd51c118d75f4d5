"""One galaxy of a rung of the exact world as `sample` would hand it over: a DataTree.

For the figures and the tests that look at one posterior and not at a table of widths.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from dustpost.attenuation import band_attenuation
from dustpost.bands import effective_wavelength
from dustpost.diagnostics import fisher, fisher_pixels
from dustpost.draws import Draws
from dustpost.galaxy import Position
from dustpost.gather import traced
from dustpost.io.cutout import Cutout, Truth
from dustpost.ladder import world
from dustpost.posterior import Target
from dustpost.priors.slope import described
from dustpost.results import to_tree
from dustpost.samplers import run
from dustpost.samplers.choice import FIRST_STEP, SAMPLERS

WARMUP, KEEP, LEAPFROG = 80, 10, 32
PRIOR_DRAWS = 1000
COVERING_THRESHOLD = 0.05  # mag


def sample(
    key: Array,
    fraction: float,
    depth: float,
    signal_to_noise: float,
    flux_prior: str,
    chains: int = 4,
    draws: int = 500,
) -> tuple[xr.DataTree, Cutout, Target]:
    """Draw a galaxy of a rung, and its posterior.

    Parameters
    ----------
    key : Array
        Random key; the galaxy's and the noise's share does not depend on the rung.
    fraction, depth, signal_to_noise, flux_prior
        See `world.rung`.
    chains, draws : int
        Chains, started from the prior, and draws of each.

    Returns
    -------
    tree : xarray.DataTree
        See `dustpost.results`.
    cutout : Cutout
        With its truth.
    target : Target
        With its data.
    """
    truth_key, start_key, run_key, prior_key = jax.random.split(key, 4)
    empty = world.rung(fraction, depth, signal_to_noise, flux_prior)
    truth, target = world.draw(truth_key, empty, flux_prior)
    draw = jax.jit(jax.vmap(lambda one: world.draw(one, empty, flux_prior)[0]))
    starts = draw(jax.random.split(start_key, chains))
    trace = chains_of(run_key, target, starts, truth, draws)
    before = draw(jax.random.split(prior_key, PRIOR_DRAWS))
    prior_dust = jax.jit(jax.vmap(lambda place: empty.galaxy(place).transmission))(before)
    hosts = trace.host.reshape(-1, *trace.host.shape[2:])
    galaxy = jax.jit(Target.galaxy)(target, truth)
    bounds = dict(
        fisher_sd=float(fisher.bound(target, jax.tree.map(lambda x: x[None], truth))),
        fisher_sd_pixels=fisher_pixels.pixel_bound(
            target, galaxy.host, galaxy.transmission, truth.slope
        ),
    )
    # under the flat prior `world.draw` takes its centre
    flux = np.asarray(jnp.exp(target.flux_prior.mean)) if flux_prior == "flat" else None
    cutout = cutout_of(target, truth, flux, f"ladder_{depth:g}_{fraction:g}")
    scalars, info = trace.scalars, trace.info
    stats = {f"acceptance_{name}": rate for name, rate in info.acceptance.items()}
    stats |= {"log_likelihood": scalars.log_likelihood, "curl_defect": info.curl_defect}
    found = Draws(
        **traced(trace),
        stats=stats,
        prior_host=hosts[np.arange(PRIOR_DRAWS) % len(hosts)],
        prior_transmission=np.asarray(prior_dust),
        prior_slope=np.asarray(before.slope),
        settings=settings_of(target, flux_prior, float(scalars.slope.mean()), chains, draws),
        fisher=bounds,
    )
    return to_tree(found, cutout), cutout, target


def chains_of(
    key: Array, target: Target, starts: Position, centre: Position, draws: int
) -> run.Trace:
    """Warm-up and draws of HMC within Gibbs from (chain, ...) starts; masses of the centre."""
    sampler, chains = SAMPLERS["gibbs"], starts.slope.size
    begin_key, warm_key, run_key = jax.random.split(key, 3)
    tuning = jax.jit(sampler.tune)(target, centre, FIRST_STEP)
    tuning = jax.tree.map(lambda x: jnp.stack([x] * chains), tuning)
    states = run.start(begin_key, starts, target, sampler)
    plan = dict(steps=LEAPFROG, chunk=KEEP)
    states, tuning, _ = run.warm_up(warm_key, states, target, sampler, tuning, WARMUP, **plan)
    return run.run(run_key, states, target, sampler, tuning, draws, **plan)[1]


def cutout_of(target: Target, truth: Position, flux: np.ndarray | None, stem: str) -> Cutout:
    """The data of a target as a cutout, with the truth behind them as far as it is known."""
    seen, galaxy = target.observation, jax.jit(Target.galaxy)(target, truth)
    k = band_attenuation(seen.wavelength, seen.weight, truth.slope, target.curve, target.norm)
    host, transmission = (np.asarray(x, float) for x in galaxy[:2])
    dust = -2.5 * np.log10(transmission)
    return Cutout(
        data=np.asarray(seen.data, np.float32),
        ivar=np.asarray(seen.ivar, np.float32),
        psf=np.asarray(seen.psf, np.float32),
        bands=world.BANDS,
        wavelength=np.array([effective_wavelength(band) for band in world.BANDS]),
        unit="",
        wcs=None,
        source=Path(f"{stem}.fits"),
        truth=Truth(
            host=host,
            attenuation=np.asarray(k)[:, None, None] * dust,
            transmission=transmission,
            flux=flux,
            covering_fraction=float(host[dust > COVERING_THRESHOLD].sum()),
            mean_attenuation=float((host * dust).sum()),
            slope=float(truth.slope),
        ),
    )


def settings_of(target: Target, flux_prior: str, slope: float, chains: int, draws: int) -> dict:
    """What was assumed, under the names of `dustpost.draws.SETTINGS`."""
    seen = target.observation
    k = band_attenuation(seen.wavelength, seen.weight, slope, target.curve, target.norm)
    return dict(
        k=np.asarray(k).tolist(),
        k_reference=float(target.k_pivot),
        covering_threshold=COVERING_THRESHOLD,
        curve=target.curve,
        norm=target.norm,
        target=target.kind,
        cross_term=target.cross_term,
        sampler="gibbs",
        flux_prior=flux_prior,
        host_prior="gaussian",
        dust_prior="screen of known outline",
        dust_coordinate=target.dust_prior.coordinate,
        sigma_dust=float(target.sigma_dust),
        **described(target.slope_prior),
        chains=chains,
        draws=draws,
    )
