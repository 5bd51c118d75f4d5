"""Rungs for the priors that ship: simulated galaxies whose dust is stretched over their light.

    A_f = A g / sum(S g),   g = m A_true,   m: from one side on, to the share f of the light

The galaxy obeys the model (one colour of the host, Eq. 7 of Siegel & Melchior 2024), so that
what goes wrong is not the model's. Every rung is a fit by `dustpost.sample`.
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dustpost import coordinates
from dustpost.attenuation import band_attenuation
from dustpost.diagnostics import fisher
from dustpost.forward import templates
from dustpost.galaxy import Position
from dustpost.io.cutout import Cutout, Truth
from dustpost.io.read import to_observation
from dustpost.ladder.world import MAGNITUDE
from dustpost.mock import cutout_of, draw_view
from dustpost.posterior import Target
from dustpost.priors.screen import covered
from dustpost.sample import sample
from dustpost.settings import Settings
from dustpost.simulate.survey import get_survey, point_spread
from dustpost.starts import find_map, map_target

SURVEY = "hsc-wide"
LEAST_DUST = 0.1  # mag, of the galaxies that are used: without dust there is no pattern
FAINTEST = 0.02  # mag added to the pattern, so that all of the light can be covered


def measure(
    fraction: float,
    depth: float,
    signal_to_noise: float,
    flux_prior: str,
    galaxies: int,
    draws: int,
    seed: int,
    settings: Settings,
) -> dict[str, float]:
    """Fit the galaxies of one rung; a row of degeneracy.ecsv.

    Parameters as in `study.Plan`; `flux_prior` and `draws` are those of `settings`.
    """
    rows = []
    for number, parent in zip(range(galaxies), parents(seed), strict=False):
        cutout = rung(parent, fraction, depth, signal_to_noise, seed + number)
        rows.append(_fit(cutout, settings, seed + number))
    columns = {name: np.array([row[name] for row in rows], float) for name in rows[0]}
    error = columns["mean"] - columns["true"]
    away = columns["map"] - columns["true"]
    posterior_sd, prior_sd = columns["sd"].mean(), columns["prior_sd"].mean()
    spread = error.std(ddof=1) / galaxies**0.5 if galaxies > 1 else np.nan
    return dict(
        covering_fraction=fraction,
        depth=depth if fraction else 0.0,
        signal_to_noise=signal_to_noise,
        galaxies=galaxies,
        mean_attenuation=columns["true"].mean(),
        posterior_sd=posterior_sd,
        prior_sd=prior_sd,
        contraction=posterior_sd / prior_sd,
        bias=error.mean(),
        bias_error=spread,
        coverage68=np.mean(columns["inside"]),
        fisher_sd=np.mean(columns["fisher_sd"]),
        fisher_sd_pixels=np.mean(columns["fisher_sd_pixels"]),
        map_bias=away.mean(),
        map_rms=np.sqrt(np.mean(away**2)),
        laplace_sd=np.mean(columns["laplace_sd"]),
        map_coverage68=np.mean(np.abs(away) <= np.nan_to_num(columns["laplace_sd"])),
        rhat=np.median(columns["rhat"]),
        ess_bulk=np.median(columns["ess_bulk"]),
    )


def parents(seed: int):
    """Simulated galaxies without noise that have a pattern of dust to stretch."""
    number = 0
    while True:
        key, structure = draw_view(seed, number, 0)
        cutout = cutout_of(key, structure, get_survey(SURVEY).bands, monochromatic=True)
        if cutout.truth.mean_attenuation >= LEAST_DUST:
            yield cutout
        number += 1


def rung(parent: Cutout, fraction: float, depth: float, signal_to_noise: float, seed: int):
    """A galaxy whose dust covers a share of the light, seen with noise.

    Parameters
    ----------
    parent : Cutout
        Whose light and pattern of dust are taken.
    fraction : float
        In [0, 1]; 0 has no dust.
    depth : float
        Light-weighted mean A at 0.4754 micron, mag.
    signal_to_noise : float
        Of the brightest pixel of the dust-free galaxy in each band.
    seed : int
        Of the noise.

    Returns
    -------
    Cutout
        With its truth.
    """
    survey = get_survey(SURVEY)
    light = np.asarray(parent.truth.host, float) / parent.truth.host.sum()
    pattern = -2.5 * np.log10(np.clip(parent.truth.transmission, 1e-4, 1.0)) + FAINTEST
    pattern = pattern * np.asarray(covered(jnp.asarray(light), fraction), float)
    total = (light * pattern).sum()
    dust = depth * pattern / total if total > 0 else 0 * pattern
    transmission = 10 ** (-0.4 * dust)
    psf = np.asarray(point_spread(survey), np.float32)
    flux = 100.0 * np.asarray(parent.truth.flux) / parent.truth.flux[1]
    slope = 0.0
    cutout = replace(parent, psf=psf, unit="", source=Path(f"ladder_{depth:g}_{fraction:g}.fits"))
    seen = to_observation(cutout, True)
    bare = flux[:, None, None] * templates(seen, light, jnp.ones_like(light), slope)
    clean = flux[:, None, None] * templates(seen, light, jnp.asarray(transmission), slope)
    noise = np.asarray(bare).max(axis=(1, 2)) / signal_to_noise
    draw = np.asarray(jax.random.normal(jax.random.key(seed), clean.shape))
    k = np.asarray(band_attenuation(seen.wavelength, seen.weight, jnp.asarray(slope)))
    truth = Truth(
        host=light,
        attenuation=k[:, None, None] * dust,
        transmission=transmission,
        flux=flux,
        slope=slope,
        mean_attenuation=float((light * dust).sum()),
        covering_fraction=float(light[dust > 0.05].sum()),
    )
    return replace(
        cutout,
        data=(np.asarray(clean) + noise[:, None, None] * draw).astype(np.float32),
        ivar=np.broadcast_to(noise[:, None, None] ** -2, clean.shape).astype(np.float32),
        truth=truth,
    )


def _fit(cutout: Cutout, settings: Settings, seed: int) -> dict[str, float]:
    tree = sample(jax.random.key(seed), cutout, settings)
    found, true = tree["degeneracy"].sel(direction="screen"), cutout.truth.mean_attenuation
    draws = tree["posterior"]["mean_attenuation"].values
    low, high = np.quantile(draws, [0.16, 0.84])
    target = map_target(cutout, settings)
    best = find_map(target).position
    return dict(
        true=true,
        mean=draws.mean(),
        sd=draws.std(ddof=1),
        inside=low <= true <= high,
        prior_sd=float(tree["prior"]["mean_attenuation"].std(ddof=1)),
        fisher_sd=MAGNITUDE * float(found["fisher_sd"]),
        fisher_sd_pixels=MAGNITUDE * float(found["fisher_sd_pixels"]),
        map=float(MAGNITUDE * -_log_screen(target, best)),
        laplace_sd=MAGNITUDE * float(_laplace(target, best)),
        rhat=float(found["rhat"]),
        ess_bulk=float(found["ess_bulk"]),
    )


@jax.jit
def _log_screen(target: Target, position: Position) -> jax.Array:
    galaxy = target.galaxy(position)
    return coordinates.log_screen(galaxy.host, galaxy.transmission)


def _laplace(target: Target, position: Position) -> jax.Array:
    """Sd of log_screen by the curvature at the MAP; nan where that is not positive."""
    return fisher.bound(target, jax.tree.map(lambda x: x[None], position))
