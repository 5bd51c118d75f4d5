"""What trains a network of hosts and dust (`joint`): both by denoising (Karras et al. 2022, Eq. 8),

    L = E  w |E[z0 | z] - z0|^2 + w |E[z0 | z, x] - z0|^2 + w' |E[v | z, x] - v|^2,

the first expectation fixed in the second term.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.coordinates import clean_from_image
from dustpost.errors import DustpostError
from dustpost.networks import batches, edm, unet
from dustpost.networks.coordinate import coordinate
from dustpost.networks.joint import JointDenoiser

HIGHEST = 400.0  # spreads; drowns a whole map of 64x64 pixels, whose norm is 64 spreads
TAU_LOW = 0.02
WORKING = (0.05, 0.5)  # tau at which the samplers' hosts live
PEAKS = 0.4  # scatter of ln(peak) about 1; hosts drawn by HSC-64 peak at 1.2 to 1.4
SAMPLE = 2048  # pairs that the moments are taken over
LEVELS = ((0.14, 0.1), (0.14, 0.3), (0.5, 0.3), (1.5, 1.0))  # (tau, sigma in spreads)


class JointTask(NamedTuple):
    """A `dustpost.networks.training.Task`; half of a batch is for each use.

    * a half, for samplers: tau log-uniform over `WORKING`, sigma from the lowest level
      up, most of it below 10 spreads (`batches.noise_levels`), independent of tau;
    * a quarter, for reverse diffusion of both: the same number of spreads for both,
      over the whole range;
    * a quarter apart: each over its whole range, independent of each other.

    The host alone is learnt at the tau of all three.

    Attributes
    ----------
    denoiser : JointDenoiser
    """

    denoiser: JointDenoiser

    @property
    def tau_high(self) -> float:
        """Highest noise level of the host."""
        return HIGHEST * self.denoiser.host.spread

    def after(self, facts: dict[str, Any]) -> "JointTask":
        """Return the task that goes on from weights with these metadata: in their moments."""
        host, dust = (edm.Precondition(**facts[name]) for name in ("host", "dust"))
        high = float(facts["sigma_high"])
        return JointTask(self.denoiser._replace(host=host, dust=dust, sigma_high=high))

    def init(self, key: Array) -> dict:
        """Return random parameters."""
        return self.denoiser.init(key)

    def levels(self, key: Array, batch: int) -> tuple[Array, Array]:
        """Draw tau and sigma, (batch,) each, of the mixture above."""
        host, dust = self.denoiser.host.spread, self.denoiser.dust.spread
        low, high = self.denoiser.axis.sigma_low, self.denoiser.sigma_high
        many, some = batch // 2, batch // 4
        rest = batch - many - some
        keys = jax.random.split(key, 7)

        def mixed(key, *noise):
            return jax.random.permutation(key, batches.noise_levels(*noise))

        quiet = batches.log_uniform(keys[0], many, WORKING)
        first = quiet, mixed(keys[1], keys[2], many, low, high, dust)
        lowest = min(low / dust, TAU_LOW / host)
        spreads = batches.noise_levels(keys[3], some, lowest, HIGHEST, 1.0)
        second = jnp.maximum(spreads * host, TAU_LOW), jnp.maximum(spreads * dust, low)
        third = (
            batches.noise_levels(keys[4], rest, TAU_LOW, self.tau_high, host),
            mixed(keys[5], keys[6], rest, low, high, dust),
        )
        tau, sigma = (jnp.concatenate(part) for part in zip(first, second, third, strict=True))
        return tau, sigma

    def corrupt(self, key: Array, host: Array, transmission: Array) -> tuple[Array, ...]:
        """Return z0, v, z, x, (batch, y, x), tau and sigma, (batch,)."""
        peak, rest = jax.random.split(key)
        return self.noise(rest, peaked(peak, host), self.denoiser.axis.encode(transmission))

    def noise(self, key: Array, host: Array, dust: Array) -> tuple[Array, ...]:
        """Add noise to clean latents; what `corrupt` returns."""
        level, first, second = jax.random.split(key, 3)
        tau, sigma = self.levels(level, len(host))
        z = host + tau[:, None, None] * jax.random.normal(first, host.shape)
        x = dust + sigma[:, None, None] * jax.random.normal(second, dust.shape)
        return host, dust, z, x, tau, sigma

    def loss(self, params: dict, part: tuple[Array, ...]) -> Array:
        """Return the mean weighted square error of z0, z0 and v."""
        host, dust, z, x, tau, sigma = part
        alone = self.denoiser.alone(params, z, tau)
        cross, clean = self.denoiser.pair(params, z, x, tau, sigma)
        both = jax.lax.stop_gradient(alone) + (tau**2)[:, None, None] * cross

        def error(found, truth, level, moments):
            square = jnp.mean((found - truth) ** 2, axis=(1, 2))
            return jnp.mean(edm.loss_weight(level, moments.spread) * square)

        of_host = error(alone, host, tau, self.denoiser.host)
        of_both = error(both, host, tau, self.denoiser.host)
        return of_host + of_both + error(clean, dust, sigma, self.denoiser.dust)

    def validate(
        self, params: dict, host: np.ndarray, transmission: np.ndarray
    ) -> dict[str, float]:
        """Measure at each of `LEVELS`: keys are quantity, tau, sigma.

        `host` and `dust` are the rms errors of z0 (alone) and v. `gain` is the share of
        the host's square error that knowing the dust takes off, `slope` the regression
        of the host's error on the step tau^2 g: 1 where the cross term has the right size.
        """
        clean = clean_from_image(np.asarray(host, np.float32))
        dust = self.denoiser.axis.encode(jnp.asarray(transmission, jnp.float32))
        scores = {}
        for number, (tau, spreads) in enumerate(LEVELS):
            sigma = float(f"{spreads * self.denoiser.dust.spread:.2g}")
            key = jax.random.key(number)
            found = _errors(self.denoiser, params, clean, dust, jnp.array([tau, sigma]), key)
            of_host, step, of_dust = (np.asarray(part, float) for part in found)
            after = of_host + step
            values = {
                "host": np.sqrt(np.mean(of_host**2)),
                "dust": np.sqrt(np.mean(of_dust**2)),
                "gain": 1 - np.mean(after**2) / np.mean(of_host**2),
                "slope": -np.sum(of_host * step) / np.maximum(np.sum(step**2), 1e-30),
            }
            scores |= {f"{name} {tau} {sigma}": float(v) for name, v in values.items()}
        return scores

    def describe(self) -> dict[str, Any]:
        """Return what rebuilds the denoiser, and the noise it was trained for."""
        return self.denoiser.describe() | {
            "tau": [TAU_LOW, self.tau_high],
            "sigma": [self.denoiser.axis.sigma_low, self.denoiser.sigma_high],
            "peaks": PEAKS,
        }


def task(
    host: np.ndarray,
    transmission: np.ndarray,
    v: str = "log_attenuation",
    parameterisation: str = "score",
    channels: tuple[int, ...] | None = None,
    fold: int = 2,
) -> JointTask:
    """Return the task for a training set.

    Parameters
    ----------
    host, transmission : numpy arrays, (n, y, x)
        Pairs; the first `SAMPLE` give mean and spread of z0 and of v.
    v : str
        Name of the dust's coordinate.
    parameterisation : str
        "score"; an energy is that of the host alone, see `dustpost.networks.host`.
    channels, fold
        Of the network, see `dustpost.networks.unet.unet`.

    Raises
    ------
    DustpostError
        If a name is unknown, the widths do not fit, or the images are all alike.
    """
    if parameterisation != "score":
        raise DustpostError(
            f"parameterisation {parameterisation}: choose score (host and dust together) or "
            "energy (the host alone)."
        )
    clean = clean_from_image(np.asarray(host[:SAMPLE], np.float32))
    dust = coordinate(v).encode(jnp.asarray(transmission[:SAMPLE], jnp.float32))
    moments = [
        _moments(np.asarray(images), name)
        for images, name in ((clean, "hosts"), (dust, "transmissions"))
    ]
    network = unet.unet(channels, fold, outputs=3, noisy=2)
    high = float(f"{HIGHEST * moments[1].spread:.3g}")
    return JointTask(JointDenoiser(network, *moments, high, v, host.shape[-1]))


def peaked(key: Array, host: Array) -> Array:
    """z0 of hosts whose peaks are scattered about 1, (batch, y, x)."""
    peak = jnp.exp(PEAKS * jax.random.normal(key, (len(host), 1, 1)))
    return clean_from_image(jnp.maximum(host, 0.0) * peak)


def _moments(images: np.ndarray, name: str) -> edm.Precondition:
    mean, spread = (float(f"{value:.3g}") for value in (images.mean(), images.std()))
    if not spread > 0:
        raise DustpostError(f"the {name} of the pairs are all alike: nothing to learn.")
    return edm.Precondition(mean, spread, softest=float(f"{spread / 8:.2g}"))


@partial(jax.jit, static_argnums=0)
def _errors(denoiser, params, host, dust, level, key):
    """E[z0 | z] - z0, tau^2 g and E[v | z, x] - v at one pair of noise levels."""
    levels = level[:1], level[1:]
    tau, sigma = level

    def one(inputs):
        key, clean, v = inputs
        first, second = jax.random.split(key)
        z = (clean + tau * jax.random.normal(first, clean.shape))[None]
        x = (v + sigma * jax.random.normal(second, v.shape))[None]
        cross, found = denoiser.pair(params, z, x, *levels)
        return denoiser.alone(params, z, levels[0])[0] - clean, tau**2 * cross[0], found[0] - v

    return jax.lax.map(one, (jax.random.split(key, len(host)), host, dust))
