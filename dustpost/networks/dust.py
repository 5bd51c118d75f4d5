"""The task of the dust network: denoise maps of dust given their host.

    L = E  weight(sigma) sum_p w_p (D0(v + sigma e, sigma, S) - v)_p^2

(Karras et al. 2022, Eq. 8), where w_p, a function of the host alone, favours pixels
with light: it moves effort, not the optimum, which stays E[v | x, S]. An energy's loss is that
of `dustpost.networks.energies`, mostly at `batches.working_levels`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.errors import DustpostError
from dustpost.networks import batches, edm, energies
from dustpost.networks.coordinate import coordinate
from dustpost.networks.denoiser import PARAMETERISATIONS, Denoiser
from dustpost.networks.unet import condition, unet

LEVELS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # where validation looks, in spreads
SIGMA_HIGH = 750.0  # in spreads: a whole map's dust must drown, see `DustTask`
WORKING = (0.3, 2.5)  # sigma at which the samplers' dust lives, in spreads
CHAINS = (1.6, 2.5)  # sigma of an energy's own chains, in spreads
SCREENS = (0.2, 3.0)  # mag, of the dust behind which some of them begin ...
WIDTHS = (1.0, 6.0)  # ... which is so smooth, pixels
SAMPLE = 2048  # pairs that the moments are taken over


class DustTask(NamedTuple):
    """A `dustpost.networks.training.Task`.

    Attributes
    ----------
    denoiser : Denoiser
    sigma_low, sigma_high : float
        Range of noise levels. The highest must drown the dust of a whole map (a
        deficit of 0.3 in 500 pixels stands out at sigma = 1), or reverse diffusion,
        which starts there from nothing, draws too little of it.
    host_noise : float
        Largest white noise added to the condition of every second pair, in
        units of its peak: hosts will come from a reconstruction.
    weight : float
        Of an energy's contrast with its own chains; 0: by denoising alone.
    """

    denoiser: Denoiser
    sigma_low: float
    sigma_high: float
    host_noise: float = 0.005
    weight: float = 0.0

    def after(self, facts: dict[str, Any]) -> "DustTask":
        """Return the task that goes on from weights with these metadata: in their moments."""
        moments = edm.Precondition(**facts["precondition"])
        return self._replace(denoiser=self.denoiser._replace(moments=moments))

    def init(self, key: Array) -> dict:
        """Return random parameters."""
        return self.denoiser.init(key)

    def corrupt(
        self, key: Array, host: Array, transmission: Array
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Return clean and noisy maps, conditions, (batch, y, x), and of (batch,) two more.

        Noise levels, and whether an energy's change with them counts, see `energies`.
        """
        level, noise, grain, move = jax.random.split(key, 4)
        clean = self.denoiser.axis.encode(transmission)
        spread = self.denoiser.moments.spread
        how = host.shape[0], self.sigma_low, self.sigma_high, spread
        if self.denoiser.parameterisation == "energy":
            working = tuple(spread * end for end in WORKING)
            sigma = batches.working_levels(level, *how, working)
            moved = energies.displacement(move, clean, sigma)
        else:
            sigma = batches.noise_levels(level, *how)
            moved = jnp.zeros_like(clean)
        tied = (sigma >= spread * WORKING[0]) & ~jnp.any(moved, axis=(1, 2))
        noisy = clean + moved + sigma[:, None, None] * jax.random.normal(noise, clean.shape)
        return clean, noisy, self.given(grain, host), sigma, tied

    def given(self, key: Array, host: Array) -> Array:
        """Return what the network is given of hosts, (batch, y, x)."""
        return condition(batches.grit(key, host, self.host_noise))

    def loss(self, params: dict, part: tuple[Array, Array, Array, Array, Array]) -> Array:
        """Return the mean weighted square error of v."""
        clean, noisy, light, sigma, tied = part
        weight = 0.2 + jnp.clip(light, 0.0, 1.5)
        weight = weight / weight.mean(axis=(1, 2), keepdims=True)
        spread = self.denoiser.moments.spread
        if self.denoiser.parameterisation == "energy":
            parts = self.denoiser.parts(params, noisy, sigma, light)
            return jnp.mean(energies.loss(parts, clean, noisy, sigma, spread, tied, weight))
        found = self.denoiser.denoise(params, noisy, sigma, light)
        error = (weight * (found - clean) ** 2).mean(axis=(1, 2))
        return jnp.mean(edm.loss_weight(sigma, spread) * error)

    def clean(self, key: Array, host: Array, transmission: Array) -> tuple[Array, tuple]:
        """Return v of maps and their conditions, see `contrast.Learner`."""
        clean = self.denoiser.axis.encode(jnp.asarray(transmission, jnp.float32))
        return clean, (self.given(key, jnp.asarray(host, jnp.float32)),)

    def astray(self, key: Array, clean: Array, given: tuple) -> Array:
        """Return the maps behind screens as well: smooth dust where the light is.

        Of a posterior that is the grey direction, in which data have the least to say.
        """
        deep, wide, order = jax.random.split(key, 3)
        depth = batches.log_uniform(deep, len(clean), SCREENS)
        # not in the order of the depths
        width = jax.random.permutation(order, batches.log_uniform(wide, len(clean), WIDTHS))
        screen = depth[:, None, None] * batches.blur(jnp.clip(given[0], 0.0, 1.0), width)
        axis = self.denoiser.axis
        return axis.encode(axis.decode(clean) * 10 ** (-0.4 * screen))

    def levels(self, key: Array, count: int) -> Array:
        """Return noise levels of the chains, stratified in `CHAINS`, (count,)."""
        ends = tuple(self.denoiser.moments.spread * end for end in CHAINS)
        return batches.log_uniform(key, count, ends)

    def validate(
        self, params: dict, host: np.ndarray, transmission: np.ndarray
    ) -> dict[str, float]:
        """Return the rms error of D over all pixels at each of `LEVELS` (keys: sigma)."""
        scores = {}
        for level in LEVELS:
            sigma = float(f"{level * self.denoiser.moments.spread:.3g}")
            found = denoise_all(self.denoiser, params, host, transmission, sigma)
            truth = np.asarray(transmission, np.float32)
            scores[str(sigma)] = float(np.sqrt(np.mean((found - truth) ** 2)))
        return scores

    def describe(self) -> dict[str, Any]:
        """Return what rebuilds the denoiser, and what it was trained for.

        An energy's loss ties its noise levels, so that its factor is the same for all hosts.
        """
        return self.denoiser.describe() | {
            "sigma": [self.sigma_low, self.sigma_high],
            "host_noise": self.host_noise,
            "normalised": self.denoiser.parameterisation == "energy",
            "contrast": self.weight,
        }


def task(
    host: np.ndarray,
    transmission: np.ndarray,
    v: str = "transmission",
    parameterisation: str = "score",
    channels: tuple[int, ...] | None = None,
    fold: int = 2,
    weight: float = 0.0,
) -> DustTask:
    """Return the task for a training set.

    Parameters
    ----------
    host, transmission : numpy arrays, (n, y, x)
        Pairs; the first `SAMPLE` give mean and spread of v.
    v : str
        Name of the coordinate.
    parameterisation : str
        "score" or "energy".
    channels, fold
        Of the network, see `dustpost.networks.unet.unet`.
    weight : float
        Of an energy's contrast with its own chains.

    Raises
    ------
    DustpostError
        If a name is unknown, the widths do not fit, or the maps are all alike.
    """
    if parameterisation not in PARAMETERISATIONS:
        raise DustpostError(
            f"parameterisation {parameterisation}: choose one of {', '.join(PARAMETERISATIONS)}."
        )
    axis = coordinate(v)
    clean = np.asarray(axis.encode(jnp.asarray(transmission[:SAMPLE], jnp.float32)))
    mean, spread = (float(f"{value:.3g}") for value in (clean.mean(), clean.std()))
    if not spread > 0:
        raise DustpostError("the transmissions of the pairs are all alike: no dust to learn.")
    # 0.01 for transmission, whose spread is about 0.08
    moments = edm.Precondition(mean, spread, softest=float(f"{spread / 8:.2g}"))
    denoiser = Denoiser(unet(channels, fold), moments, v, parameterisation)
    high = float(f"{SIGMA_HIGH * spread:.3g}")
    return DustTask(denoiser, axis.sigma_low, high, weight=weight)


def denoise_all(
    denoiser: Denoiser,
    params: dict,
    host: np.ndarray,
    transmission: np.ndarray,
    sigma: float,
    seed: int = 1,
) -> np.ndarray:
    """Add noise to pairs in the denoiser's coordinate, and return the D it makes of them.

    Parameters
    ----------
    denoiser : Denoiser
    params : dict
    host, transmission : numpy arrays, (n, y, x)
    sigma : float
    seed : int
        Of the noise.

    Returns
    -------
    numpy array, (n, y, x)
        Transmission.
    """
    light, clean = (jnp.asarray(images, jnp.float32) for images in (host, transmission))
    key = jax.random.key(seed)
    return np.asarray(_denoise_all(denoiser, params, light, clean, jnp.float32(sigma), key))


@partial(jax.jit, static_argnums=0)
def _denoise_all(denoiser, params, host, transmission, sigma, key):
    noise = jax.random.normal(key, transmission.shape)
    noisy = denoiser.axis.encode(transmission) + sigma * noise

    def one(inputs):
        x, light = inputs
        return denoiser.denoise(params, x[None], sigma[None], light[None])[0]

    found = jax.lax.map(one, (noisy, condition(host)))
    return denoiser.axis.decode(found)
