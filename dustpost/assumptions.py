"""What a fit assumed, in sentences for the report, from the settings in posterior.nc."""

import numpy as np

from dustpost.io.cutout import Cutout
from dustpost.networks.coordinate import FAINT
from dustpost.priors.slope import words as slope_words
from dustpost.results import REFERENCE_WAVELENGTH

MAG_PER_OPTICAL_DEPTH = 2.5 / np.log(10)
HOST_COORDINATE = 0.1  # z = ln(1 + x) / 0.1, the coordinate in which the host diffuses

CURVES = {
    "calzetti-noll": "Calzetti et al. (2000), both branches, times (wavelength / "
    f"{REFERENCE_WAVELENGTH} micron)^delta.",
    "paper": "Siegel & Melchior (2024), Eq. 5 as printed: Calzetti's blue branch alone, times "
    f"(wavelength / {REFERENCE_WAVELENGTH} micron)^delta.",
}
NORMS = {
    "lambda0": f"k = 1 at {REFERENCE_WAVELENGTH} micron, so that D is the transmission there.",
    "paper": f"Eq. 5 as printed: k = 1.1605 at {REFERENCE_WAVELENGTH} micron, so that the "
    "transmission there is D^1.1605.",
}
TARGETS = {
    "denoised": "The latents live at a noise level sigma; host and dust are what the networks "
    "denoise them to, and the prior is the push-forward of the noisy one.",
    "smoothed": "The likelihood acts on images that carry the prior's noise level sigma; right "
    "only where sigma is far below what the data resolve.",
}
CROSS_TERMS = {
    "cut": "A cut posterior, as in Siegel & Melchior (2024): what the dust prior says about the "
    "host is left out, so the draws follow no single joint density.",
    "anchored": "The dust prior is that of one host, the mean of the chains' in the warm-up: left "
    "out are what the dust prior says about the host, and what doubt of the host does to it.",
    "full": "The host feels the dust prior through its condition, as the joint density demands.",
}
AMOUNTS = {
    "model": "a second opinion, of which no draw knows.",
    "image": "chains take turns in its shares and draw all else given them: a cut posterior, in "
    "which the rest of the model has no say in how much dust there is.",
}
HOSTS = {
    "hsc64": "Score network HSC-64 of Sampson et al. (2024), trained on HSC galaxies.",
    "sim": "Network trained on galaxies of dustpost.simulate, see joint.md and, where it is an "
    "energy, host_energy.md in dustpost/data.",
}


def assumptions(settings: dict[str, object], cutout: Cutout) -> list[tuple[str, str]]:
    """List the assumptions as (what, sentence), in the order of their weight."""
    get = settings.get
    found = [
        ("Attenuation curve", _known(CURVES, get("curve"))),
        ("Normalisation", _known(NORMS, get("norm"))),
        ("Curve per band", _per_band(settings, cutout)),
        ("Slope delta", _slope_prior(settings)),
        ("Target", _known(TARGETS, get("target"))),
        ("Noise level of the dust", _dust_noise(settings)),
        ("Noise level of the host", _host_noise(settings)),
        ("What the image alone tells", _image_alone(settings)),
        ("Fine structure of the dust", _fine_structure(settings)),
        ("Cross term", _known(CROSS_TERMS, get("cross_term"))),
        ("Host prior", _host_prior(settings)),
        ("Dust prior", _dust_prior(settings)),
        ("Flux prior", str(get("flux_prior", ""))),
        ("Noise", _noise(settings)),
        ("Redshift", _redshift(cutout)),
        ("Milky Way", _milky_way(cutout)),
        ("Colour of the host", _host_colour(settings)),
        ("Covered pixels", _covered(settings)),
        ("Sampler", _sampler(settings)),
        ("Versions", str(get("versions", ""))),
    ]
    return [(what, text) for what, text in found if text]


def _known(table: dict[str, str], key: object) -> str:
    if key is None:
        return ""
    return f"{key}: {table[key]}" if key in table else str(key)


def _per_band(settings: dict, cutout: Cutout) -> str:
    k = settings.get("k")
    if k is None:
        return ""
    pairs = (f"{band} {value:.3f}" for band, value in zip(cutout.bands, np.ravel(k), strict=True))
    averaged = {"True": " averaged over the filter", "False": " at the effective wavelength"}
    how = averaged.get(str(settings.get("filter_average", "")), "")
    return f"k{how}, at the posterior mean delta: " + ", ".join(pairs) + "."


def _slope_prior(settings: dict) -> str:
    if settings.get("slope_prior_mean") is None or settings.get("slope_prior_sd") is None:
        return ""
    return f"Normal prior, {slope_words(settings)}."


def _dust_noise(settings: dict) -> str:
    sigma = settings.get("sigma_dust")
    if sigma is None:
        return ""
    coordinate = str(settings.get("dust_coordinate", "transmission")).replace("_", " ")
    # dA/dv where there is no dust
    slope = FAINT if coordinate == "log attenuation" else MAG_PER_OPTICAL_DEPTH
    mag = slope * sigma * settings.get("k_reference", 1.0)
    return f"sigma = {sigma:g} in {coordinate}, {mag:.3f} mag of A where A = 0."


def _host_noise(settings: dict) -> str:
    time = settings.get("t_host")
    if time is None:
        return ""
    if settings.get("host_prior") not in HOSTS:
        return f"Diffusion time t = {time:g}."
    sigma = HOST_COORDINATE * np.sqrt(np.expm1(time))
    return (
        f"Diffusion time t = {time:g}: sigma = {sigma:.3g} in ln(1 + x), where x is the host "
        f"scaled to a peak of about one; {MAG_PER_OPTICAL_DEPTH * sigma:.3f} mag where x is large."
    )


def _host_prior(settings: dict) -> str:
    text, weight = _known(HOSTS, settings.get("host_prior")), settings.get("grain", 0.0)
    return text + (f" Times a factor for its grain, of weight {weight:g}." if weight else "")


def _dust_prior(settings: dict) -> str:
    name, digest = settings.get("dust_prior", ""), settings.get("dust_checkpoint_sha256")
    return f"{name}, checkpoint sha256 {digest}." if digest else str(name)


def _image_alone(settings: dict) -> str:
    names = ("q05", "q50", "q95")
    low, middle, high = (settings.get(f"image_alone_{name}") for name in names)
    if middle is not None:
        return (
            f"Mean A of {middle:.3f} mag ({low:.3f} to {high:.3f}, 90 %), by a network that was "
            f"taught with simulated galaxies; {AMOUNTS[settings.get('amount', 'model')]}"
        )
    reason = settings.get("image_alone_missing")
    return f"Nothing: {reason}." if reason else ""


def _fine_structure(settings: dict) -> str:
    digest = settings.get("fine_structure")
    if digest is None:
        return ""
    if not digest:
        return "None: D is the mean that the likelihood sees, smoother and thinner than dust is."
    return (
        f"D is drawn given its latent by the score network of sha256 {digest}: what is finer than "
        "the data see, and its share of A, is the prior's."
    )


def _noise(settings: dict) -> str:
    factor = settings.get("noise_inflation", 1.0)
    text = "Gaussian, independent from pixel to pixel, variance from the cutout"
    text += "" if factor == 1 else f", its sd times {factor:g}"
    share = settings.get("model_error", 0.0)
    return text + (f"; {share:.1%} of the local flux for what the model misses." if share else ".")


def _host_colour(settings: dict) -> str:
    tilt = settings.get("colour_field")
    if tilt is None:
        return ""
    if tilt:
        along = settings.get("colour_along_dust", 0.0)
        return (
            f"Its spectrum varies over the image, smoothly by an rms tilt of {tilt:g} in the mean "
            "over galaxies, in patches by half as much"
            + (f" and by {along:g} with the dust, all" if along else ",")
            + " integrated out."
        )
    return "One for the whole host; a gradient would be taken for dust (colour_field changes it)."


def _redshift(cutout: Cutout) -> str:
    if cutout.redshift == 0:
        return "z = 0, the default: the curve acts at observed wavelengths (--redshift changes it)."
    return f"z = {cutout.redshift:g}: filters are shifted to the rest frame before k is taken."


def _milky_way(cutout: Cutout) -> str:
    if cutout.ebv == 0:
        return "No extinction of our own Galaxy was taken out (--ebv changes it)."
    return f"E(B-V) = {cutout.ebv:g} mag of our own Galaxy was taken out before the fit."


def _covered(settings: dict) -> str:
    limit = settings.get("covering_threshold")
    return "" if limit is None else f"A above {limit:g} mag at {REFERENCE_WAVELENGTH} micron."


def _sampler(settings: dict) -> str:
    parts = [str(settings.get("sampler", ""))]
    for key, word in (("chains", "chains"), ("warmup", "warm-up sweeps"), ("draws", "draws")):
        if key in settings:
            parts.append(f"{settings[key]} {word}")
    if "seed" in settings:
        parts.append(f"seed {settings['seed']}")
    return ", ".join(p for p in parts if p) + "."
