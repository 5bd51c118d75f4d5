"""What every image prior offers: a denoiser, a score, draws, and maybe a density.

A prior lives at a noise level sigma: p_sigma(latent | condition) is its density
convolved with the noise of that level. `denoise` is E[clean | latent], `score` is
grad log p_sigma with respect to the latent; Tweedie's formula ties the two. For an energy
network `denoise` is the map that its energy is made of (`dustpost.networks.edm`), which its
training holds near E[clean | latent]: one pull-back then serves density and likelihood.
"""

from collections.abc import Callable
from typing import Protocol

from jax import Array

from dustpost.networks.diffusion import Level


class Prior(Protocol):
    """An image prior; a pytree, so that jitted code can take it as an argument.

    `log_density` is None for a prior that is known only by its score. It never
    returns a made-up number: a sampler that needs a density must then refuse. Its arguments
    are those of `denoise` and, where it is at hand, what `denoise` gives of them.
    """

    log_density: Callable[..., Array] | None

    def level(self, sigma: Array) -> Level:
        """Scale and noise of the latent at `sigma`: latent = scale * clean + sigma * eps."""

    def denoise(self, latent: Array, sigma: Array, condition: Array | None) -> Array:
        """E[clean latent | latent], (y, x)."""

    def score(self, latent: Array, sigma: Array, condition: Array | None) -> Array:
        """Gradient of log p_sigma(latent | condition) with respect to the latent, (y, x)."""

    def sample(self, key: Array, sigma: Array, condition: Array | None) -> Array:
        """Draw a latent at noise level sigma, (y, x)."""


class TransmissionPrior(Prior, Protocol):
    """A prior of the dust: its clean latent is a coordinate v(D) of the transmission.

    Attributes
    ----------
    coordinate : str
        Name of v, see `dustpost.networks.coordinate`; "transmission" if v = D.
    normalised : bool
        Whether the constant of `log_density` is the same for every condition.
    """

    coordinate: str
    normalised: bool

    def transmission(self, clean: Array) -> Array:
        """D in (0, 1], (y, x), of a clean latent."""

    def latent(self, transmission: Array) -> Array:
        """Clean latent of a transmission, (y, x)."""


class CoupledPrior(Protocol):
    """Prior of the dust given the noisy host z = z0 + tau e, with its gradient by z.

    Attributes
    ----------
    coordinate : str
        Name of v, as in `TransmissionPrior`.
    log_density : callable or None
        (z, x, tau, sigma) -> log p_sigma(x | z); None if only its scores are known.
    """

    coordinate: str
    log_density: Callable[[Array, Array, Array, Array], Array] | None

    def level(self, sigma: Array) -> Level:
        """Scale and noise of the dust's latent at `sigma`."""

    def transmission(self, clean: Array) -> Array:
        """D in (0, 1], (y, x), of a clean latent."""

    def latent(self, transmission: Array) -> Array:
        """Clean latent of a transmission, (y, x)."""

    def conditional(self, z: Array, x: Array, tau: Array, sigma: Array) -> tuple[Array, Array]:
        """Cross term grad_z log p_sigma(x | z), and E[v | z, x], (y, x) each."""

    def sample_dust(self, key: Array, z: Array, tau: Array, sigma: Array) -> Array:
        """Draw x given z, (y, x)."""
