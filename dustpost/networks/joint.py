"""The joint score of a noisy host and its noisy dust; `joint_task` trains it.

With z = z0 + tau e, z0 = ln(1 + x)/0.1 the host and x = v + sigma e' the dust, one
network F gives, from z alone (the dust blank) and from both,

    E[z0 | z]     = bound(m + c_skip (z - m) + c_out F_1(z, -)),
    E[v | z, x]   = bound(m' + c_skip' (x - m') + c_out' F_2(z, x)),
    g(z, x)       = c_cross F_3(z, x)     = grad_z log p_sigma(x | z),
    E[z0 | z, x]  = E[z0 | z] + tau^2 g,

c_cross = s s'/[(tau^2 + s^2) sqrt(sigma^2 + s'^2)] for spreads s and s'. The score of
p(z) is that of classifier-free guidance with the dust left out, g what guidance adds
(Ho & Salimans 2022). (The first networks, of two outputs, use F_1 for the cross term too.)

Chosen by `benchmarks/cross_term.py` for its size of g, which does not grow as tau falls.
Relative error of g in a Gaussian world where it is known, small networks, 3 CPU minutes
each, one seed; leaving g out is an error of 1:

    (tau, sigma)                       .14, .1   .14, 1   .5, .3   1.5, .3
    this                                   .61      .63      .32       .26
    two outputs, F_1 for both              .66      .70      .45       .32
    logit of true against shuffled         .82      .55      .62       .52
    (E[z0 | z, x] - E[z0 | z])/tau^2      1.10     2.37      .49       .27
    the same from one scalar energy       1.58     2.56      .77       .46

The last two had batches of 64, the others of 32: part of their distance is that. Where
the answer is not linear (a mixture) `this` has .78, .98, .64, .44; the others were not
measured there. A conditional energy E(x | z) learnt by denoising in x alone is no
candidate: any function of z may be added to it, so its gradient by z is not g.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost.networks import edm, unet
from dustpost.networks.call import call
from dustpost.networks.coordinate import Coordinate, coordinate
from dustpost.networks.unet import UNet

ARCHITECTURE = "joint-1"
SIZE = 64  # pixels a side of the networks whose files do not say
HOST_ENDS = (0.0, 40.0)  # of z0: blank sky, a host with a peak of 50


class JointDenoiser(NamedTuple):
    """A network without its weights; hashable.

    Attributes
    ----------
    network : UNet
        Of two channels, both noisy, two noise levels and three outputs.
    host, dust : Precondition
        Moments of z0 and of v over the training set.
    sigma_high : float
        Highest noise level of the dust; blank dust carries it.
    coordinate : str
        Name of v, see `dustpost.networks.coordinate`.
    size : int
        Pixels a side of the maps that it was trained on, and draws.
    parameterisation : str
        "score", or "energy": a network of the host alone, whose E[z0 | z] is the gradient
        of an energy (`dustpost.networks.edm`).
    """

    network: UNet
    host: edm.Precondition
    dust: edm.Precondition
    sigma_high: float
    coordinate: str = "log_attenuation"
    size: int = SIZE
    parameterisation: str = "score"

    @property
    def axis(self) -> Coordinate:
        """The coordinate of the dust itself."""
        return coordinate(self.coordinate)

    @property
    def clear(self) -> float:
        """z0 of blank sky, about which an energy of the host is written."""
        return HOST_ENDS[0]

    def init(self, key: Array) -> dict:
        """Return random parameters."""
        images = jnp.zeros((1, self.size, self.size, 2))
        return self.network.init(key, images, jnp.zeros((1, 2)))["params"]

    def alone(self, params: dict, z: Array, tau: Array) -> Array:
        """Return E[z0 | z], (batch, y, x), for z (batch, y, x) at tau (batch,)."""
        if self.parameterisation == "energy":
            return self.parts(params, z, tau).denoised
        return self.picture(params, z, tau)

    def parts(self, params: dict, z: Array, tau: Array) -> edm.Parts:
        """Return what the loss of an energy of hosts asks for; arguments as of `alone`."""
        return edm.energy_parts(self._alone(params), z, tau, self.host, HOST_ENDS)

    def picture(self, params: dict, z: Array, tau: Array) -> Array:
        """Return N(z), (batch, y, x): E[z0 | z] itself, or what an energy is made of."""
        return edm.denoise(self._alone(params), z, tau, self.host, HOST_ENDS)

    def pair(self, params: dict, z: Array, x: Array, tau: Array, sigma: Array) -> tuple:
        """Return grad_z log p_sigma(x | z) and E[v | z, x] for a batch: one call.

        Parameters
        ----------
        params : dict
        z, x : Array, (batch, y, x)
            z0 + tau e and v + sigma e'.
        tau, sigma : Array, (batch,)

        Returns
        -------
        cross, clean : Array, (batch, y, x)
        """
        spread = self.host.spread
        total = tau**2 + spread**2
        scaled = (z - self.host.mean) * jax.lax.rsqrt(total)[:, None, None]
        raw = []

        def run(dust, noise):
            raw.append(self._run(params, scaled, dust, jnp.log(tau) / 4, noise))
            return raw[0][..., 1]

        clean = edm.denoise(run, x, sigma, self.dust, (self.axis.clear, self.axis.dusty))
        size = jax.lax.rsqrt(sigma**2 + self.dust.spread**2) * self.dust.spread * spread / total
        # networks of two outputs give the cross term in the first
        output = 2 if self.network.outputs == 3 else 0
        return size[:, None, None] * raw[0][..., output], clean

    def describe(self) -> dict:
        """Return what `rebuild` needs, as JSON values."""
        return {
            "architecture": ARCHITECTURE,
            "network": unet.describe(self.network),
            "coordinate": self.coordinate,
            "host": self.host._asdict(),
            "dust": self.dust._asdict(),
            "sigma_high": self.sigma_high,
            "size": self.size,
            "parameterisation": self.parameterisation,
        }

    def _alone(self, params):
        def run(scaled, noise):
            blank = jnp.full_like(noise, jnp.log(self.sigma_high) / 4)
            return self._run(params, scaled, jnp.zeros_like(scaled), noise, blank)[..., 0]

        return run

    def _run(self, params, host, dust, *noise):
        images, levels = jnp.stack([host, dust], axis=-1), jnp.stack(noise, axis=-1)
        return call(self.network, {"params": params}, images, levels)


def rebuild(facts: dict) -> JointDenoiser:
    """Return the denoiser that a weight file's metadata describe.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they describe something else.
    """
    if facts["architecture"] != ARCHITECTURE:
        raise ValueError(f"it is of architecture {facts['architecture']}")
    return JointDenoiser(
        unet.rebuild(facts["network"]),
        edm.Precondition(**facts["host"]),
        edm.Precondition(**facts["dust"]),
        float(facts["sigma_high"]),
        coordinate(facts["coordinate"]).name,
        int(facts.get("size", SIZE)),
        facts.get("parameterisation", "score"),
    )
