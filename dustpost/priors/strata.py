"""Shares of how much dust there is, as the image alone tells it, and chains held to them.

    p_s(z, x, delta) ~ p(z, x, delta | Y) exp(-((g(u) - a_s) / w_s)^2 / 2),   s = 1 ... n,

u = sum S A the light-weighted mean attenuation, g(u) that of `dustpost.networks.amount`. A density
q(g | Y) is cut into n shares of equal mass, as many as chains. During the warm-up each chain is
held to one, and a_s is moved until the chain's mean of g is that of the share (stochastic
approximation: Robbins & Monro 1951, Ann. Math. Stat. 22, 400), so that what else pulls at u is made
up for; w_s is the sd of the share. In the draws chains take turns in the shares
(`dustpost.samplers.turns`): together, and each of them, they have q for g, to n shares, and the
model's own density of all else given g, by strata as umbrella sampling does (Torrie & Valleau
1977, J. Comput. Phys. 23, 187).

It is a cut posterior (Liu, Bayarri & Berger 2009, Bayesian Analysis 4, 119; Plummer 2015, Stat.
Comput. 25, 37). The amount of dust is a module of its own, for what the rest of the model says of
the amount, beyond what it says of where dust lies, is wrong more often than its errors tell.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from dustpost.networks.amount import coordinate, quantiles

FINE = 256  # places in a share by which its mean and sd are known
NARROWEST = 0.05  # of g
GAIN = 0.4  # of a chunk's mean: the centre follows in a dozen sweeps
FARTHEST = 3.0  # of g, from the goal


class Aim(NamedTuple):
    """Where a chain is held, in g; (chain,) each.

    Attributes
    ----------
    goal : Array
        Mean of its share.
    precision : Array
        1 / w^2
    centre : Array
        a.
    """

    goal: Array
    precision: Array
    centre: Array


def log_factor(aim: Aim, amount: Array) -> Array:
    """ln of the factor that holds one chain, at a mean attenuation in mag."""
    return -0.5 * aim.precision * jnp.square(coordinate(amount) - aim.centre)


def share_out(shares: np.ndarray, chains: int) -> Aim:
    """Aims of the chains of one galaxy.

    Parameters
    ----------
    shares : ndarray, (bin,)
        Of the density in the bins of `dustpost.networks.amount`.
    chains : int
    """
    even = (np.arange(chains * FINE) + 0.5) / (chains * FINE)
    drawn = np.asarray(coordinate(np.array(quantiles(shares, even)))).reshape(chains, FINE)
    goal, width = drawn.mean(axis=1), np.maximum(drawn.std(axis=1), NARROWEST)
    return Aim(*np.asarray([goal, width**-2, goal], np.float32))


def steered(aim: Aim, amount: np.ndarray) -> Aim:
    """Aims whose centres make up for how far chains were off their goals.

    Parameters
    ----------
    aim : Aim
    amount : ndarray, (chain, sweep)
        Mean attenuations of the sweeps just done, mag.
    """
    off = aim.goal - jnp.mean(coordinate(jnp.asarray(amount)), axis=1)
    pull = jnp.clip(aim.centre + GAIN * off - aim.goal, -FARTHEST, FARTHEST)
    return aim._replace(centre=aim.goal + pull)


def settled(course: Sequence[Aim]) -> Aim:
    """The aim to stay with, of those of a stage of the warm-up: the mean of its later half."""
    centres = [aim.centre for aim in course[len(course) // 2 :]]
    return course[-1]._replace(centre=jnp.mean(jnp.stack(centres), axis=0))
