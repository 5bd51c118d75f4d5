"""Mean and covariance of a colour field, and what they do to the likelihood.

The templates of a field are products of functions psi of place and a spectrum R of the light,
which is 0 where masked. In every band R's own part is taken out, as that is the flux's F:

    T_k = R (psi_k - sigma_k),   sigma_k = (R w psi_k R) / (R w R),

and the functions are turned so that T^T w T is diagonal, lambda. Of a model m, which is not quite
R, the rest is taken out as well, and C is a covariance of low rank:

    C = 1/w + U U^T,   U_k = T_k - a_k m / P,   a_k = m w T_k,   P = m w m,   all by band.

Then A = 1 + U^T w U is diagonal but for a term of as many columns as bands (Woodbury):

    A = Q - B B^T,   Q = 1 + lambda,   B = a / sqrt(P),   M = 1 - B^T Q^{-1} B,
    t^T A^{-1} t = t^T Q^{-1} t + |M^{-1/2} B^T Q^{-1} t|^2,   ln|A| = ln|Q| + ln|M|,

so that no matrix larger than the bands is inverted. The amounts y of the templates have a mean nu,
as galaxies are redder in the middle: integrating exp(t^T y - y^T U^T w U y / 2) over N(nu, 1) adds

    ln L += (t + nu)^T A^{-1} (t + nu) / 2 - ln|A| / 2 - nu^2 / 2,   t = U^T w r,

and E[y | Y] = A^{-1} (t + nu). How much the colours of a galaxy vary is not known: U has one of a
few factors c, as likely as each other, with t times c, and lambda and B B^T times c^2.

A template u may follow the dust (`dustpost.colour_of_dust`). It depends on the parameters and
cannot be prepared: it borders A by the row c^2 U^T w u and 1 + c^2 u^T w u.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular
from jax.scipy.special import logsumexp
from numpy.typing import ArrayLike

from dustpost.observation import Colour, Observation

_MEAN = np.ones(1)  # the scale whose C is the mean over scales


def with_colour(
    observation: Observation,
    functions: ArrayLike,
    light: ArrayLike,
    scales: Sequence[float] = (1.0,),
    expected: ArrayLike | None = None,
    follows: ArrayLike | None = None,
) -> Observation:
    """The observation behind a colour field.

    Parameters
    ----------
    observation : Observation
        As the telescope saw it; its `ivar` as the likelihood will use it.
    functions : array_like, (k, y, x)
        psi, in units of their sd.
    light : array_like, (band, y, x)
        R, in the unit of the data.
    scales : sequence of float
        Factors c that the field may have; here divided by their rms.
    expected : array_like, (k,), optional
        Mean of the functions' amounts, in units of their sd; 0 by default.
    follows : array_like, (band,), optional
        Of a further template: sd of the share of the model's light along the dust's pattern.
    """
    # numpy's doubles: the eigenvalues span ten decades
    ivar = np.asarray(observation.ivar, float)
    psi, red = np.asarray(functions, float), np.where(ivar > 0, light, 0.0).astype(float)
    weight = red**2 * ivar
    total = weight.sum(axis=(1, 2))
    mean = np.einsum("kyx,byx->kb", psi, weight) / np.maximum(total, 1e-300)
    gram = np.einsum("kyx,yx,lyx->kl", psi, weight.sum(axis=0), psi, optimize=True)
    variance, turn = np.linalg.eigh(gram - (mean * total) @ mean.T)
    factors = np.asarray(scales, float)
    centre = np.zeros(len(psi)) if expected is None else np.asarray(expected, float)
    arrays = (
        np.einsum("kl,kyx->lyx", turn, psi, optimize=True),
        turn.T @ mean,
        red,
        np.maximum(variance, 0.0),
        turn.T @ centre,
        factors / np.sqrt(np.mean(factors**2)),
    )
    dtype = observation.data.dtype
    arrays = [jnp.asarray(array, dtype) for array in arrays]
    follows = None if follows is None else jnp.asarray(follows, dtype)
    return observation._replace(colour=Colour(*arrays, follows))


class Seen(NamedTuple):
    """A colour field behind one model: what all of this module works with.

    Attributes
    ----------
    observation : Observation
    templates : Array, (band, y, x)
        m.
    share : Array, (k, band)
        a / P, so that U = T - share m.
    scales : Array, (scale,)
        c.
    diagonal : Array, (scale, k)
        Q.
    mixed : Array, (scale, k, band)
        Q^{-1} B.
    factor : Array, (scale, band, band)
        Cholesky factor of M.
    dust : Dust or None
        The template that follows the dust, after the k others.
    """

    observation: Observation
    templates: Array
    share: Array
    scales: Array
    diagonal: Array
    mixed: Array
    factor: Array
    dust: "Dust | None" = None

    @property
    def expected(self) -> Array:
        """nu, (k,), or (k + 1,) with the dust's 0."""
        expected = self.observation.colour.expected
        return expected if self.dust is None else jnp.append(expected, 0.0)

    def along(self, change: Array) -> Array:
        """U^T w dm of a change dm of the model cube, (k,) or (k + 1,)."""
        by_band = band_sums(self.templates * self.observation.ivar * change)
        along = _along(self.observation, change) - self.share @ by_band
        if self.dust is None:
            return along
        own = jnp.sum(band_sums(self.dust.template * self.observation.ivar * change))
        return jnp.append(along, own)

    def across(self, amount: Array) -> Array:
        """U c of amounts c, (k,) or (k + 1,): (band, y, x)."""
        colour, first = self.observation.colour, amount[: len(self.share)]
        tilt = jnp.einsum("k,kyx->yx", first, colour.functions)
        level = (first @ colour.mean)[:, None, None]
        of_model = (first @ self.share)[:, None, None] * self.templates
        field = colour.light * (tilt[None] - level) - of_model
        field = jnp.where(self.observation.ivar > 0, field, 0.0)
        return field if self.dust is None else field + amount[-1] * self.dust.template

    def halves(self, along: Array) -> Array:
        """A^{-1/2} t of t, (scale, n): a vector of the length that A^{-1} gives t."""
        first = along[: len(self.share)]
        inner = jnp.einsum("skb,k->sb", self.mixed, first)
        inner = jax.vmap(lambda f, y: solve_triangular(f, y, lower=True))(self.factor, inner)
        halves = jnp.concatenate([first[None] / jnp.sqrt(self.diagonal), inner], axis=1)
        if self.dust is None:
            return halves
        rest = along[-1] - jnp.sum(self.dust.halves * halves, axis=1)
        return jnp.concatenate([halves, (rest / jnp.sqrt(self.dust.left))[:, None]], axis=1)

    def solved(self, along: Array) -> Array:
        """A^{-1} t of t, (scale, k) or (scale, k + 1)."""
        first = jnp.broadcast_to(along[: len(self.share)], self.diagonal.shape)
        if self.dust is not None:
            own = self.halves(along)[:, -1] / jnp.sqrt(self.dust.left)
            first = first - (self.scales**2 * own)[:, None] * self.dust.along[None]
        inner = jnp.einsum("skb,sk->sb", self.mixed, first)
        inner = jax.vmap(lambda f, y: cho_solve((f, True), y))(self.factor, inner)
        solved = first / self.diagonal + jnp.einsum("skb,sb->sk", self.mixed, inner)
        return solved if self.dust is None else jnp.append(solved, own[:, None], axis=1)

    def gain(self, along: Array) -> Array:
        """What the field of each scale adds to ln L, (scale,); `along` is U^T w r."""
        hidden = self.scales[:, None] * self.halves(along) + self.halves(self.expected)
        log_half = 0.5 * jnp.sum(jnp.log(self.diagonal), axis=1) + jnp.sum(
            jnp.log(jnp.diagonal(self.factor, axis1=1, axis2=2)), axis=1
        )
        if self.dust is not None:
            log_half = log_half + 0.5 * jnp.log(self.dust.left)
        return 0.5 * jnp.sum(hidden**2, axis=1) - log_half - 0.5 * jnp.sum(self.expected**2)

    def amounts(self, along: Array) -> Array:
        """E[y | Y] of each scale, (scale, k) or (scale, k + 1)."""
        return self.scales[:, None] * self.solved(along) + self.solved(self.expected)


class Dust(NamedTuple):
    """The template u that follows the dust, beside the others U.

    Attributes
    ----------
    template : Array, (band, y, x)
        u, without its part along the model.
    along : Array, (k,)
        U^T w u.
    halves : Array, (scale, k + band)
        c^2 A^{-1/2} U^T w u.
    left : Array, (scale,)
        1 + c^2 u^T w u less the square of `halves`: what the others leave of it.
    """

    template: Array
    along: Array
    halves: Array
    left: Array


def behind(observation: Observation, templates: Array, scales: ArrayLike) -> Seen:
    """The colour field of an observation behind a model (band, y, x), for some scales."""
    colour, scales = observation.colour, jnp.asarray(scales, templates.dtype)
    weighted = observation.ivar * templates
    precision = band_sums(templates * weighted) + jnp.finfo(templates.dtype).tiny
    red = colour.light * weighted
    along = jnp.einsum("kyx,byx->kb", colour.functions, red) - colour.mean * band_sums(red)[None]
    diagonal = 1 + scales[:, None] ** 2 * colour.variance[None]
    columns = scales[:, None, None] * (along / jnp.sqrt(precision)[None])[None]
    mixed = columns / diagonal[:, :, None]
    inner = jnp.eye(len(precision), dtype=templates.dtype)[None]
    inner = inner - jnp.einsum("skb,skc->sbc", columns, mixed)
    factor = jnp.linalg.cholesky(inner)
    seen = Seen(observation, templates, along / precision[None], scales, diagonal, mixed, factor)
    if colour.pattern is None:
        return seen
    flux = band_sums(weighted * observation.data) / precision
    dusty = (colour.follows * flux)[:, None, None] * templates * colour.pattern[None]
    part = band_sums(dusty * weighted) / precision
    dusty = jnp.where(observation.ivar > 0, dusty - part[:, None, None] * templates, 0.0)
    tied = seen.along(dusty)
    halves = scales[:, None] ** 2 * seen.halves(tied)
    own = jnp.sum(band_sums(dusty**2 * observation.ivar))
    left = 1 + scales**2 * own - jnp.sum(halves**2, axis=1)
    return seen._replace(dust=Dust(dusty, tied, halves, left))


def log_gain(observation: Observation, templates: Array, residual: Array) -> Array:
    """ln L less that of white noise, ln mean_c exp(gain), for a residual (band, y, x)."""
    seen = behind(observation, templates, observation.colour.scales)
    return logsumexp(seen.gain(seen.along(residual))) - math.log(len(seen.scales))


def expected_field(observation: Observation, templates: Array) -> Array:
    """E[c U y | Y], (band, y, x), in the mean over the scales."""
    seen = behind(observation, templates, observation.colour.scales)
    along = seen.along(observation.data)
    share = jax.nn.softmax(seen.gain(along)) * seen.scales
    return seen.across(share @ seen.amounts(along))


def draw_field(key: Array, observation: Observation, templates: Array) -> Array:
    """Draw c U y given the data, (band, y, x), c by its gain and y by its normal.

    A^{-1} (c U^T w (r + e) + nu + n) with e from the noise and n from N(0, 1) has the mean
    A^{-1} (t + nu) and the covariance A^{-1} (Papandreou & Yuille 2010).
    """
    scale_key, noise_key, amount_key = jax.random.split(key, 3)
    seen = behind(observation, templates, observation.colour.scales)
    along = seen.along(observation.data)
    chosen = jax.random.categorical(scale_key, seen.gain(along))
    noise = jax.random.normal(noise_key, templates.shape, templates.dtype)
    safe = jnp.where(observation.ivar > 0, observation.ivar, 1.0)
    noisy = along + seen.along(noise / jnp.sqrt(safe))
    amount = jax.random.normal(amount_key, along.shape, along.dtype) + seen.expected
    drawn = seen.scales[:, None] * seen.solved(noisy) + seen.solved(amount)
    return seen.across(seen.scales[chosen] * drawn[chosen])


def free_colour(observation: Observation, templates: Array) -> Array:
    """U, (k, band, y, x): the colour field's templates without their part along the model."""
    seen = behind(observation, templates, _MEAN)
    return jax.vmap(seen.across)(jnp.eye(len(seen.expected), dtype=templates.dtype))


def weighted(observation: Observation, templates: Array, change: Array) -> Array:
    """C^{-1} dm of a change dm of the model cube, (band, y, x), at the mean of the C."""
    if observation.colour is None:
        return observation.ivar * change
    seen = behind(observation, templates, _MEAN)
    (amount,) = seen.solved(seen.along(change))
    return observation.ivar * (change - seen.across(amount))


def hidden_by_colour(observation: Observation, templates: Array) -> Callable[[Array], Array]:
    """A map h of changes dm of the model cube, with dm^T C^-1 dm = dm^T w dm - |h(dm)|^2.

    C is the mean of those of the scales. h is longer than the colour field's templates by the
    bands; where there is no field it is one 0.
    """
    if observation.colour is None:
        return lambda change: jnp.zeros(1, change.dtype)
    seen = behind(observation, templates, _MEAN)
    return lambda change: seen.halves(seen.along(change))[0]


def _along(observation: Observation, change: Array) -> Array:
    """T^T w dm, (k,)."""
    red = observation.colour.light * observation.ivar * change
    of_functions = jnp.einsum("kyx,yx->k", observation.colour.functions, red.sum(axis=0))
    return of_functions - observation.colour.mean @ band_sums(red)


def band_sums(cube: Array) -> Array:
    """Sum of each band's pixels, (band,)."""
    # rows first: partial sums keep float32's rounding near its own epsilon
    return jnp.sum(jnp.sum(cube, axis=-1), axis=-1)
