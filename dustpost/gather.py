"""From a trace to the form of the outputs: maps, numbers, prior draws, Fisher bounds."""

from typing import Any

import jax
import numpy as np
from jax import Array

from dustpost.assemble import describe
from dustpost.diagnostics import fisher_pixels
from dustpost.draws import Draws
from dustpost.io.cutout import Cutout
from dustpost.posterior import Target
from dustpost.progress import Stage, quiet
from dustpost.samplers import run
from dustpost.settings import Settings


def prior_of_dust(
    key: Array, target: Target, hosts: Array, draws: int, progress: Stage = quiet
) -> dict[str, np.ndarray]:
    """Draws of S, D (n, y, x) and delta (n,): hosts of the posterior, dust of its prior.

    `hosts` are latents z of the posterior, (n, y, x), taken in turn.
    """
    slope_key, key = jax.random.split(key)
    advance = progress("prior of the dust", draws)
    pairs = []
    for number, draw_key in enumerate(jax.random.split(key, draws)):
        pairs.append(jax.device_get(_prior_draw(draw_key, target, hosts[number % len(hosts)])))
        advance(1)
    host, transmission = (np.stack(images) for images in zip(*pairs, strict=True))
    slope = np.asarray(target.slope_prior.sample(slope_key, (draws,)))
    return dict(prior_host=host, prior_transmission=transmission, prior_slope=slope)


@jax.jit
def _prior_draw(key: Array, target: Target, latent: Array) -> tuple[Array, Array]:
    key, fine_key = jax.random.split(key)
    host, _ = target.host_of(latent)
    drawn = target.draw_dust(key, host)
    mean = target.dust_of(drawn, host).transmission
    return host.image, target.fine(fine_key, drawn, host.image, mean)


def bounds(
    target: Target, host: Array, transmission: Array, slope: Array, prior_transmission: Array
) -> dict[str, float]:
    """Fisher bounds of log_screen, see `diagnostics.fisher_pixels.pixel_bound`."""
    place = target, host, transmission, slope
    return dict(
        fisher_sd=fisher_pixels.pixel_bound(*place, prior_transmission),
        fisher_sd_pixels=fisher_pixels.pixel_bound(*place),
    )


def settled(tuning: Any) -> dict[str, Array]:
    """What the warm-up has settled for each chain, (chain,) each: step sizes, and its aim."""
    steps = {f"step_size_{name}": step for name, step in tuning.step.items()}
    aim = getattr(tuning, "aim", None)
    return steps | ({} if aim is None else {f"aim_{n}": v for n, v in aim._asdict().items()})


def gather(
    target: Target,
    trace: run.Trace,
    fixed: dict[str, Array],
    origin: np.ndarray,
    before: dict[str, np.ndarray],
    cutout: Cutout,
    settings: Settings,
) -> Draws:
    """Bring a trace into the form of the outputs.

    `fixed` is what `settled` finds of the chains, `origin` as `dustpost.warm_up` has it.
    """
    scalars, info = trace.scalars, trace.info
    mean = trace.host.mean(axis=(0, 1)), np.exp(np.log(trace.transmission).mean(axis=(0, 1)))
    found = bounds(target, *mean, scalars.slope.mean(), before["prior_transmission"])
    stats = {
        **{f"acceptance_{name}": rate for name, rate in info.acceptance.items()},
        **{name: value for name, value in info._asdict().items() if name != "acceptance"},
        "log_likelihood": scalars.log_likelihood,
        **{name: np.asarray(value)[trace.share] for name, value in fixed.items()},
    }
    if "aim_goal" in fixed:
        stats["share"] = trace.share
    if np.isfinite(scalars.energy).any():  # where the priors have one
        stats["energy"] = scalars.energy
    if (origin != np.arange(len(origin))).any():
        stats["origin"] = np.broadcast_to(origin[:, None], scalars.slope.shape)
    return Draws(
        **traced(trace),
        stats=stats,
        **before,
        fisher={name: float(sd) for name, sd in found.items()},
        settings=describe(target, cutout, settings, float(scalars.slope.mean())),
    )


def traced(trace: run.Trace) -> dict[str, np.ndarray]:
    """Fields of `Draws` that a trace holds as they are."""
    scalars = trace.scalars
    return dict(
        flux=scalars.flux,
        template_flux=scalars.template_flux,
        slope=scalars.slope,
        mean_attenuation=scalars.mean_attenuation,
        covering_fraction=scalars.covering_fraction,
        log_screen=scalars.log_screen,
        host=trace.host,
        transmission=trace.transmission,
        kept=trace.kept,
        model=trace.model.mean(axis=0),
    )
