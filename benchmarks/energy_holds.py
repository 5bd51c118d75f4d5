"""Claim: the dust's energy holds; HMC on it alone stays where galaxies are.

    python -m benchmarks.energy_holds (--pairs pairs.npz | --data FOLDER) [--galaxies 24]
        [--sweeps 160] [--sigma 0.2] [--weights FILE] [--seed 0] [--to FILE]

No data, no likelihood: chains start at noisy truths, x = D + sigma e, one for each host, and move
by `dustpost.samplers.hmc` (14 steps a sweep, diagonal mass 1/sigma^2) on p_sigma(x | S). An
energy that is free away from its training data lets them out within a few sweeps: thin dust
over the whole frame. What is compared are N(x) of the truths, and of the chains on their way and
at their end: mean A and covering fraction over the galaxies, and the energy, which of a perfect
prior has the same mean at both. The energy of no dust at all, beside the same hosts, says what
the dust of a truth must bring in volume to be as probable. Pairs are those of
`benchmarks/make_pairs.py`, of a seed not trained on; a folder holds FITS files with truth, such as
RADMC-3D's views, of which the first of each galaxy is taken.
"""

import json
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.prior_chains import LOOK, arguments, propose, truths
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


def main() -> None:
    """Run the chains and write the record."""
    options = arguments(__doc__, galaxies=24, sweeps=160, sigma=SIGMA_ENERGY)
    prior, sigma = load_dust_prior(options.weights, energy=True), jnp.asarray(options.sigma)
    hosts, maps = truths(options)
    key, noise = jax.random.split(jax.random.key(options.seed))
    places = prior.latent(maps) + sigma * jax.random.normal(noise, maps.shape)
    found, begin, rates = {"truths": looks(prior, sigma, places, hosts)}, time.process_time(), []
    clear = places - prior.latent(maps) + prior.latent(jnp.ones_like(maps))
    found["no dust"] = looks(prior, sigma, clear, hosts)
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
    record |= dict(
        galaxies=len(hosts),
        source=(options.pairs or options.data).name,
        sweeps=options.sweeps,
        seed=options.seed,
        sigma=options.sigma,
        leapfrog=FAR,
        acceptance=round(float(np.mean(rates)), 3),
        weights=prior.sha256,
        cpu_seconds=round(time.process_time() - begin),
    )
    (options.to or RESULT).write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
