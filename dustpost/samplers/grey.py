"""The grey move: the slope changes, and dust and host with it so that the data hardly notice.

A flatter curve asks for deeper dust to redden as much, and that dust for a brighter host. Along

    ln D(delta) = s(delta) ln D*,                 s = sd_i k_i(delta*) / sd_i k_i(delta),
    ln S(delta) = ln S* + [m(delta*) - m(delta) s(delta)] ln D*,    m = mean_i k_i,

the colours that the dust gives to a galaxy (S*, D*, delta*) stay, and so does its light averaged
over the bands. With x(delta) and z(delta) the clean latents of that curve,

    (z, x, delta) -> (z + z(delta') - z(delta), x + x(delta') - x(delta), delta')

moves any galaxy beside it. S*, D* and delta* are fixed beforehand, so this is a shear: no
Jacobian, and the target along it is a density of delta alone, with F collapsed and the prior of
delta normal; elliptical slice sampling draws from it. That asks for the density of both latents.

Moves by transformations: Liu & Sabatti (2000), Biometrika 87, 353.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from dustpost import coordinates
from dustpost.attenuation import band_attenuation
from dustpost.galaxy import Galaxy, Position
from dustpost.posterior import Target
from dustpost.samplers import slope


class Curve(NamedTuple):
    """The galaxy that the curve goes through.

    Attributes
    ----------
    host : Array, (y, x)
        As an image whose peak is about 1.
    log_transmission : Array, (y, x)
        ln D*.
    slope : Array, ()
        delta*.
    """

    host: Array
    log_transmission: Array
    slope: Array


class State(NamedTuple):
    """Position and the galaxy there."""

    position: Position
    galaxy: Galaxy


def curve(target: Target, positions: Position, transmissions: Array) -> Curve:
    """The curve through the mean of some places, (chain, ...) each."""

    def image(latent):
        clean = target.host_prior.denoise(latent, target.sigma_host, None)
        return coordinates.image_from_clean(clean)

    return Curve(
        jnp.mean(jax.lax.map(image, positions.host), axis=0),
        jnp.mean(jnp.log(transmissions), axis=0),
        jnp.mean(positions.slope),
    )


def place(target: Target, through: Curve, slope: Array) -> tuple[Array, Array]:
    """z and x of the curve, without noise, at a slope."""
    observation = target.observation

    def k(at):
        given = observation.wavelength, observation.weight, at, target.curve, target.norm
        return band_attenuation(*given)

    here, there = k(through.slope), k(slope)
    deeper = jnp.std(here) / jnp.std(there)
    brighter = jnp.mean(here) - jnp.mean(there) * deeper
    host = through.host * jnp.exp(brighter * through.log_transmission)
    host = host * (jnp.sum(through.host) / jnp.sum(host))
    scale = target.host_prior.level(target.sigma_host).scale
    transmission = jnp.exp(deeper * through.log_transmission)
    return scale * coordinates.clean_from_image(host), target.dust_prior.latent(transmission)


def init(position: Position, galaxy: Galaxy) -> State:
    """State at a position."""
    return State(position, galaxy)


def kernel(key: Array, state: State, target: Target, through: Curve) -> tuple[State, slope.Info]:
    """One draw that leaves the target along the curve invariant, F integrated out."""
    begin = state.position
    first = place(target, through, begin.slope)

    def moved(at):
        host, dust = place(target, through, at)
        return Position(begin.host + host - first[0], begin.dust + dust - first[1], at)

    def log_density(at):
        # the prior of delta is the ellipse's
        return -target.energy(moved(at)) - target.slope_prior.log_prob(at)

    end, info = slope.draw(key, begin.slope, log_density, target.slope_prior)
    position = moved(end)
    return State(position, target.galaxy(position)), info
