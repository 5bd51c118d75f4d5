"""From settings to a target, and to the record of all that was assumed."""

import json
import platform
from functools import lru_cache
from importlib.metadata import version

import jax.numpy as jnp
import numpy as np

from dustpost.amount import image_alone, used
from dustpost.attenuation import band_attenuation
from dustpost.colour import add_colour_field
from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.io.read import to_observation
from dustpost.likelihood import inflate_noise
from dustpost.model_error import add_model_error
from dustpost.networks import checkpoint, joint
from dustpost.networks.diffusion import sigma_of
from dustpost.posterior import Target
from dustpost.priors.dust import load_dust_prior
from dustpost.priors.host import find_hsc64, load_host_prior
from dustpost.priors.joint import load_joint_prior
from dustpost.priors.prior import CoupledPrior, Prior, TransmissionPrior
from dustpost.priors.sim import load_sim_prior
from dustpost.priors.slope import described, slope_prior
from dustpost.priors.spectrum import FlatFlux, stellar_flux
from dustpost.settings import SIGMA_DUST, SIGMA_ENERGY, Settings

NEAR, FAR = 4, 24  # steps of a trajectory, of scores and of energies
# what a setting of 0 stands for: results depend on it
USUAL = (SIGMA_DUST, SIGMA_ENERGY, NEAR, FAR)
PACKAGES = ("dustpost", "jax", "flax", "numpyro", "blackjax", "arviz", "numpy")


def build_target(cutout: Cutout, settings: Settings) -> Target:
    """Priors and likelihood of one cutout."""
    observation = to_observation(cutout, settings.filter_average)
    observation = inflate_noise(observation, settings.noise_inflation)
    if settings.model_error:
        observation = add_model_error(observation, settings.model_error)
    observation = add_colour_field(observation, settings.colour_field, settings.colour_along_dust)
    if settings.flux_prior == "flat":
        flux_prior = FlatFlux()
    else:
        total = np.sum(np.where(cutout.ivar > 0, cutout.data, 0.0), axis=(1, 2))
        flux_prior = stellar_flux(cutout.wavelength / (1 + cutout.redshift), total)
    dust_prior = choose_dust_prior(settings)
    host_prior = choose_host_prior(settings)
    check_shapes(cutout, host_prior, dust_prior)
    target = Target(
        observation=observation,
        host_prior=host_prior,
        dust_prior=dust_prior,
        flux_prior=flux_prior,
        slope_prior=slope_prior(),
        sigma_host=sigma_of(jnp.asarray(settings.t_host)),
        sigma_dust=jnp.asarray(settings.sigma_dust or usual_noise(dust_prior)),
        curve=settings.curve,
        norm=settings.norm,
        kind=settings.target,
        cross_term=settings.cross_term,
        covering_threshold=settings.covering_threshold,
        grain=settings.grain if host_prior.log_density is not None else 0.0,
        fine_prior=choose_fine_prior(settings),
        flattening=settings.flattening,
    )
    check_densities(target)
    return target


def usual_noise(prior: TransmissionPrior | CoupledPrior) -> float:
    """Noise level of the dust where none is asked for."""
    energy = prior.log_density is not None and prior.coordinate == "transmission"
    return SIGMA_ENERGY if energy else SIGMA_DUST[prior.coordinate]


def check_shapes(cutout: Cutout, *priors: Prior) -> None:
    """Refuse a prior that does not take images of the cutout's shape."""
    shape = cutout.data.shape[1:]
    for prior in priors:
        size = getattr(prior, "size", shape[0])
        if (size, size) != shape:
            raise DustpostError(
                f"{cutout.source}: {shape[0]}x{shape[1]} pixels, but the weights of the prior "
                f"{prior.name} (sha256 {prior.sha256[:12]}) are for {size}x{size}; give others "
                "by --host-weights or --dust-weights"
            )


def check_densities(target: Target) -> None:
    """Refuse a cross term that is the gradient of a density where the host has none."""
    by_density = target.cross_term == "full" and not target.coupled
    if by_density and target.host_prior.log_density is None:
        raise DustpostError(
            f"host prior {target.host_prior.name}: known only by its score; cross_term = 'full' "
            "asks for one with a density, --host-prior sim, or for the network of hosts and dust "
            "by --dust-weights"
        )


def choose_host_prior(settings: Settings) -> Prior:
    """Load HSC-64 or `sim`; "auto" goes by the weight file's suffix, else takes what is there.

    Where the dust is an energy it takes `sim`, which is one too.
    """
    weights, energy = settings.host_weights or None, _asks_for_energies(settings)
    if settings.host_prior != "auto":
        own = settings.host_prior == "sim"
    elif weights is None:
        own = energy or find_hsc64() is None
    else:
        own = weights.endswith(".safetensors")
    return load_sim_prior(weights, energy) if own else load_host_prior(weights)


def choose_dust_prior(settings: Settings) -> TransmissionPrior | CoupledPrior:
    """Load the dust given the host: a score, an energy, or a network of hosts and dust.

    Raises
    ------
    DustpostError
        If the full cross term is asked of weights that do not know it.
    """
    weights, energy = settings.dust_weights or None, _asks_for_energies(settings)
    full = settings.cross_term == "full"
    if full and not energy:
        return load_joint_prior(weights)
    prior = load_dust_prior(weights, energy)
    if full and not prior.normalised:
        raise DustpostError(
            f"{weights}: cross_term = 'full' asks for an energy that was trained with its noise "
            "levels tied, or for a network of hosts and dust; this is neither"
        )
    # the factor's norm depends on the host: with it p(x | S) would be no density of x alone
    return prior.replace(amount=()) if full else prior


def choose_fine_prior(settings: Settings) -> TransmissionPrior | None:
    """Load the score network that draws the fine structure of the shipped energy's dust.

    None where it is not asked for, or where it is not known to be of the same world as the dust's.
    """
    same = _asks_for_energies(settings) and not settings.dust_weights
    denoised = settings.target == "denoised" and settings.sampler == "gibbs"
    return load_dust_prior() if settings.fine_structure and same and denoised else None


@lru_cache(maxsize=8)
def weights_of(settings: Settings) -> tuple[str, ...]:
    """sha256 of the networks that settings choose: host's, dust's, fine structure's if any."""
    chosen = choose_host_prior, choose_dust_prior, choose_fine_prior
    priors = [choose(settings) for choose in chosen]
    return tuple(prior.sha256 for prior in priors if prior is not None)


def _asks_for_energies(settings: Settings) -> bool:
    """Whether the priors are to have densities."""
    if settings.cross_term == "full" and settings.dust_weights:
        facts = checkpoint.metadata(settings.dust_weights)
        return json.loads(facts.get("architecture", "null")) != joint.ARCHITECTURE
    return settings.cross_term != "cut"


def leapfrogs(settings: Settings, target: Target) -> int:
    """Steps of a trajectory: `settings.leapfrog`, or what suits the priors.

    A trajectory of scores drifts where they rotate, one of energies is exact however long.
    """
    exact = target.joint and target.joint_block().log_prior is not None
    return settings.leapfrog or (FAR if exact else NEAR)


def describe(target: Target, cutout: Cutout, settings: Settings, slope: float) -> dict:
    """All that was assumed, under the names of `dustpost.draws.SETTINGS`."""
    observation = target.observation
    k = band_attenuation(
        observation.wavelength, observation.weight, slope, target.curve, target.norm
    )
    same = ("sampler", "target", "curve", "norm", "flux_prior", "t_host")
    same += ("noise_inflation", "model_error", "colour_field", "colour_along_dust", "flattening")
    same += ("covering_threshold",)
    same += ("chains", "warmup", "draws", "relax", "directions", "keep", "prior_draws", "seed")
    versions = [f"python {platform.python_version()}"]
    return {name: getattr(settings, name) for name in same} | {
        "cross_term": target.cross_term,
        "leapfrog": leapfrogs(settings, target),
        "k": np.asarray(k).tolist(),
        "k_reference": float(target.k_pivot),
        "sigma_dust": float(target.sigma_dust),
        "sigma_host": float(target.sigma_host),
        "grain": target.grain,
        "fine_structure": "" if target.fine_prior is None else target.fine_prior.sha256,
        "dust_coordinate": target.dust_prior.coordinate,
        "amount": used(cutout, settings),
        **image_alone(cutout),
        "filter_average": str(settings.filter_average),
        "host_prior": target.host_prior.name,
        "host_checkpoint_sha256": target.host_prior.sha256,
        "dust_prior": target.dust_prior.name,
        "dust_checkpoint_sha256": target.dust_prior.sha256,
        **described(target.slope_prior),
        "redshift": cutout.redshift,
        "ebv": cutout.ebv,
        "versions": versions + [f"{name} {version(name)}" for name in PACKAGES],
    }
