"""The posterior as a NumPyro model, for those who condition, extend or resample it.

    z ~ p_sigma(z),   x ~ p_sigma(x | z),   slope ~ p(delta),   F ~ p(F),
    Y_i ~ Normal(F_i m_i(S(z), D(x), delta), ivar_i^-1/2)     where ivar > 0,

with m the templates of `dustpost.forward` and S, D as the target's kind has them; with a colour
field Y has the covariance of `dustpost.likelihood` in place of 1/ivar; where the target weighs
the host's grain (`dustpost.priors.grain`), so does the factor `grain`. NumPyro differentiates
the whole joint density, so what its kernels sample has the cross term in it ("full"), whatever
the target's `cross_term` says; with `host` given or an anchor the two agree.

    kernel = NUTS(model, init_strategy=init_to_sample)
    MCMC(kernel, num_warmup=500, num_samples=500).run(key, target)

Kernels with an accept step need densities. A prior known only by its score has none, and
asking for it is an error: a density of 0 whose gradient is the score would be accepted by
NUTS and drop the prior in silence. Draws need no density: `Predictive` with
`numpyro.handlers.uncondition` works for every prior.
"""

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array

from dustpost import coordinates
from dustpost.colour_covariance import free_colour
from dustpost.colour_of_dust import follow_dust
from dustpost.errors import DustpostError
from dustpost.networks.diffusion import Level
from dustpost.observation import Observation
from dustpost.posterior import Target
from dustpost.priors import grain
from dustpost.priors.prior import CoupledPrior, Prior


class PriorDistribution(dist.Distribution):
    """An image prior at a noise level, as a NumPyro distribution of (y, x).

    Attributes
    ----------
    prior : Prior
    sigma : Array, ()
        Noise level of the latent.
    condition : Array, (y, x), or None
        What the prior is conditional on.
    shape : tuple of int
        (y, x); kept as the event shape.
    fixed : bool
        Whether the condition is a constant of the model. Only then may a density be used
        whose constant depends on it.
    """

    arg_constraints: dict = {}
    support = dist.constraints.independent(dist.constraints.real, 2)
    pytree_data_fields = ("prior", "sigma", "condition")
    pytree_aux_fields = ("fixed",)

    def __init__(
        self,
        prior: Prior,
        sigma: Array,
        condition: Array | None,
        shape: tuple[int, int],
        fixed: bool = False,
    ):
        self.prior, self.sigma, self.condition, self.fixed = prior, sigma, condition, fixed
        super().__init__(batch_shape=(), event_shape=shape)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw latents, sample_shape + (y, x), one after the other."""

        def draw(key):
            return self.prior.sample(key, self.sigma, self.condition)

        if sample_shape == ():
            return draw(key)
        draws = jax.lax.map(draw, jax.random.split(key, math.prod(sample_shape)))
        return draws.reshape(sample_shape + self.event_shape)

    def log_prob(self, value: Array) -> Array:
        """Log p_sigma(value | condition), of value's shape without its last two axes.

        Raises
        ------
        DustpostError
            If the prior has only a score, or a density whose constant depends on a
            condition that is not fixed.
        """
        name = getattr(self.prior, "name", type(self.prior).__name__)
        if self.prior.log_density is None:
            raise DustpostError(
                f"prior {name}: it is known only by its score and has no density, and a made-up "
                "one would silently drop the prior from the accept step; use `dustpost sample`, "
                "or a prior whose network is an energy."
            )
        if self.condition is not None and not self.fixed and not self.prior.normalised:
            raise DustpostError(
                f"prior {name}: its density has a factor that depends on the host and that nobody "
                "knows, so the host cannot be sampled with it; fix the host, "
                "model(target, host=latent), or use `dustpost sample`."
            )

        def one(value):
            return self.prior.log_density(value, self.sigma, self.condition)

        return jnp.vectorize(one, signature="(y,x)->()")(value)


@flax.struct.dataclass
class GivenNoisyHost:
    """A coupled prior as a prior of the dust alone, conditional on the host's latent z.

    Attributes
    ----------
    prior : CoupledPrior
    level : Level
        Of the host: z = scale * z0 + sigma * e.
    """

    prior: CoupledPrior
    level: Level
    normalised: bool = flax.struct.field(pytree_node=False, default=True)

    @property
    def name(self) -> str:
        """Of the coupled prior."""
        return getattr(self.prior, "name", type(self.prior).__name__)

    @property
    def log_density(self) -> Any:
        """log p_sigma(x | z), a function of (x, sigma, z), or None."""
        if self.prior.log_density is None:
            return None
        scale, noise = self.level
        return lambda latent, sigma, host: self.prior.log_density(
            host / scale, latent, noise / scale, sigma
        )

    def sample(self, key: Array, sigma: Array, condition: Array) -> Array:
        """Draw x given z, (y, x)."""
        scale, noise = self.level
        return self.prior.sample_dust(key, condition / scale, noise / scale, sigma)


def model(target: Target, host: Array | None = None) -> None:
    """NumPyro model of one galaxy.

    Sites: `z` and `x` (y, x), `slope` (), `F` (band,), observed `Y` (band, y, x);
    deterministic `S`, `D` (y, x) and `mean_attenuation` (mag). Pixels with ivar = 0 do not
    count; a predictive draw of them has unit noise.

    Parameters
    ----------
    target : Target
    host : Array, (y, x), optional
        A latent z to hold fixed; `z` is then deterministic and its prior is not asked.

    Raises
    ------
    DustpostError
        Where a density is asked for that a prior does not have, see `PriorDistribution`.
    """
    seen = target.observation
    shape = seen.data.shape[-2:]
    if host is None:
        of_host = PriorDistribution(target.host_prior, target.sigma_host, None, shape)
        z = numpyro.sample("z", of_host)
    else:
        z = numpyro.deterministic("z", jnp.asarray(host))
    light, _ = target.host_of(z)
    prior, condition = target.dust_prior, target.condition(light.image)
    if target.coupled:
        prior = GivenNoisyHost(prior, target.host_prior.level(target.sigma_host))
        condition = z
    fixed = host is not None or target.anchor is not None
    of_dust = PriorDistribution(prior, target.sigma_dust, condition, shape, fixed)
    x = numpyro.sample("x", of_dust)
    slope = numpyro.sample("slope", target.slope_prior)
    flux = numpyro.sample("F", target.flux_prior.distribution(seen.data.shape[0]))

    image = numpyro.deterministic("S", light.image)
    if target.grain:
        numpyro.factor("grain", target.grain * grain.log_factor(image))
    transmission = numpyro.deterministic("D", target.dust_of(x, light).transmission)
    attenuation = coordinates.mean_attenuation(image, transmission, target.k_pivot)
    numpyro.deterministic("mean_attenuation", attenuation)
    unit = target.templates(image, transmission, slope)
    seen = follow_dust(seen, image, transmission)
    counts = seen.ivar > 0
    noise = jnp.where(counts, seen.ivar, 1.0) ** -0.5
    mean = flux[:, None, None] * unit
    if seen.colour is None:
        of_data = dist.Normal(mean, noise).mask(counts).to_event(3)
    else:
        of_data = _with_colour(seen, unit, jnp.where(counts, mean, seen.data), noise)
    numpyro.sample("Y", of_data, obs=seen.data)


def _with_colour(seen: Observation, unit: Array, mean: Array, noise: Array) -> dist.Distribution:
    """The data with mean and covariance of a colour field; unmasked by a mean that is the data."""
    free, scales = free_colour(seen, unit), seen.colour.scales
    columns = free.reshape(len(free), -1).T
    factor = scales[:, None, None] * columns[None]
    count = len(seen.colour.expected)  # one that follows the dust has no mean
    centre = mean.ravel()[None] + factor[:, :, :count] @ seen.colour.expected
    flat = dist.LowRankMultivariateNormal(centre, factor, noise.ravel()[None] ** 2)
    mixed = dist.MixtureSameFamily(dist.Categorical(jnp.full(len(scales), 1 / len(scales))), flat)
    shaped = dist.transforms.ReshapeTransform(mean.shape, (mean.size,))
    return dist.TransformedDistribution(mixed, shaped)
