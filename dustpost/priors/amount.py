"""A factor that keeps the amount of dust at what galaxies have.

    ln g(x | S) = sum_j lambda_j phi_j(u),   u = sum S A(D) / sum S,   D = D(N(x))
    phi_1 = ln(1 + u / FAINT),   phi_2 = u / (u + DEEP)

A network that learnt to denoise at one level knows what dust looks like better than how much of it
there is: that is one number of thousands of pixels. Chains on its energy alone that begin at
galaxies' own dust lose half of it, where there is much, within 40 sweeps
(`benchmarks/energy_holds.py`), while draws down all noise levels have as much as galaxies.

The remedy is that of `dustpost.priors.grain` (Zhu, Wu & Mumford 1997, Neural Computation 9, 1627):
of all densities with galaxies' mean of phi, the one nearest to p(x | S) is p(x | S) times the
exponential of lambda phi. phi_1 is the logarithm of the amount, phi_2 tells dusty galaxies from
screens, of which it says no more. lambda was set by chains without data and goes with the weights
that it was set for (`benchmarks/dust_amount.py`): the weight file holds it. The norm of p(x | S) g
depends on S; where S moves, under the full cross term, the factor is left out.
"""

import jax.numpy as jnp
from jax import Array

FAINT, DEEP = 0.02, 0.3  # mag


def potentials(amount: Array) -> Array:
    """phi, (2, ...), of light-weighted means u of A in mag, (...)."""
    return jnp.stack([jnp.log1p(amount / FAINT), amount / (amount + DEEP)])
