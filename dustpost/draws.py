"""What a sampler hands over: plain arrays and the settings behind them."""

from typing import NamedTuple

import numpy as np

from dustpost.io.cutout import Cutout


class Draws(NamedTuple):
    """What a sampler hands over: numpy arrays, chains first.

    Attributes
    ----------
    flux : ndarray, (C, N, B)
        F, total flux of the dust-free host per band, in the unit of the cutout.
    slope : ndarray, (C, N)
        delta, the slope added to the attenuation curve.
    mean_attenuation : ndarray, (C, N)
        Light-weighted mean of A at 0.4754 micron, mag.
    covering_fraction : ndarray, (C, N)
        Share of the host's light behind more than the threshold in A.
    log_screen : ndarray, (C, N)
        Light-weighted mean of ln D, the coordinate along the orbit D -> c D.
    host : ndarray, (C, T, y, x)
        S, unit sum over the pixels; every few draws.
    transmission : ndarray, (C, T, y, x)
        D, in (0, 1]; the same draws as `host`.
    kept : ndarray, (T,), int
        Which of the N draws `host` and `transmission` belong to.
    stats : dict of str to ndarray, (C, N)
        Acceptance per block (names beginning with ``acceptance_``, in [0, 1]),
        ``curl_defect``, ``log_likelihood``, ``energy`` (nat), ``step_size_*`` and others;
        ``share``, where chains take turns in shares of the amount of dust, and ``aim_*``,
        where in g each share is held (`dustpost.priors.strata`).
    model : ndarray, (B, y, x)
        Posterior mean of the PSF-convolved model, in the unit of the cutout.
    prior_host, prior_transmission : ndarray, (P, y, x)
        S of the posterior, and D drawn from the dust's prior given them.
    prior_slope : ndarray, (P,)
        delta drawn from its prior.
    settings : dict of str to (str, float, int or list)
        All that was assumed. Lists of B numbers become variables over `band`; the
        keys that results, plots and report look for are named in `SETTINGS`.
    attenuated_flux : ndarray, (C, N, B), optional
        Total flux per band behind the dust, sum over pixels of F S D^k.
    template_flux : ndarray, (C, N, B), optional
        The part of `flux` that is the host's one spectrum, see `dustpost.field_light`; `flux`
        itself where not given.
    fisher : dict of str to float, optional
        Fisher bounds of log_screen, see `diagnostics.degeneracy`.
    """

    flux: np.ndarray
    slope: np.ndarray
    mean_attenuation: np.ndarray
    covering_fraction: np.ndarray
    log_screen: np.ndarray
    host: np.ndarray
    transmission: np.ndarray
    kept: np.ndarray
    stats: dict[str, np.ndarray]
    model: np.ndarray
    prior_host: np.ndarray
    prior_transmission: np.ndarray
    prior_slope: np.ndarray
    settings: dict[str, str | float | int | list]
    attenuated_flux: np.ndarray | None = None
    template_flux: np.ndarray | None = None
    fisher: dict[str, float] | None = None


# Keys of `Draws.settings` with a meaning here; any other key is stored and listed as it is.
SETTINGS = {
    "k": "curve per band at the posterior mean delta: A_i = -2.5 k_i log10 D (list of B numbers)",
    "filter_average": "True: k averaged over the filter; False: at its effective wavelength",
    "k_reference": "k at 0.4754 micron: 1 with norm=lambda0, 1.1605 with norm=paper",
    "curve": "calzetti-noll, or paper",
    "norm": "lambda0, or paper",
    "target": "denoised, or smoothed",
    "cross_term": "cut (a cut posterior), anchored (dust given one host), or full",
    "sampler": "gibbs, langevin, split-gibbs",
    "amount": "where the amount of dust comes from: model, or image (priors.strata)",
    "sigma_dust": "noise level of the dust latent, in the coordinate named by dust_coordinate",
    "dust_coordinate": "what sigma_dust is in: transmission, optical_depth or log_attenuation",
    "t_host": "diffusion time of the host latent",
    "host_prior": "hsc64, or sim",
    "dust_prior": "name of the dust prior",
    "dust_checkpoint_sha256": "sha256 of the dust network's weights",
    "fine_structure": "sha256 of the network that draws D given its latent; empty: D is the mean",
    "flux_prior": "colours, or flat",
    "slope_prior_mean": "mean of the normal in the prior of delta",
    "slope_prior_sd": "its sd",
    "slope_prior_wall": "delta beyond which the prior falls faster, see priors.slope",
    "slope_prior_softness": "sd of the normal by which it falls there",
    "image_alone_q05": "5 % of the mean A in mag that the image alone tells, see amount; to _q95",
    "image_alone_missing": "why it tells none",
    "covering_threshold": "A in mag above which a pixel counts as covered",
    "noise_inflation": "factor on the noise sd",
    "model_error": "sd of what the model misses, over the local flux; part of the noise",
    "colour_field": "rms of the smooth tilt of the host's spectrum; part of the covariance",
    "colour_along_dust": "rms of the tilt along the dust's pattern; part of the covariance",
    "flattening": "how much greyer deep dust is, see forward; where not 0, k is that of 1 mag",
    "grain": "weight of the factor for the grain of hosts, see priors.grain; 0: without it",
    "redshift": "redshift of the galaxy; 0 also where none was given",
    "ebv": "E(B-V) of the Milky Way in mag, taken out before the fit",
    "chains": "number of chains",
    "warmup": "sweeps thrown away per chain",
    "draws": "draws per chain",
    "seed": "seed of all random numbers",
    "versions": "list of 'package version'",
}


def check_shapes(draws: Draws, cutout: Cutout) -> None:
    """Raise ValueError where an array of `draws` does not have the shape it promises."""
    chains, length = draws.slope.shape
    bands, *pixels = cutout.data.shape
    kept = (chains, len(draws.kept), *pixels)
    series = (chains, length)
    wanted = {
        "flux": (*series, bands),
        "mean_attenuation": series,
        "covering_fraction": series,
        "log_screen": series,
        "host": kept,
        "transmission": kept,
        "model": tuple(cutout.data.shape),
        "prior_host": (len(draws.prior_slope), *pixels),
        "prior_transmission": (len(draws.prior_slope), *pixels),
    }
    found = {name: getattr(draws, name) for name in wanted} | draws.stats
    wanted |= dict.fromkeys(draws.stats, series)
    for name in ("attenuated_flux", "template_flux"):
        if getattr(draws, name) is not None:
            found[name], wanted[name] = getattr(draws, name), wanted["flux"]
    for name, shape in wanted.items():
        if np.shape(found[name]) != shape:
            raise ValueError(f"Draws.{name} has shape {np.shape(found[name])}, not {shape}")
