"""Prior of the attenuation slope: delta ~ Normal(0.1, 0.35).

From fits of the paper's Eq. 5 to the radiative-transfer curves of Witt & Gordon (2000).
"""

import numpyro.distributions as dist

MEAN, SD = 0.1, 0.35


def slope_prior() -> dist.Normal:
    """The default prior of the slope, dimensionless."""
    return dist.Normal(MEAN, SD)
