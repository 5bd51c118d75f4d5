"""Claim: the dust's energy holds; HMC on it alone stays where galaxies are.

    python -m benchmarks.energy_holds (--pairs pairs.npz | --data FOLDER) [--galaxies 24]
        [--sweeps 160] [--sigma 0.2] [--screen 0] [--weights FILE] [--seed 0] [--to FILE]

No data, no likelihood: chains start at noisy truths, x = D + sigma e, one for each host, and move
by `dustpost.samplers.hmc` (24 steps a sweep, diagonal mass 1/sigma^2) on p_sigma(x | S). An
energy that is free away from its training data lets them out within a few sweeps: thin dust
over the whole frame. What is compared are N(x) of the truths, and of the chains on their way and
at their end: mean A and covering fraction over the galaxies, and the energy, which of a perfect
prior has the same mean at both. The energy of no dust at all, beside the same hosts, says what
the dust of a truth must bring in volume to be as probable. Pairs are those of
`benchmarks/make_pairs.py`, of a seed not trained on; a folder holds FITS files with truth, such as
RADMC-3D's views, of which the first of each galaxy is taken. With --screen the chains start behind
dust of that mean A in mag, as smooth as the light and where it is: a prior that knows what is rare
lets them back to the truths' mean A. The record then has every chain's end, by the galaxy's size.
"""

import json
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.prior_chains import BRIGHT, LOOK, arguments, propose, truths
from dustpost import coordinates
from dustpost.assemble import FAR
from dustpost.priors.dust import load_dust_prior
from dustpost.settings import SIGMA_ENERGY

RESULT = Path(__file__).with_suffix(".json")


@jax.jit
def sweep(prior, sigma, keys, places, hosts):
    """One proposal of each chain; places and acceptance."""

    def one(inputs):
        key, x, host = inputs
        log_prior = lambda x: prior.log_density(x, sigma, host)  # noqa: E731
        return propose(key, x, sigma, log_prior, lambda x: prior.score(x, sigma, host))

    return jax.lax.map(one, (keys, places, hosts))


@jax.jit
def looks(prior, sigma, places, hosts):
    """Mean A, covering fraction and energy of N(x), of each."""

    def one(inputs):
        x, host = inputs
        transmission = prior.transmission(prior.denoise(x, sigma, host))
        mean = coordinates.mean_attenuation(host, transmission, 1.0)
        covering = coordinates.covering_fraction(host, transmission, 1.0, 0.05)
        return mean, covering, -prior.log_density(x, sigma, host)

    return jax.lax.map(one, (places, hosts))


def screens(hosts: np.ndarray, depth: float) -> np.ndarray:
    """D of dust of a mean A in mag that follows the light, flat where it is bright, (n, y, x)."""
    smooth = np.stack([gaussian_filter(host, 2.0) for host in hosts])
    bright = hosts > BRIGHT * hosts.max(axis=(1, 2), keepdims=True)
    full = [np.quantile(image[seen], 0.3) for image, seen in zip(smooth, bright, strict=True)]
    dust = np.minimum(smooth / np.array(full)[:, None, None], 1.0)
    dust *= depth / (hosts * dust).sum(axis=(1, 2), keepdims=True)
    return np.clip(10 ** (-0.4 * dust), 1e-3, 1.0)


def main() -> None:
    """Run the chains and write the record."""
    options = arguments(__doc__, galaxies=24, sweeps=160, sigma=SIGMA_ENERGY, screen=0.0)
    prior, sigma = load_dust_prior(options.weights, energy=True), jnp.asarray(options.sigma)
    hosts, maps = truths(options)
    key, noise = jax.random.split(jax.random.key(options.seed))
    errors = sigma * jax.random.normal(noise, maps.shape)
    places = prior.latent(maps) + errors
    found, begin, rates = {"truths": looks(prior, sigma, places, hosts)}, time.process_time(), []
    clear = places - prior.latent(maps) + prior.latent(jnp.ones_like(maps))
    found["no dust"] = looks(prior, sigma, clear, hosts)
    if options.screen:
        deep = jnp.asarray(screens(np.asarray(hosts), options.screen), maps.dtype)
        places = prior.latent(deep) + errors
        found["behind the screen"] = looks(prior, sigma, places, hosts)
    for number, sweep_key in enumerate(jax.random.split(key, options.sweeps), start=1):
        keys = jax.random.split(sweep_key, len(hosts))
        places, rate = sweep(prior, sigma, keys, places, hosts)
        rates.append(float(rate.mean()))
        if number % LOOK == 0:
            found[f"after {number} sweeps"] = looks(prior, sigma, places, hosts)
    found["chains"] = looks(prior, sigma, places, hosts)
    quantiles = partial(np.quantile, q=(0.16, 0.5, 0.84))
    record = {
        name: {
            "mean A, mean": round(float(depth.mean()), 4),
            "mean A, 16 50 84 %": [round(float(v), 4) for v in quantiles(np.asarray(depth))],
            "covering fraction, mean": round(float(covering.mean()), 4),
            "energy, mean [nat]": round(float(energy.mean()), 1),
            "energy, standard error": round(float(energy.std() / len(energy) ** 0.5), 1),
        }
        for name, (depth, covering, energy) in found.items()
    }
    if options.screen:
        area = 1 / np.sum(np.square(hosts), axis=(1, 2))
        ends = zip(area.round().astype(int).tolist(), found["chains"][0].tolist(), strict=True)
        record["effective area [pixel], mean A at the end"] = [
            [size, round(depth, 3)] for size, depth in sorted(ends)
        ]
    record |= dict(
        galaxies=len(hosts),
        source=(options.pairs or options.data).name,
        sweeps=options.sweeps,
        seed=options.seed,
        sigma=options.sigma,
        screen=options.screen,
        leapfrog=FAR,
        acceptance=round(float(np.mean(rates)), 3),
        weights=prior.sha256,
        cpu_seconds=round(time.process_time() - begin),
    )
    (options.to or RESULT).write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
