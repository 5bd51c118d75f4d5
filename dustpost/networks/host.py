"""The task of a host network: an energy of the host alone.

    E[z0 | z] = z - tau^2 grad E(z)

(`dustpost.networks.edm`, whose energy this is, and `energies`, whose loss), on the hosts of
`dustpost.networks.joint`. No host is moved off the data: one with a little more light about it
is a host, and a thousand steps of learning to lead them back led nowhere; nor did as many with
grain or the shadows of dust in their light, of which the network leaves most: at tau = 0.14 0.65
to 0.8 of white grain of one and four noise levels, and all of S D in the place of S. What does
teach it are its own chains (`dustpost.networks.contrast`). The score of
an energy is a gradient field, which that of `joint.JointDenoiser.alone` is not quite: where
directions are soft, even a rotation of a tenth of the noise's precision drives a long
trajectory, and no Metropolis ratio can tell.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.coordinates import clean_from_image
from dustpost.networks import batches, edm, energies, joint_task
from dustpost.networks.joint import JointDenoiser

LEVELS = (0.07, 0.14, 0.3, 1.0)  # tau where validation looks
LEVEL = 0.142  # tau of its own chains: of the samplers' hosts, whose t is 0.02


def task(
    host: np.ndarray,
    transmission: np.ndarray,
    parameterisation: str = "score",
    weight: float = 0.0,
    **design,
) -> "HostTask | joint_task.JointTask":
    """Return what `dustpost train host` trains.

    The energy of the host alone, with a weight of the contrast with its own chains, or the
    score of host and dust; parameters and errors as those of `dustpost.networks.joint_task.task`.
    """
    if parameterisation != "energy":
        return joint_task.task(host, transmission, parameterisation=parameterisation, **design)
    both = joint_task.task(host, transmission, **design)
    return HostTask(both.denoiser._replace(parameterisation="energy"), weight)


class HostTask(NamedTuple):
    """A `dustpost.networks.training.Task`.

    Attributes
    ----------
    denoiser : JointDenoiser
        Its parameterisation is "energy".
    weight : float
        Of the contrast with its own chains; 0: by denoising alone.
    """

    denoiser: JointDenoiser
    weight: float = 0.0

    @property
    def tau_high(self) -> float:
        """Highest noise level."""
        return joint_task.HIGHEST * self.denoiser.host.spread

    def after(self, facts: dict[str, Any]) -> "HostTask":
        """Return the task that goes on from weights with these metadata: in their moments."""
        host = edm.Precondition(**facts["host"])
        denoiser = self.denoiser._replace(host=host, sigma_high=float(facts["sigma_high"]))
        return self._replace(denoiser=denoiser)

    def init(self, key: Array) -> dict:
        """Return random parameters."""
        return self.denoiser.init(key)

    def corrupt(self, key: Array, host: Array, transmission: Array) -> tuple[Array, ...]:
        """Return z0 and z, (batch, y, x), and tau, (batch,)."""
        peak, level, noise = jax.random.split(key, 3)
        clean = joint_task.peaked(peak, host)
        tau = batches.working_levels(
            level,
            len(host),
            joint_task.TAU_LOW,
            self.tau_high,
            self.denoiser.host.spread,
            joint_task.WORKING,
        )
        return clean, clean + tau[:, None, None] * jax.random.normal(noise, clean.shape), tau

    def loss(self, params: dict, part: tuple[Array, ...]) -> Array:
        """Return the mean loss, see `dustpost.networks.energies`."""
        clean, z, tau = part
        parts = self.denoiser.parts(params, z, tau)
        tied = tau >= joint_task.WORKING[0]
        return jnp.mean(energies.loss(parts, clean, z, tau, self.denoiser.host.spread, tied))

    def clean(self, key: Array, host: Array, transmission: Array) -> tuple[Array, tuple]:
        """Return z0 of hosts, see `contrast.Learner`."""
        return joint_task.peaked(key, jnp.asarray(host, jnp.float32)), ()

    def astray(self, key: Array, clean: Array, given: tuple) -> Array:
        """Return the hosts: their chains all begin there."""
        return clean

    def levels(self, key: Array, count: int) -> Array:
        """Return the noise level of the chains, `LEVEL`, (count,)."""
        return jnp.full(count, LEVEL)

    def validate(
        self, params: dict, host: np.ndarray, transmission: np.ndarray
    ) -> dict[str, float]:
        """Measure the rms error of z0 at each of `LEVELS` (keys: tau)."""
        clean = clean_from_image(jnp.asarray(host, jnp.float32))
        found = {tau: _errors(self.denoiser, params, clean, jnp.float32(tau)) for tau in LEVELS}
        return {str(tau): float(np.sqrt(np.mean(np.square(e)))) for tau, e in found.items()}

    def describe(self) -> dict[str, Any]:
        """Return what rebuilds the denoiser, and the noise it was trained for."""
        return self.denoiser.describe() | {
            "tau": [joint_task.TAU_LOW, self.tau_high],
            "sigma": [self.denoiser.axis.sigma_low, self.denoiser.sigma_high],
            "peaks": joint_task.PEAKS,
            "contrast": self.weight,
        }


@partial(jax.jit, static_argnums=0)
def _errors(denoiser, params, clean, tau):
    def one(inputs):
        key, image = inputs
        z = image + tau * jax.random.normal(key, image.shape)
        return denoiser.alone(params, z[None], tau[None])[0] - image

    return jax.lax.map(one, (jax.random.split(jax.random.key(1), len(clean)), clean))
