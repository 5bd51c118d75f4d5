"""What is kept of a chain after each sweep: the numbers of `Scalars`, the map D, the model cube."""

from typing import Any, NamedTuple

import jax
from jax import Array

from dustpost import coordinates
from dustpost.field_light import whole_flux
from dustpost.likelihood import expected_cube, log_likelihood
from dustpost.posterior import Target

FINE, FIELD = 2**31 - 1, 2**31 - 2  # of a sweep's key: far from those that its moves split off


class Scalars(NamedTuple):
    """Numbers of one sweep; (chain, sweep, ...) once gathered.

    `flux` is that of all stars without their dust, `template_flux` the part of the host's one
    spectrum, on which the prior is (`dustpost.field_light`).
    """

    flux: Array
    template_flux: Array
    slope: Array
    mean_attenuation: Array
    covering_fraction: Array
    log_screen: Array
    log_likelihood: Array
    energy: Array


def fine_map(key: Array, state: Any, target: Target) -> Array:
    """Map D, (y, x), that a state's latent stands for: a draw with its fine structure."""
    key = jax.random.fold_in(key, FINE)
    return target.fine(key, state.position.dust, state.galaxy.host, state.galaxy.transmission)


def scalars_of(key: Array, state: Any, transmission: Array, target: Target) -> Scalars:
    """Numbers of a state whose map D, (y, x), is given."""
    host, flux = state.galaxy.host, state.flux.value
    return Scalars(
        flux=whole_flux(jax.random.fold_in(key, FIELD), target, state.galaxy, flux),
        template_flux=flux,
        slope=state.position.slope,
        mean_attenuation=coordinates.mean_attenuation(host, transmission, target.k_pivot),
        covering_fraction=coordinates.covering_fraction(
            host, transmission, target.k_pivot, target.covering_threshold
        ),
        log_screen=coordinates.log_screen(host, transmission),
        log_likelihood=log_likelihood(target.behind(state.galaxy), state.galaxy.templates, flux),
        energy=target.energy(state.position),
    )


def model_cube(state: Any, target: Target) -> Array:
    """Expected data, (band, y, x), at a state."""
    return expected_cube(target.behind(state.galaxy), state.galaxy.templates, state.flux.value)
