"""Claim: the host's energy holds: HMC on it alone stays at galaxies.

    python -m benchmarks.host_holds (--pairs pairs.npz | --data FOLDER) [--galaxies 8]
        [--sweeps 60] [--weights FILE] [--seed 0] [--to FILE]

The twin of `benchmarks/energy_holds.py` for the host: no data, no likelihood; chains start at noisy
truths, z = z0 + tau e at the samplers' noise level, and move by `dustpost.samplers.hmc` (24 steps
a sweep, diagonal mass 1/tau^2). What is compared are the hosts S that the denoiser makes of the
truths and of the chains: their energy, which of a perfect prior has the same mean at both, and
their grain, the rms of S / blur(S) - 1 over pixels brighter than 5 % of the peak, for Gaussian
blurs 0.7 and 1.4 pixels wide. Data at a signal to noise of tens do not fix the light of single
pixels under a PSF: what grain hosts have there, the prior decides. Pairs are those of
`benchmarks/make_pairs.py`, of a seed not trained on. Chains go without the factor of
`dustpost.priors.grain` and with it, from the same places by the same random numbers; the means of
its potentials over galaxies, `grain.MEANS`, are measured as well.
"""

import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.prior_chains import BRIGHT, LOOK, arguments, propose, truths
from dustpost import coordinates
from dustpost.assemble import FAR
from dustpost.networks.diffusion import perturb, sigma_of
from dustpost.priors.grain import log_factor, responses
from dustpost.priors.sim import load_sim_prior
from dustpost.settings import Settings

MANY = 400  # hosts behind the means of the potentials
WIDTHS = (0.7, 1.4)  # pixels
RESULT = Path(__file__).with_suffix(".json")


@jax.jit
def sweep(prior, sigma, weight, keys, places):
    """One proposal of each chain; places and acceptance."""

    def one(inputs):
        given = sigma, None
        log_prior = lambda z: prior.log_density(z, *given)  # noqa: E731
        host = lambda z: coordinates.host_from_clean(prior.denoise(z, *given))  # noqa: E731
        factor = lambda z: weight * log_factor(host(z))  # noqa: E731
        return propose(*inputs, sigma, log_prior, lambda z: prior.score(z, *given), factor)

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
    return {
        "energy, mean [nat]": round(float(np.mean(energy)), 1),
        "energy, standard error": round(float(np.std(energy) / len(energy) ** 0.5), 1),
    } | grains(host)


def grains(hosts: np.ndarray) -> dict[str, float]:
    """Median grain of hosts at each width."""
    return {
        f"grain at {width} pixels, median": round(
            float(np.median([grain(host, width) for host in hosts])), 4
        )
        for width in WIDTHS
    }


def main() -> None:
    """Run the chains and write the record."""
    options = arguments(__doc__, galaxies=8, sweeps=60)
    prior = load_sim_prior(options.weights, energy=True)
    sigma = sigma_of(jnp.asarray(Settings().t_host))
    hosts = np.asarray(truths(options)[0])
    hosts = many = hosts / hosts.max(axis=(1, 2), keepdims=True)
    if options.pairs is not None:
        with np.load(options.pairs) as pairs:
            many = np.asarray(pairs["host"][:MANY], np.float32)
    key, noise = jax.random.split(jax.random.key(options.seed))
    clean = coordinates.clean_from_image(jnp.asarray(hosts))
    places = perturb(noise, clean, prior.level(sigma))
    image, energy = jax.device_get(looks(prior, sigma, places))
    found = {"clean truths": grains(hosts), "truths": described(image, energy)}
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
        galaxies=len(hosts),
        source=(options.pairs or options.data).name,
        sweeps=options.sweeps,
        seed=options.seed,
        t_host=Settings().t_host,
        leapfrog=FAR,
        means=[round(mean, 4) for mean in means],
        weights=prior.sha256,
        cpu_seconds=round(time.process_time() - begin),
    )
    (options.to or RESULT).write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
