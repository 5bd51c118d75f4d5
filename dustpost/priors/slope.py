"""Prior of the attenuation slope: a normal with a wall towards grey curves.

    ln p(delta) = -((delta - 0.1) / 0.35)^2 / 2 - (max(delta - 0.5, 0) / 0.1)^2 / 2 + const.

The normal is from fits of Eq. 5 of Siegel & Melchior (2024) to the radiative-transfer curves of
Witt & Gordon (2000). The wall is from whole galaxies, whose dust is mixed with their stars in
three dimensions: with more than 0.03 mag none of 42 RADMC-3D views has more than 0.56, and of 43
of `dustpost.simulate` (seed 77) one, 1.17 at 0.11 mag, the next 0.53. Greyer curves are where a
fit runs to that takes S for D: what it finds there is deep dust (docs/radiative_transfer.md).
"""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array
from jax.scipy.stats import norm
from numpyro.distributions import constraints

MEAN, SD = 0.1, 0.35
WALL, SOFTNESS = 0.5, 0.1


class WalledNormal(dist.Normal):
    """A normal times exp(-(max(x - wall, 0) / softness)^2 / 2).

    `mean` and `variance` are its own moments, `loc` and `scale` those of the normal.

    Parameters
    ----------
    loc, scale : Array, ()
    wall, softness : Array, ()
        Where the wall begins, and how fast it rises.
    """

    arg_constraints = {
        **dist.Normal.arg_constraints,
        "wall": constraints.real,
        "softness": constraints.positive,
    }
    reparametrized_params = ["loc", "scale", "wall", "softness"]

    def __init__(self, loc, scale, wall=WALL, softness=SOFTNESS, *, validate_args=None):
        self.wall, self.softness = map(jnp.asarray, (wall, softness))
        super().__init__(loc, scale, validate_args=validate_args)

    @classmethod
    def gather_pytree_data_fields(cls) -> tuple[str, ...]:
        """Names of the leaves, sorted.

        NumPyro has them in the order of a set of strings, which is another in every process: no
        program compiled for a target would be found again in JAX's cache on disk.
        """
        return tuple(sorted(super().gather_pytree_data_fields()))

    def log_prob(self, value: Array) -> Array:
        """Log density, normalised."""
        return super().log_prob(value) + self.log_wall(value) - self._log_mass[1]

    def log_wall(self, value: Array) -> Array:
        """Log of the wall's factor, 0 below it."""
        return -0.5 * jnp.square(jnp.maximum(value - self.wall, 0.0) / self.softness)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw from it."""
        which, *keys = jax.random.split(key, 3)
        share, *ends = self._sides()
        drawn = [end.sample(key, sample_shape) for key, end in zip(keys, ends, strict=True)]
        return jnp.where(jax.random.bernoulli(which, share, sample_shape), *drawn)

    @property
    def mean(self) -> Array:
        """Its mean, below `loc`."""
        share, below, beyond = self._sides()
        return share * below.mean + (1.0 - share) * beyond.mean

    @property
    def variance(self) -> Array:
        """Its variance, below `scale`^2."""
        share, below, beyond = self._sides()
        between = share * (1.0 - share) * jnp.square(below.mean - beyond.mean)
        return share * below.variance + (1.0 - share) * beyond.variance + between

    @property
    def _beyond(self) -> tuple[Array, Array]:
        """Mean and sd of the product of both normals, which is what lies beyond the wall."""
        variance = 1.0 / (self.scale**-2 + self.softness**-2)
        return variance * (self.loc / self.scale**2 + self.wall / self.softness**2), variance**0.5

    @property
    def _log_mass(self) -> tuple[Array, Array]:
        """Log of the mass below the wall, and of all of it."""
        loc, scale = self._beyond
        both = jnp.hypot(self.scale, self.softness)
        log_product = jnp.log(scale / self.scale) - 0.5 * jnp.square((self.wall - self.loc) / both)
        below = norm.logcdf((self.wall - self.loc) / self.scale)
        return below, jnp.logaddexp(below, log_product + norm.logcdf((loc - self.wall) / scale))

    def _sides(self) -> tuple[Array, dist.Distribution, dist.Distribution]:
        """The share below the wall, and the distributions on both sides of it."""
        below, whole = self._log_mass
        return (
            jnp.exp(below - whole),
            dist.TruncatedNormal(self.loc, self.scale, high=self.wall),
            dist.TruncatedNormal(*self._beyond, low=self.wall),
        )


def slope_prior() -> WalledNormal:
    """The default prior of the slope, dimensionless."""
    return WalledNormal(MEAN, SD)


def distance(prior: dist.Normal, slope: Array) -> Array:
    """How far out a slope lies, in sds of a normal of the same density relative to its peak."""
    return jnp.sqrt(2.0 * (prior.log_prob(prior.loc) - prior.log_prob(slope)))


def precision(prior: dist.Normal, slope: Array) -> Array:
    """-d^2 ln p / d delta^2 at a slope ()."""
    return -jax.grad(jax.grad(prior.log_prob))(slope)


def described(prior: dist.Normal) -> dict[str, float]:
    """The settings in posterior.nc that name a prior, see `of_settings`."""
    found = {"slope_prior_mean": float(prior.loc), "slope_prior_sd": float(prior.scale)}
    if isinstance(prior, WalledNormal):
        found["slope_prior_wall"] = float(prior.wall)
        found["slope_prior_softness"] = float(prior.softness)
    return found


def of_settings(settings: dict[str, object]) -> dist.Normal | None:
    """The prior that settings name; None where they name none, or a slope that is given."""
    mean, sd, wall = (settings.get(f"slope_prior_{what}") for what in ("mean", "sd", "wall"))
    if mean is None or not sd:
        return None
    if wall is None:
        return dist.Normal(mean, sd)
    return WalledNormal(mean, sd, wall, settings["slope_prior_softness"])


def words(settings: dict[str, object]) -> str:
    """Such settings in words: 0.1 +- 0.35, with a wall at 0.5."""
    get = settings.get
    text = f"{get('slope_prior_mean'):g} +- {get('slope_prior_sd'):g}"
    if get("slope_prior_wall") is None:
        return text
    return f"{text}, with a wall at {get('slope_prior_wall'):g}"
