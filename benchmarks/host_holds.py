"""Claim: the host's energy holds with the factor for grain; HMC on it alone stays at galaxies.

    python -m benchmarks.host_holds --pairs pairs.npz [--galaxies 8] [--sweeps 60]
        [--weights FILE] [--seed 0]

The twin of `benchmarks/energy_holds.py` for the host: no data, no likelihood; chains start at noisy
truths, z = z0 + tau e at the samplers' noise level, and move by `dustpost.samplers.hmc` (14 steps
a sweep, diagonal mass 1/tau^2). What is compared are the hosts S that the denoiser makes of the
truths and of the chains: their energy, which of a perfect prior has the same mean at both, and
their grain, the rms of S / blur(S) - 1 over pixels brighter than 5 % of the peak, for Gaussian
blurs 0.7 and 1.4 pixels wide. Data at a signal to noise of tens do not fix the light of single
pixels under a PSF: what grain hosts have there, the prior decides. Pairs are those of
`benchmarks/make_pairs.py`, of a seed not trained on. Chains go without the factor of
`dustpost.priors.grain` and with it, from the same places by the same random numbers; the means of
its potentials over galaxies, `grain.MEANS`, are measured as well.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from dustpost import coordinates
from dustpost.assemble import FAR
from dustpost.networks.diffusion import perturb, sigma_of
from dustpost.posterior import Block, Evaluation
from dustpost.priors.grain import log_factor, responses
from dustpost.priors.joint import SimHostPrior, load_sim_prior
from dustpost.samplers import hmc
from dustpost.settings import Settings

STEP = 0.3
LOOK = 20  # sweeps
BRIGHT = 0.05  # of the peak
MANY = 400  # hosts behind the means of the potentials
WIDTHS = (0.7, 1.4)  # pixels
RESULT = Path(__file__).with_suffix(".json")


def block_of(prior: SimHostPrior, sigma: jax.Array, weight: float) -> Block:
    """The prior alone, as a block whose gradient holds its density; the factor is explicit."""
    log_prior = lambda z: prior.log_density(z, sigma, None)  # noqa: E731

    def factor(z):
        return weight * log_factor(coordinates.host_from_clean(prior.denoise(z, sigma, None)))

    def evaluate(z):
        value, gradient = jax.value_and_grad(factor)(z)
        return Evaluation(jnp.zeros_like(z), value, gradient + jax.grad(log_prior)(z), None)

    return Block(lambda z: prior.score(z, sigma, None), evaluate, log_prior)


@jax.jit
def sweep(prior, sigma, weight, keys, places):
    """One proposal of each chain; places and acceptance."""

    def one(inputs):
        key, z = inputs
        block = block_of(prior, sigma, weight)
        mass = jnp.full_like(z, sigma**-2)
        state, info = hmc.kernel(key, hmc.init(z, block), block, STEP, mass, FAR)
        return state.moving, info.acceptance

    return jax.lax.map(one, (keys, places))


@jax.jit
def looks(prior, sigma, places):
    """Hosts S, (galaxy, y, x), and the energy of each."""

    def one(z):
        image = coordinates.host_from_clean(prior.denoise(z, sigma, None))
        return image, -prior.log_density(z, sigma, None)

    return jax.lax.map(one, places)


def grain(host: np.ndarray, width: float) -> float:
    """Rms of S / blur(S) - 1 where one host is bright."""
    smooth = gaussian_filter(host, width)
    bright = smooth > BRIGHT * smooth.max()
    return float(np.sqrt(np.mean((host[bright] / smooth[bright] - 1) ** 2)))


def described(host: np.ndarray, energy: np.ndarray) -> dict[str, float]:
    """One entry of the record."""
    found = {
        "energy, mean [nat]": round(float(np.mean(energy)), 1),
        "energy, standard error": round(float(np.std(energy) / len(energy) ** 0.5), 1),
    }
    for width in WIDTHS:
        median = np.median([grain(image, width) for image in host])
        found[f"grain at {width} pixels, median"] = round(float(median), 4)
    return found


def main() -> None:
    """Run the chains and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--galaxies", type=int, default=8)
    parser.add_argument("--sweeps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    prior = load_sim_prior(options.weights, energy=True)
    sigma = sigma_of(jnp.asarray(Settings().t_host))
    with np.load(options.pairs) as pairs:
        many = np.asarray(pairs["host"][:MANY], np.float32)
        hosts = np.asarray(pairs["host"][-options.galaxies :], np.float32)
    hosts = hosts / hosts.max(axis=(1, 2), keepdims=True)
    key, noise = jax.random.split(jax.random.key(options.seed))
    clean = coordinates.clean_from_image(jnp.asarray(hosts))
    places = perturb(noise, clean, prior.level(sigma))
    image, energy = jax.device_get(looks(prior, sigma, places))
    found = {
        "clean truths": {
            f"grain at {width} pixels, median": round(
                float(np.median([grain(host, width) for host in hosts])), 4
            )
            for width in WIDTHS
        },
        "truths": described(image, energy),
    }
    means = [
        float(np.sum(mask * potential) / np.sum(mask))
        for mask, potential in jax.device_get(jax.jit(jax.vmap(responses))(jnp.asarray(many)))
    ]
    begin = time.process_time()
    for name, weight in (("without the factor", 0.0), ("with the factor", 1.0)):
        at, rate = places, []
        found[name] = {}
        for number, sweep_key in enumerate(jax.random.split(key, options.sweeps), start=1):
            keys = jax.random.split(sweep_key, len(hosts))
            at, accepted = sweep(prior, sigma, weight, keys, at)
            rate.append(float(accepted.mean()))
            if number % LOOK == 0:
                looked = jax.device_get(looks(prior, sigma, at))
                found[name][f"after {number} sweeps"] = described(*looked)
        found[name]["acceptance"] = round(float(np.mean(rate)), 3)
    record = found | dict(
        galaxies=options.galaxies,
        sweeps=options.sweeps,
        seed=options.seed,
        t_host=Settings().t_host,
        leapfrog=FAR,
        means=[round(mean, 4) for mean in means],
        weights=prior.sha256,
        cpu_seconds=round(time.process_time() - begin),
    )
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
