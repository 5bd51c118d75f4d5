"""What a target is a function of, and the galaxy that it finds there."""

from typing import NamedTuple

from jax import Array


class Position(NamedTuple):
    """Latents of one galaxy: host z (y, x), dust x (y, x), slope delta ()."""

    host: Array
    dust: Array
    slope: Array


class Host(NamedTuple):
    """A host's latent z, S that it stands for, (y, x) each, and log p_sigma(z), 0 if unknown."""

    latent: Array
    image: Array
    log_density: Array | float = 0.0


class Dust(NamedTuple):
    """D (y, x), the score of p_sigma(x | host), its cross term: the gradient by z, and its log.

    The last is 0 where it is unknown, and known up to a constant (under cut, one that
    depends on z).
    """

    transmission: Array
    score: Array
    cross: Array
    log_density: Array | float = 0.0


class Galaxy(NamedTuple):
    """What a position stands for, and the flux integral there.

    Attributes
    ----------
    host, transmission : Array, (y, x)
        S and D.
    templates : Array, (band, y, x)
        Model at unit flux.
    estimate, precision : Array, (band,)
        Likelihood of the fluxes: F^ and P.
    log_evidence : Array, ()
        Log of int exp(-sum P (F - F^)^2 / 2) p(F) dF, by Laplace where it must be.
    """

    host: Array
    transmission: Array
    templates: Array
    estimate: Array
    precision: Array
    log_evidence: Array
