"""What the image alone tells of how much dust there is: a second opinion on the mean attenuation.

A network (`dustpost.networks.amount`) that was taught with simulated galaxies' own amounts makes a
density of it from the bands g, r and z, without the forward model, the priors of F and delta, or a
chain. With `settings.amount` "image" chains take turns in its shares (`dustpost.priors.strata`);
with "model" it takes part in no draw, and a posterior that lies elsewhere is found by `dustpost
check`. It was taught at redshifts and through PSFs and noise of a range that its weight file knows;
of a cutout outside of it nothing is told.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import as_file, files

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.io.cutout import Cutout
from dustpost.networks import checkpoint
from dustpost.networks.amount import Amount, features, probabilities, quantiles
from dustpost.priors.strata import Aim, share_out
from dustpost.settings import Settings
from dustpost.simulate.survey import noise_area

SHIPPED = "amount.safetensors"
BANDS = {"g": 0.48, "r": 0.622, "z": 0.88}  # micron
NEAR = 0.06  # relative distance in wavelength up to which a band is one of these
SIDE = 64  # pixels of the images that were taught
MASKED = 0.05  # of the central pixels: more, and the image is not such as was taught
QUANTILES = {"q05": 0.05, "q16": 0.16, "q50": 0.5, "q84": 0.84, "q95": 0.95}


def image_alone(cutout: Cutout) -> dict[str, float | str]:
    """Quantiles of the light-weighted mean A in mag, or why there are none.

    Parameters
    ----------
    cutout : Cutout

    Returns
    -------
    dict
        `image_alone_q05` to `image_alone_q95`, as in `QUANTILES`; or the sentence
        `image_alone_missing`.
    """
    reason = why_not(cutout)
    if reason:
        return {"image_alone_missing": reason}
    found = quantiles(density(cutout), list(QUANTILES.values()))
    return {f"image_alone_{name}": value for name, value in zip(QUANTILES, found, strict=True)}


def used(cutout: Cutout, settings: Settings) -> str:
    """Where the amount of dust of a cutout comes from in a fit: "image", or "model"."""
    asked = settings.amount == "image" and settings.sampler == "gibbs"
    return "image" if asked and not why_not(cutout) else "model"


def aims(cutouts: Sequence[Cutout], chains: int) -> Aim:
    """Where the chains of galaxies of which the network tells begin, (galaxy x chain,) each."""
    found = [share_out(density(cutout), chains) for cutout in cutouts]
    return jax.tree.map(lambda *one: jnp.concatenate(one), *found)


def density(cutout: Cutout) -> np.ndarray:
    """Share of each bin of `dustpost.networks.amount`, (bin,), of a cutout that has one."""
    _, _, parameters, network = _load()
    given = features(*(jnp.asarray(one, jnp.float32) for one in seen(cutout)))
    return np.asarray(_probabilities(parameters, given, network))


def why_not(cutout: Cutout) -> str:
    """Why the network has nothing to say of a cutout, in words; "" where it has."""
    facts, chosen = _load()[1], bands_of(cutout.wavelength)
    missing = [name for name, number in chosen.items() if number is None]
    if missing:
        return f"no band near {', '.join(missing)}"
    if cutout.data.shape[1:] != (SIDE, SIDE):
        return f"not {SIDE}x{SIDE} pixels"
    low, high = facts["redshift"]
    if not low <= cutout.redshift <= high:
        return f"a redshift of {cutout.redshift:g}, outside {low:g} to {high:g}"
    data, noise, width = seen(cutout)
    low, high = facts["width"]
    if not low <= width.min() <= width.max() <= high:
        return (
            f"PSFs {width.min():.1f} to {width.max():.1f} pixels wide, not {low:.1f} to {high:.1f}"
        )
    middle = slice(SIDE // 4, -(SIDE // 4))
    if (cutout.ivar[list(chosen.values()), middle, middle] > 0).mean() < 1 - MASKED:
        return "too many masked pixels in its middle"
    peak, low = float((data[1] / noise[1]).max()), facts["peak"][0]
    return f"a peak signal-to-noise in r of {peak:.0f}, below {low:g}" if peak < low else ""


def bands_of(wavelength: np.ndarray) -> dict[str, int | None]:
    """Which band of a cutout, by their wavelengths in micron, is near each of `BANDS`."""
    found = {}
    for name, at in BANDS.items():
        far = np.abs(np.asarray(wavelength) / at - 1)
        found[name] = int(far.argmin()) if far.min() < NEAR else None
    return found


def seen(cutout: Cutout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data (3, y, x), noise (3,) and PSF widths (3,) of the bands that the network takes.

    The noise is at least that of the highest signal-to-noise that was taught.
    """
    chosen = list(bands_of(cutout.wavelength).values())
    data, ivar = (np.asarray(x[chosen], np.float32) for x in (cutout.data, cutout.ivar))
    noise = np.array([np.median(one[one > 0]) ** -0.5 if (one > 0).any() else 1.0 for one in ivar])
    noise = np.maximum(noise, data.max(axis=(1, 2)) / _load()[1]["peak"][1])
    return data, noise, np.sqrt(noise_area(cutout.psf[chosen]))


def weights() -> str:
    """sha256 of the network that ships."""
    return _load()[0]


_probabilities = jax.jit(probabilities, static_argnames="network")


@lru_cache
def _load() -> tuple[str, dict, dict, Amount]:
    """sha256, facts, parameters and network of the weights that ship.

    Raises
    ------
    DustpostError
        If the file is missing, or not the one that its model card describes.
    """
    with as_file(files("dustpost.data")) as folder:
        path = folder / SHIPPED
        expected = checkpoint.card_sha256(path.with_suffix(".md"))
        parameters, metadata = checkpoint.load(path, expected)
        facts = {name: json.loads(value) for name, value in metadata.items()}
        network = Amount(tuple(facts["widths"]))
        return checkpoint.sha256(path), facts, jax.tree.map(jnp.asarray, parameters), network
