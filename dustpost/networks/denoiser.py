"""A U-Net as the denoiser of dust maps given their host, in a coordinate v(D).

    score    the network is the denoiser, D0(x) = E[v | x, S]: no density
    energy   the network gives E(x; S), and D0 = x - sigma^2 grad E

See `dustpost.networks.edm` for the formulae and `coordinate` for v. Training and prior
both use this one class, so what is trained is what is sampled.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from dustpost.networks import edm, unet
from dustpost.networks.call import call
from dustpost.networks.coordinate import Coordinate, coordinate
from dustpost.networks.unet import UNet

PARAMETERISATIONS = ("score", "energy")
ARCHITECTURE = "unet-2"
FIRST = "unet-1"  # of the first weights: transmission, score


class Denoiser(NamedTuple):
    """A network without its weights; hashable.

    Attributes
    ----------
    network : UNet
        Of two channels, the map and its host, and one output.
    moments : Precondition
        Of v over the training set.
    coordinate : str
        Name of v, see `dustpost.networks.coordinate`.
    parameterisation : str
        "score" or "energy".
    """

    network: UNet
    moments: edm.Precondition
    coordinate: str = "transmission"
    parameterisation: str = "score"

    @property
    def axis(self) -> Coordinate:
        """The coordinate itself."""
        return coordinate(self.coordinate)

    @property
    def clear(self) -> float:
        """v(1), no dust, about which an energy is written."""
        return self.axis.clear

    def init(self, key: Array) -> dict:
        """Return random parameters."""
        images = jnp.zeros((1, 64, 64, 2))
        return self.network.init(key, images, jnp.zeros((1, 1)))["params"]

    def denoise(self, params: dict, x: Array, sigma: Array, light: Array) -> Array:
        """Return E[v | x, S] for a batch.

        Parameters
        ----------
        params : dict
        x : Array, (batch, y, x)
            v + sigma e.
        sigma : Array, (batch,)
        light : Array, (batch, y, x)
            The host, as `dustpost.networks.unet.condition` returns it.

        Returns
        -------
        Array, (batch, y, x)
        """
        if self.parameterisation == "energy":
            return self.parts(params, x, sigma, light).denoised
        return self.picture(params, x, sigma, light)

    def parts(self, params: dict, x: Array, sigma: Array, light: Array) -> edm.Parts:
        """Return what an energy's loss asks for, of a batch; arguments as of `denoise`."""
        return edm.energy_parts(self._bind(params, light), x, sigma, self.moments, self._ends)

    def picture(self, params: dict, x: Array, sigma: Array, light: Array) -> Array:
        """Return N(x), (batch, y, x): E[v | x, S] itself, or what an energy is made of."""
        return edm.denoise(self._bind(params, light), x, sigma, self.moments, self._ends)

    def describe(self) -> dict:
        """Return what `rebuild` needs, as JSON values."""
        return {
            "architecture": ARCHITECTURE,
            "network": unet.describe(self.network),
            "coordinate": self.coordinate,
            "parameterisation": self.parameterisation,
            "precondition": self.moments._asdict(),
        }

    @property
    def _ends(self):
        return self.clear, self.axis.dusty

    def _bind(self, params, light):
        def run(scaled, noise):
            images = jnp.stack([scaled, light], axis=-1)
            return call(self.network, {"params": params}, images, noise[:, None])[..., 0]

        return run


def rebuild(facts: dict) -> Denoiser:
    """Return the denoiser that a weight file's metadata describe.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they describe something else.
    """
    if facts["architecture"] not in (ARCHITECTURE, FIRST):
        raise ValueError(f"it is of architecture {facts['architecture']}")
    denoiser = Denoiser(unet.rebuild(facts["network"]), edm.Precondition(**facts["precondition"]))
    if facts["architecture"] == FIRST:
        return denoiser
    if facts["parameterisation"] not in PARAMETERISATIONS:
        raise ValueError(f"parameterisation {facts['parameterisation']}")
    return denoiser._replace(
        coordinate=coordinate(facts["coordinate"]).name,
        parameterisation=facts["parameterisation"],
    )
