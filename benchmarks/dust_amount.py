"""Fit the factor for the amount of dust (`dustpost.priors.amount`) to chains without data.

    python -m benchmarks.dust_amount --pairs pairs.npz [--galaxies 64] [--sweeps 120]
        [--sigma 0.2] [--rate 0.1] [--weights FILE] [--seed 0] [--to FILE]

Chains on the dust's energy times the factor begin at noisy truths, one for each host, and live on
while lambda follows what they lack (stochastic approximation; Robbins & Monro 1951):

    lambda += rate C^-1 (mean over truths of phi - mean over chains of phi),   C = cov(phi),

the rate falling as 1 / sweep in the second half, whose mean is the answer. Both means are over the
same hosts. The record has lambda on its way, and phi and mean A of truths and chains at the end.
"""

import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.prior_chains import LOOK, arguments, propose, truths
from dustpost import coordinates
from dustpost.priors.amount import potentials
from dustpost.priors.dust import load_dust_prior
from dustpost.settings import SIGMA_ENERGY

RESULT = Path(__file__).with_suffix(".json")
RIDGE = 0.1  # of C, of its diagonal
QUANTILES = (0.05, 0.16, 0.5, 0.84, 0.95)


@jax.jit
def sweep(prior, sigma, weights, keys, places, hosts):
    """One proposal of each chain; places and acceptance."""

    def one(inputs):
        key, x, host = inputs

        def log_prior(x):
            clean = prior.denoise(x, sigma, host)
            factor = weights @ potentials(host, prior.transmission(clean))
            return prior.log_density(x, sigma, host, clean) + factor

        return propose(key, x, sigma, log_prior, jax.grad(log_prior))

    return jax.lax.map(one, (keys, places, hosts))


@jax.jit
def looks(prior, sigma, places, hosts):
    """phi and mean A of N(x), of each."""

    def one(inputs):
        x, host = inputs
        transmission = prior.transmission(prior.denoise(x, sigma, host))
        amount = coordinates.mean_attenuation(host, transmission, 1.0)
        return potentials(host, transmission), amount

    return jax.lax.map(one, (places, hosts))


def main() -> None:
    """Run the chains, follow what they lack, write the record."""
    options = arguments(__doc__, galaxies=64, sweeps=120, sigma=SIGMA_ENERGY, rate=0.1)
    prior = load_dust_prior(options.weights, energy=True).replace(amount=())
    sigma = jnp.asarray(options.sigma)
    hosts, maps = truths(options)
    key, noise = jax.random.split(jax.random.key(options.seed))
    places = prior.latent(maps) + sigma * jax.random.normal(noise, maps.shape)
    true, true_amount = (np.asarray(x, float) for x in looks(prior, sigma, places, hosts))
    covariance = np.cov(true.T)
    step = np.linalg.inv(covariance + RIDGE * np.diag(np.diag(covariance)))
    weights, path, begin, half = np.zeros(len(step)), [], time.process_time(), options.sweeps // 2
    for number, sweep_key in enumerate(jax.random.split(key, options.sweeps), start=1):
        keys = jax.random.split(sweep_key, len(hosts))
        told = jnp.asarray(weights, maps.dtype)
        places, _ = sweep(prior, sigma, told, keys, places, hosts)
        phi, amount = (np.asarray(x, float) for x in looks(prior, sigma, places, hosts))
        rate = options.rate * min(1.0, half / number)
        weights = weights + rate * step @ (true.mean(axis=0) - phi.mean(axis=0))
        path.append(weights)
        if number % (LOOK // 4) == 0:
            found = np.quantile(amount, QUANTILES).round(3).tolist()
            print(number, weights.round(3), phi.mean(axis=0).round(3), found, flush=True)
    record = dict(
        weights=np.mean(path[half:], axis=0).round(4).tolist(),
        scatter=np.std(path[half:], axis=0).round(4).tolist(),
        path=np.array(path[LOOK // 2 - 1 :: LOOK // 2]).round(3).tolist(),
        truths=dict(phi=true.mean(axis=0).round(4).tolist(), **_spread(true_amount)),
        chains=dict(phi=phi.mean(axis=0).round(4).tolist(), **_spread(amount)),
        galaxies=len(hosts),
        source=(options.pairs or options.data).name,
        sweeps=options.sweeps,
        rate=options.rate,
        seed=options.seed,
        sigma=options.sigma,
        network=prior.sha256,
        cpu_seconds=round(time.process_time() - begin),
    )
    (options.to or RESULT).write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


def _spread(amount: np.ndarray) -> dict:
    found = np.quantile(amount, QUANTILES).round(4).tolist()
    return {"mean A": round(float(amount.mean()), 4), "mean A, quantiles": found}


if __name__ == "__main__":
    main()
