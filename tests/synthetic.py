"""A toy galaxy behind a toy screen, with AR(1) chains in place of a sampler's."""

from pathlib import Path

import numpy as np
from astropy.wcs import WCS

from dustpost.io.cutout import Cutout, Truth
from dustpost.results import Draws

BANDS = ("hsc2017-g", "hsc2017-r", "hsc2017-i", "hsc2017-z", "hsc2017-y")
WAVELENGTH = np.array([0.4754, 0.6175, 0.7711, 0.8898, 0.9762])
K = np.array([1.0, 0.71, 0.52, 0.42, 0.37])
FLUX = np.array([300.0, 480.0, 620.0, 700.0, 760.0])
SLOPE = 0.1


def ar1(rng, shape, phi=0.5):
    """Stationary AR(1) series of unit variance, (chain, draw, ...)."""
    noise = rng.normal(size=shape)
    series = np.empty(shape)
    series[:, 0] = noise[:, 0]
    for t in range(1, shape[1]):
        series[:, t] = phi * series[:, t - 1] + np.sqrt(1 - phi**2) * noise[:, t]
    return series


def galaxy(size):
    """Host of unit sum with two arms, and the transmission of a lane across it, (y, x)."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2.0
    r = np.hypot(x, 1.4 * y) / size
    arms = 1 + 0.5 * np.cos(2 * np.arctan2(y, x) - 25 * r) * np.minimum(1, 12 * r)
    host = np.exp(-r / 0.1) * arms
    lane = np.exp(-0.5 * ((y - 0.1 * size + 0.25 * x) / (0.06 * size)) ** 2)
    lane = lane * np.exp(-0.5 * (x / (0.25 * size)) ** 2)
    return host / host.sum(), 10 ** (-0.4 * 0.9 * lane)


def make_cutout(size=32, seed=0, wcs=True):
    rng = np.random.default_rng(seed)
    host, transmission = galaxy(size)
    clean = FLUX[:, None, None] * host * transmission ** K[:, None, None]
    sd = 0.02 * FLUX.mean() * host.max() * np.ones_like(clean)
    data = clean + sd * rng.normal(size=clean.shape)
    ivar = 1 / sd**2
    data[:, 3:6, 4:7], ivar[:, 3:6, 4:7] = 0.0, 0.0
    psf = np.zeros((len(BANDS), 3, 3))
    psf[:, 1, 1] = 1.0
    celestial = None
    if wcs:
        celestial = WCS(naxis=2)
        celestial.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        celestial.wcs.crval, celestial.wcs.crpix = [150.1, 2.2], [size / 2, size / 2]
        celestial.wcs.cdelt = [-0.168 / 3600, 0.168 / 3600]
    dust = -2.5 * np.log10(transmission)
    truth = Truth(
        host=host,
        attenuation=K[:, None, None] * dust,
        transmission=transmission,
        flux=FLUX,
        covering_fraction=float((host * (dust > 0.05)).sum()),
        mean_attenuation=float((host * dust).sum()),
        slope=SLOPE,
    )
    return Cutout(
        data=data.astype(np.float32),
        ivar=ivar.astype(np.float32),
        psf=psf.astype(np.float32),
        bands=BANDS,
        wavelength=WAVELENGTH,
        unit="nJy",
        wcs=celestial,
        source=Path("toy_galaxy.fits"),
        notes=("The PSF <of the toy> is one pixel wide.",),
        truth=truth,
    )


def prior_draws(size, sd, number=64, seed=3):
    """Of the dust's prior: uniform screens of 1 mag, scattered by `sd`, their sd exact."""
    rng = np.random.default_rng(seed)
    screen = rng.normal(size=number)
    screen = 1.0 + sd * (screen - screen.mean()) / screen.std(ddof=1)
    host, _ = galaxy(size)
    plane = np.ones((number, size, size))
    return dict(
        prior_host=host * plane,
        prior_transmission=10 ** (-0.4 * screen[:, None, None]) * plane,
        prior_slope=0.1 + 0.35 * rng.normal(size=number),
    )


def make_draws(size=32, chains=4, length=400, every=10, seed=1, phi=0.3, offset=0.0):
    """Draws about the truth; `offset` moves the chains apart, in posterior sd."""
    rng = np.random.default_rng(seed)
    host, transmission = galaxy(size)
    apart = offset * (np.arange(chains) - (chains - 1) / 2)[:, None]
    series = (chains, length)
    screen = 0.06 * (ar1(rng, series, phi) + apart)  # shift of ln D along the orbit
    slope = SLOPE + 0.15 * ar1(rng, series, phi)
    wiggle = 0.004 * ar1(rng, (*series, len(BANDS)), 0.1)
    flux = FLUX * np.exp(-screen[..., None] * K + wiggle)

    kept = np.arange(every - 1, length, every)
    smooth = ar1(rng, (chains, kept.size, size, size), 0.2)
    light = host / host.max()
    spread = 0.25 / (1 + 8 * light)  # the prior where there is no light
    noise = 0.05 * ar1(rng, (chains, kept.size, size, size), 0.2) / (1 + 20 * light)
    hosts = host * np.exp(noise)
    optical_depth = -np.log(transmission) + spread * np.abs(smooth)
    optical_depth = optical_depth - screen[:, kept, None, None]
    through = np.exp(-np.clip(optical_depth, 1e-3, None))

    model = FLUX[:, None, None] * host * transmission ** K[:, None, None]
    mean = (host * -2.5 * np.log10(transmission)).sum() - 1.0857 * screen
    stats = {
        "acceptance_host": rng.uniform(0.5, 1.0, series),
        "acceptance_dust": rng.uniform(0.4, 1.0, series),
        "acceptance_slope": np.ones(series),
        "curl_defect": np.abs(0.05 * rng.normal(size=series)),
        "log_likelihood": -2500 - rng.gamma(20, 1, size=series),
    }
    return Draws(
        flux=flux,
        template_flux=0.98 * flux,
        slope=slope,
        mean_attenuation=mean,
        covering_fraction=np.clip(0.4 + 0.04 * ar1(rng, series, phi), 0, 1),
        log_screen=-mean / 1.0857,
        host=(hosts / hosts.sum(axis=(-2, -1), keepdims=True)).astype(np.float32),
        transmission=through.astype(np.float32),
        kept=kept,
        stats=stats,
        model=model,
        **prior_draws(size, 0.2),
        settings=settings(),
        attenuated_flux=model.sum(axis=(1, 2)) * (1 + wiggle),
    )


def settings():
    return {
        "k": K.tolist(),
        "k_reference": 1.0,
        "curve": "calzetti-noll",
        "norm": "lambda0",
        "target": "denoised",
        "cross_term": "full",
        "sampler": "gibbs",
        "sigma_dust": 0.05,
        "dust_coordinate": "transmission",
        "t_host": 0.02,
        "host_prior": "hsc64",
        "dust_prior": "unet",
        "dust_checkpoint_sha256": "0" * 64,
        "flux_prior": "colours",
        "slope_prior_mean": 0.1,
        "slope_prior_sd": 0.35,
        "covering_threshold": 0.05,
        "noise_inflation": 1.0,
        "model_error": 0.0,
        "colour_field": 0.0,
        "grain": 0.0,
        "redshift": 0.0,
        "ebv": 0.0,
        "chains": 4,
        "warmup": 200,
        "draws": 400,
        "seed": 1,
        "versions": ["python 3.11", "jax 0.10.1", "dustpost 0.1.0"],
    }
