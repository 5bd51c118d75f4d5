"""Draws of `sbc.py`: a truth from a world's priors, its data, and the numbers that are ranked."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost import coordinates
from dustpost.galaxy import Galaxy, Position
from dustpost.posterior import Target
from dustpost.samplers import gibbs

RELAX, RELAX_STEP, LEAPFROG = 100, 0.25, 8


def pixels(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Twenty pixels on four rings about the centre."""
    ring, spoke = np.divmod(np.arange(20), 5)
    radius, angle = (1.5 + 1.5 * ring) * size / 32, 2 * np.pi * (spoke / 5 + ring / 8)
    centre = size // 2
    return tuple(np.round(centre + radius * trig(angle)).astype(int) for trig in (np.sin, np.cos))


def numbers(target: Target, galaxy: Galaxy, slope: Array, flux: Array) -> Array:
    """Return what is ranked, in the order of `sbc_report.NAMES`."""
    images = galaxy.host, galaxy.transmission
    scalars = jnp.stack(
        [
            slope,
            coordinates.log_screen(*images),
            coordinates.mean_attenuation(*images, target.k_pivot),
            coordinates.covering_fraction(*images, target.k_pivot, target.covering_threshold),
        ]
    )
    dust = coordinates.attenuation(galaxy.transmission, target.k_pivot)
    return jnp.concatenate([flux, scalars, dust[pixels(dust.shape[-1])]])


@partial(jax.jit, static_argnames="sweeps")
def simulate(key: Array, target: Target, sweeps: int = 0) -> tuple:
    """Draw a truth and its data.

    Parameters
    ----------
    key : Array
    target : Target
        Its data are ignored.
    sweeps : int
        Of HMC without data that the latents go through after their reverse diffusion.

    Returns
    -------
    position : Position
    flux : Array, (band,)
    target : Target
        With the data.
    truth : Array, (quantity,)
    stein : Array, (4, direction)
        Along `directions`: scores of host and dust, host and dust themselves.
    """
    host_key, dust_key, slope_key, flux_key, noise_key = jax.random.split(key, 5)
    latent = target.host_prior.sample(host_key, target.sigma_host)
    dust = target.draw_dust(dust_key, target.host_of(latent)[0])
    position = Position(latent, dust, target.slope_prior.sample(slope_key))
    if sweeps:
        position = relax(jax.random.fold_in(key, 1), target, position, sweeps)
    flux = target.flux_prior.distribution().sample(flux_key)
    seen, galaxy = target.observation, target.galaxy(position)
    model = flux[:, None, None] * galaxy.templates
    data = model + jax.random.normal(noise_key, model.shape) / jnp.sqrt(seen.ivar)
    score, along = target.joint_block().score(position), directions(latent.shape[0])
    stein = [
        [jnp.sum(field * u) for u in along] for q in (score, position) for field in (q.host, q.dust)
    ]
    truth = numbers(target, galaxy, position.slope, flux)
    target = target.replace(observation=seen._replace(data=data))
    return position, flux, target, truth, jnp.array(stein)


def relax(key: Array, target: Target, position: Position, sweeps: int) -> Position:
    """Move the latents by their own scores, the data all but weightless."""
    seen = target.observation
    target = target.replace(observation=seen._replace(ivar=1e-12 * seen.ivar))
    tuning = gibbs.tune(target, position, RELAX_STEP, ("joint",))

    def sweep(i, state):
        now = jax.random.fold_in(key, i)
        return gibbs.kernel(now, state, target, tuning, LEAPFROG, False, ("joint",))[0]

    last = jax.lax.fori_loop(0, sweeps, sweep, gibbs.init(key, position, target))
    return last.position._replace(slope=position.slope)


def directions(size: int) -> list[np.ndarray]:
    """Unit vectors: a wide blob, and the middle pixel."""
    axis = np.arange(size) - size // 2
    found = [np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / width**2) for width in (size / 8, 1e-3)]
    return [blob / np.linalg.norm(blob) for blob in found]
