"""Claim: without networks the likelihood knows how much dust there is, or says what it misses.

    python -m benchmarks.likelihood_along_dust [--snr 30] [--flattening 0] [--noise-inflation 1]
        [--colour-along-dust 0] [--galaxies 66] [--seed 77] [--data ../shared/data] [--to FILE]

The true map of a view's dust times an amount, D^s, s flat from 0 to `MOST` (at most `DEEPEST` mag
of mean A). S is free in a fit: here it takes up, pixel by pixel, what the bands have in common,

    ln S = sum_i v_i (ln light_i - k_i ln D^s),   v_i = sum Y_i^2 w_i, of unit sum,

of the light that is seen, before PSF and noise. (A host that follows in one band only has the
others pay for what it could take up, which looks like a false curve.) Of s, with delta integrated
over its prior and F out, there is a posterior on a grid: of views whose s was drawn from that flat
prior the rank of the true s is flat, 50, 68 and 90 % intervals hold so many, and ln L at its best
exceeds ln L at the truth by 0.2 in the median (half a chi^2 of one). What is seen is built in four
steps, to tell which of the model's assumptions costs the most:

    model     one colour, one curve: all as the fit assumes with flattening 0
    colours   the host's own colours
    curve     one colour, each pixel and band with its own attenuation, times s
    both      as the simulation has it

of simulated views, one a galaxy, and with --data of RADMC-3D's. Views with less than `LEAST` mag of
mean A are left out. Writes likelihood_along_dust.json; takes 2 s a view and step.
"""

import argparse
import json
import os
import time
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.assemble import build_target
from dustpost.attenuation import PIVOT, band_attenuation
from dustpost.io.cutout import Cutout
from dustpost.io.read import to_observation
from dustpost.reproduce.exposure import observe
from dustpost.reproduce.sources import find_views
from dustpost.settings import Settings

RESULT = Path(__file__).with_suffix(".json")
STEPS = {
    "model": (False, False),
    "colours": (True, False),
    "curve": (False, True),
    "both": (True, True),
}
MOST, DEEPEST, LEAST = 4.0, 1.0, 0.02
AMOUNTS = np.linspace(0.0, 1.0, 81)  # of the greatest
SLOPES = np.linspace(-1.2, 1.2, 25)
BANDS = 5  # the reddest of a view's: HSC has no u
FAINTEST = 1e-12  # of a band's light; below it a logarithm means nothing
INTERVALS = (0.5, 0.68, 0.9)
TOLD = ("flattening", "noise_inflation", "colour_along_dust")  # settings


def build(cutout: Cutout, colours: bool, curve: bool, amount: float, slope: float) -> Cutout:
    """The view of one of `STEPS`, without PSF and noise, with its truth."""
    truth = cutout.truth
    depth = np.asarray(truth.attenuation, float)
    pivot = int(np.argmin(np.abs(cutout.wavelength - PIVOT)))
    light = np.asarray(cutout.data, float) * 10 ** (0.4 * depth)
    flux = light.sum(axis=(1, 2), keepdims=True)
    light = np.maximum(light / flux, FAINTEST)
    host = np.exp(np.log(light[-BANDS:]).mean(axis=0))
    if not colours:
        light = np.broadcast_to(host / host.sum(), light.shape)
    dust = amount * np.maximum(depth[pivot], 0.0)
    if curve:
        # light that dust scatters to where it has none is the host's, to the model
        host = host * 10 ** (-0.4 * amount * np.minimum(depth[pivot], 0.0))
        depth = amount * depth
    else:
        seen = to_observation(cutout)
        k = np.asarray(band_attenuation(seen.wavelength, seen.weight, slope))
        depth = k[:, None, None] * dust
    truth = truth._replace(
        host=(host / host.sum()).astype(np.float32),
        transmission=(10 ** (-0.4 * dust)).astype(np.float32),
        attenuation=depth.astype(np.float32),
    )
    data = flux * light * 10 ** (-0.4 * depth)
    return replace(cutout, data=data.astype(np.float32), truth=truth)


@jax.jit
def scan(target, light, share, dust, amounts):
    """ln of the posterior of each amount of dust (y, x), mag; `light` (band, y, x) is behind it."""
    seen = target.observation
    sharp = target.replace(observation=seen._replace(psf=jnp.ones((len(seen.psf), 1, 1))))

    def one(amount, slope):
        transmission = 10 ** (-0.4 * amount * dust)
        dimmed = sharp.templates(jnp.ones_like(dust), transmission, slope)
        image = jnp.exp(jnp.einsum("b,byx->yx", share, jnp.log(light) - jnp.log(dimmed)))
        log_density, _ = target.explicit(image / image.sum(), transmission, slope)
        return log_density + target.slope_prior.log_prob(slope)

    def row(amount):
        return jax.scipy.special.logsumexp(jax.lax.map(partial(one, amount), jnp.asarray(SLOPES)))

    return jax.lax.map(row, amounts)


def rank(
    cutout: Cutout, step: str, snr: float, seed: int, settings: Settings
) -> tuple[float, float] | None:
    """Rank of the true amount, and how much ln L gains elsewhere; None where there is no dust."""
    full = build(cutout, *STEPS[step], 1.0, 0.0).truth
    mean = float(-2.5 * (full.host * np.log10(full.transmission)).sum())
    if mean < LEAST:
        return None
    # of a view: the same amount, slope and noise in all steps
    random = np.random.default_rng([seed, zlib.crc32(cutout.stem.encode())])
    most = min(MOST, DEEPEST / mean)
    amount, slope = (
        most * random.uniform(0.005, 1.0),
        float(np.clip(random.normal(0.1, 0.35), -1, 1)),
    )
    sharp = build(cutout, *STEPS[step], amount, slope)
    seen = observe(sharp, snr, seed)
    target = build_target(seen, settings)
    light = sharp.data[-BANDS:] / sharp.data[-BANDS:].sum(axis=(1, 2), keepdims=True)
    told = (np.asarray(target.observation.data, float) ** 2 * target.observation.ivar).sum((1, 2))
    dust = -2.5 * np.log10(seen.truth.transmission)
    images = np.maximum(light, FAINTEST), told / told.sum(), dust
    images = [jnp.asarray(image, jnp.float32) for image in images]
    amounts = jnp.asarray(np.append(most * AMOUNTS / amount, 1.0), jnp.float32)
    log = np.asarray(scan(target, *images, amounts), float)
    log, true = log[:-1], log[-1]
    weight = np.exp(log - log.max())
    below = np.interp(amount / most, AMOUNTS, np.cumsum(weight) - 0.5 * weight) / weight.sum()
    return float(below), float(max(log.max() - true, 0.0))


def summary(found: list[tuple[float, float]]) -> dict:
    """Coverage, mean rank and gain of some views."""
    ranks, gains = np.array(found).T
    inside = {f"{p:.0%}": round(float(np.mean(np.abs(ranks - 0.5) < p / 2)), 3) for p in INTERVALS}
    return dict(
        views=len(found),
        coverage=inside,
        mean_rank=round(float(ranks.mean()), 3),
        gain_median=round(float(np.median(gains)), 2),
        gain_84=round(float(np.quantile(gains, 0.84)), 2),
    )


def main() -> None:
    """Scan all views, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=66)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--snr", type=float, default=30.0)
    for name in TOLD:
        usual = getattr(Settings(), name)
        parser.add_argument("--" + name.replace("_", "-"), type=float, default=usual)
    parser.add_argument("--data", default=os.environ.get("DUSTPOST_DATA", "../shared/data"))
    parser.add_argument("--to", type=Path, default=RESULT)
    options = parser.parse_args()
    told = {name: getattr(options, name) for name in TOLD}
    settings = Settings(**told)
    record = dict(galaxies=options.galaxies, seed=options.seed, snr=options.snr) | told
    sources = {"simulated": find_views(None, options.galaxies, 1, options.seed)}
    if (folder := Path(options.data) / "rt").is_dir():
        sources["radmc"] = find_views(folder, 99, 3, 0)
    begin = time.process_time()
    for source, views in sources.items():
        cutouts = [view.read(False) for view in views]
        record[source] = {}
        for step in STEPS:
            found = [rank(cutout, step, options.snr, options.seed, settings) for cutout in cutouts]
            record[source][step] = summary([one for one in found if one is not None])
            print(source, step, record[source][step], flush=True)
    record["cpu_seconds"] = round(time.process_time() - begin)
    options.to.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
