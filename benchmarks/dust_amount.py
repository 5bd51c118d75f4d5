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

from benchmarks.energy_holds import looks, sweep
from benchmarks.prior_chains import LOOK, arguments, truths
from dustpost.priors.amount import potentials
from dustpost.priors.dust import load_dust_prior
from dustpost.settings import SIGMA_ENERGY

RESULT = Path(__file__).with_suffix(".json")
RIDGE = 0.1  # of C, of its diagonal
QUANTILES = (0.05, 0.16, 0.5, 0.84, 0.95)


def main() -> None:
    """Run the chains, follow what they lack, write the record."""
    options = arguments(__doc__, galaxies=64, sweeps=120, sigma=SIGMA_ENERGY, rate=0.1)
    prior, sigma = load_dust_prior(options.weights, energy=True), jnp.asarray(options.sigma)
    hosts, maps = truths(options)
    key, noise = jax.random.split(jax.random.key(options.seed))
    places = prior.latent(maps) + sigma * jax.random.normal(noise, maps.shape)
    true_amount = np.asarray(looks(prior, sigma, places, hosts)[0], float)
    true = np.asarray(potentials(true_amount), float)
    covariance = np.cov(true)
    step = np.linalg.inv(covariance + RIDGE * np.diag(np.diag(covariance)))
    weights, path, begin, half = np.zeros(len(step)), [], time.process_time(), options.sweeps // 2
    for number, sweep_key in enumerate(jax.random.split(key, options.sweeps), start=1):
        keys = jax.random.split(sweep_key, len(hosts))
        prior = prior.replace(amount=tuple(weights))
        places, _ = sweep(prior, sigma, keys, places, hosts)
        amount = np.asarray(looks(prior, sigma, places, hosts)[0], float)
        phi = np.asarray(potentials(amount), float)
        rate = options.rate * min(1.0, half / number)
        weights = weights + rate * step @ (true.mean(axis=1) - phi.mean(axis=1))
        path.append(weights)
        if number % (LOOK // 4) == 0:
            found = np.quantile(amount, QUANTILES).round(3).tolist()
            print(number, weights.round(3), phi.mean(axis=1).round(3), found, flush=True)
    record = dict(
        weights=np.mean(path[half:], axis=0).round(4).tolist(),
        scatter=np.std(path[half:], axis=0).round(4).tolist(),
        path=np.array(path[LOOK // 2 - 1 :: LOOK // 2]).round(3).tolist(),
        truths=dict(phi=true.mean(axis=1).round(4).tolist(), **_spread(true_amount)),
        chains=dict(phi=phi.mean(axis=1).round(4).tolist(), **_spread(amount)),
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
