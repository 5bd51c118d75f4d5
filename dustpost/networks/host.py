"""The task of a host network: an energy of the host alone.

    E[z0 | z] = z - tau^2 grad E(z)

(`dustpost.networks.edm`, whose energy this is, and `energies`, whose loss), on the hosts of
`dustpost.networks.joint`. What is led back (`moved`) is what hosts do not have: grain, stronger
where there is light, and the shadows of dust or their negatives. A network of denoising alone
takes grain of several noise levels for signal, and chains of faint galaxies fit the noise of
their pixels with it. No host is moved by a smooth field: one with a little more light about it
is a host. The score of an
energy is a gradient field, which that of `joint.JointDenoiser.alone` is not quite: where
directions are soft, even a rotation of a tenth of the noise's precision drives a long
trajectory, and no Metropolis ratio can tell.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.coordinates import STRETCH, clean_from_image
from dustpost.networks import batches, edm, energies, joint_task
from dustpost.networks.joint import JointDenoiser

GRAIN = (0.3, 3.0)  # its width, pixels
SHADOWS = 0.15  # of a batch have dust left in them ...
DEPTHS = 1.5  # ... D to a power of up to this, either sign
LEVELS = (0.07, 0.14, 0.3, 1.0)  # tau where validation looks


def task(
    host: np.ndarray, transmission: np.ndarray, parameterisation: str = "score", **design
) -> "HostTask | joint_task.JointTask":
    """Return what `dustpost train host` trains.

    The energy of the host alone, or the score of host and dust; parameters and errors as
    those of `dustpost.networks.joint_task.task`.
    """
    if parameterisation != "energy":
        return joint_task.task(host, transmission, parameterisation=parameterisation, **design)
    both = joint_task.task(host, transmission, **design)
    return HostTask(both.denoiser._replace(parameterisation="energy"))


class HostTask(NamedTuple):
    """A `dustpost.networks.training.Task`.

    Attributes
    ----------
    denoiser : JointDenoiser
        Its parameterisation is "energy".
    """

    denoiser: JointDenoiser

    @property
    def tau_high(self) -> float:
        """Highest noise level."""
        return joint_task.HIGHEST * self.denoiser.host.spread

    def after(self, facts: dict[str, Any]) -> "HostTask":
        """Return the task that goes on from weights with these metadata: in their moments."""
        host = edm.Precondition(**facts["host"])
        return HostTask(self.denoiser._replace(host=host, sigma_high=float(facts["sigma_high"])))

    def init(self, key: Array) -> dict:
        """Return random parameters."""
        return self.denoiser.init(key)

    def corrupt(self, key: Array, host: Array, transmission: Array) -> tuple[Array, ...]:
        """Return z0 and z, (batch, y, x), tau, and whether the energy's change counts, (batch,)."""
        peak, level, noise, move = jax.random.split(key, 4)
        clean = joint_task.peaked(peak, host)
        tau = batches.working_levels(
            level,
            len(host),
            joint_task.TAU_LOW,
            self.tau_high,
            self.denoiser.host.spread,
            joint_task.WORKING,
        )
        away = moved(move, clean, transmission, tau)
        tied = (tau >= joint_task.WORKING[0]) & ~jnp.any(away, axis=(1, 2))
        z = clean + away + tau[:, None, None] * jax.random.normal(noise, clean.shape)
        return clean, z, tau, tied

    def loss(self, params: dict, part: tuple[Array, ...]) -> Array:
        """Return the mean loss, see `dustpost.networks.energies`."""
        clean, z, tau, tied = part
        parts = self.denoiser.parts(params, z, tau)
        return jnp.mean(energies.loss(parts, clean, z, tau, self.denoiser.host.spread, tied))

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
        }


def moved(key: Array, clean: Array, transmission: Array, tau: Array) -> Array:
    """Draw what some hosts z0 are moved by, (batch, y, x): grain, or dust left in their light.

    The dust is their own or another galaxy's: what a wrong D leaves in S.
    """
    grain, envelope, whose, which, power = jax.random.split(key, 5)
    one = len(clean), 1, 1
    even = jax.random.uniform(envelope, one)
    light = clean / (jnp.mean(jnp.square(clean), axis=(1, 2), keepdims=True) ** 0.5 + 1e-6)
    field = energies.displacement(grain, clean, tau, GRAIN) * (even + (1 - even) * light)
    dust = jnp.log(jnp.clip(transmission, 0.1, 1.0))
    dust = jnp.where(jax.random.uniform(whose, one) < 0.5, dust, jnp.roll(dust, 1, axis=0))
    powers = DEPTHS * jax.random.uniform(power, one, minval=-1.0)
    image = jnp.expm1(STRETCH * clean) * jnp.exp(powers * dust)
    shadow = clean_from_image(image) - clean
    return jnp.where(jax.random.uniform(which, one) < SHADOWS, shadow, field)


@partial(jax.jit, static_argnums=0)
def _errors(denoiser, params, clean, tau):
    def one(inputs):
        key, image = inputs
        z = image + tau * jax.random.normal(key, image.shape)
        return denoiser.alone(params, z[None], tau[None])[0] - image

    return jax.lax.map(one, (jax.random.split(jax.random.key(1), len(clean)), clean))
