"""Claim: what one colour of the host and one curve of its dust miss is a known share of the light.

    python benchmarks/model_error.py [--galaxies 300] [--seed 5] [--data ../shared/data]
                                     [--effect 12]

Galaxies of the simulator, blurred by HSC's PSFs, without noise. Per band the residual

    e_i = (Y_i - PSF_i * [F_i S D^k_i(delta)]) / (PSF_i * Y_i)+

over the pixels that hold 90 % of the light, light-weighted:

truth   at the true S (dust-free r) and the true D, with the best F and delta
smooth  less its mean over bands, which is the host's, and less the gradients of the host's colour
field   less the patches as well (both by least squares on the functions of `dustpost.colour`)
free    after S and D have been let free in every pixel: ln Y_i projected off 1 and k_i

Written for galaxies with more than 0.03 mag, fiducial and monochromatic, with the correlation of
e over pixels and bands; with --data for the RADMC-3D views too, which say whether the
simulator's number holds elsewhere. `fraction` is the number for the setting `model_error`: the rms
over the fiducial simulated galaxies and bands of what the field leaves, for it is variances that
add up; `patch` is the rms tilt that the patches take up.

--effect N draws the posteriors of N more galaxies of the simulator at a peak S/N of 100 with 0,
1/2, 1 and 2 times that fraction, for the coverage (hours).
Writes model_error.json.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar

from dustpost import colour
from dustpost.attenuation import band_attenuation
from dustpost.forward import templates
from dustpost.io.cutout import Cutout
from dustpost.io.read import to_observation
from dustpost.likelihood import fit_flux
from dustpost.reproduce import campaign, fit, score
from dustpost.reproduce.exposure import blur, observe
from dustpost.reproduce.sources import View, find_views
from dustpost.reproduce.trial import VARIANTS, Plan
from dustpost.settings import Settings

LOG = Path(__file__).with_suffix(".json")
LAGS = (1, 2, 4, 8, 16)
DUSTY = 0.03  # mag
SLOPES = (-3.0, 3.0)
QUANTILES = (0.16, 0.5, 0.84)
SHARES = (0.0, 0.5, 1.0, 2.0)  # of the fraction, in --effect
QUIET = 1e6  # peak S/N of an image that is all but free of noise


@jax.jit
def peak(observation, host, transmission, slope):
    """Misfit at the best fluxes, and the model there."""
    unit = templates(observation, host, transmission, slope)
    best = fit_flux(observation, unit)
    return -best.log_peak, best.estimate[:, None, None] * unit


def best_model(cutout: Cutout) -> tuple[np.ndarray, float]:
    """The model cube at the true S and D with the best F and delta, and that delta."""
    # noise in the ratios of the survey, but at a level that keeps float32's sums exact
    seen = to_observation(replace(cutout, ivar=cutout.ivar * (100 / QUIET) ** 2))
    place = jnp.asarray(cutout.truth.host), jnp.asarray(cutout.truth.transmission)
    misfit = lambda slope: float(peak(seen, *place, jnp.asarray(slope))[0])  # noqa: E731
    found = minimize_scalar(misfit, bounds=SLOPES, method="bounded", options={"xatol": 1e-3})
    return np.asarray(peak(seen, *place, jnp.asarray(found.x))[1]), float(found.x)


def bright(cutout: Cutout) -> np.ndarray:
    """Weights (y, x): S where 90 % of the light is, 0 elsewhere; unit sum."""
    host = np.asarray(cutout.truth.host, float)
    order = np.sort(host, axis=None)[::-1]
    inside = host >= order[np.searchsorted(np.cumsum(order) / order.sum(), fit.LIGHT)]
    return host * inside / (host * inside).sum()


def residual(cutout: Cutout, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """e (band, y, x) of the best model with the true maps, 0 where it is faint, and delta."""
    model, slope = best_model(cutout)
    local = np.maximum(blur(cutout.data, cutout.psf), 1e-12)
    return np.where(weight > 0, (cutout.data - model) / local, 0.0), slope


def off_field(
    cutout: Cutout, weight: np.ndarray, error: np.ndarray, with_patches: bool
) -> np.ndarray:
    """What the host, the fluxes, and the colour field's gradients or all of it leave of e.

    What all bands share is the host's.
    """
    error = error - error.mean(axis=0)
    local = np.maximum(blur(cutout.data, cutout.psf), 0.0)
    light = (local / local.sum(axis=(1, 2), keepdims=True)).mean(axis=0)
    psi = colour.functions(light)
    if with_patches:
        psi = np.concatenate([psi, colour.patches(light)])
    wave = colour.reddening(np.asarray(cutout.wavelength, float))
    root = np.sqrt(weight).ravel()
    smooth = np.einsum("b,kp,p->bpk", wave, psi.reshape(len(psi), -1), root)
    levels = np.einsum("bc,p->bpc", np.eye(len(wave)), root)
    matrix = np.concatenate([smooth, levels], axis=-1).reshape(error.size, -1)
    seen = (root * error.reshape(len(wave), -1)).ravel()
    # normal equations: a hundred times as fast, and patches where nothing is lit have no say
    rest = seen - matrix @ np.linalg.lstsq(matrix.T @ matrix, matrix.T @ seen)[0]
    rest = rest.reshape(len(wave), -1) / np.where(root > 0, root, 1.0)
    return rest.reshape(error.shape)


def statistics(error: np.ndarray, weight: np.ndarray) -> dict:
    """Light-weighted rms of e, and its correlations over pixels and bands."""
    rms = np.sqrt((weight * error**2).sum(axis=(1, 2)))
    moment = np.einsum("bp,cp,p->bc", *2 * [error.reshape(len(error), -1)], weight.ravel())
    off = ~np.eye(len(rms), dtype=bool)
    between = (moment / np.maximum(np.outer(rms, rms), 1e-12))[off]
    return dict(
        rms=rms.tolist(),
        total=float(np.sqrt((rms**2).mean())),
        lags=[along(error, weight > 0, lag) for lag in LAGS],
        bands=float(np.abs(between).mean()),
    )


def along(error: np.ndarray, inside: np.ndarray, lag: int) -> float:
    """Correlation of the residual with itself `lag` pixels on, of both axes, mean over bands."""
    products, squares = 0.0, 0.0
    for axis in (0, 1):
        here = [slice(None, -lag) if a == axis else slice(None) for a in (0, 1)]
        there = [slice(lag, None) if a == axis else slice(None) for a in (0, 1)]
        both = inside[tuple(here)] & inside[tuple(there)]
        one, other = error[:, *here][:, both], error[:, *there][:, both]
        products = products + (one * other).sum(axis=1)
        squares = squares + np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return float(np.mean(products / np.maximum(squares, 1e-12)))


def with_free_maps(cutout: Cutout, weight: np.ndarray) -> dict:
    """Fractional residual that no S and D take up: ln Y off the span of 1 and k_i."""
    seen = to_observation(cutout)
    log = np.log(np.maximum(cutout.data[:, weight > 0].astype(float), 1e-12))
    share = weight[weight > 0]
    log = log - (log @ share)[:, None]  # ln F_i

    def rest(slope: float) -> np.ndarray:
        k = np.asarray(band_attenuation(seen.wavelength, seen.weight, slope), float)
        basis = np.linalg.qr(np.stack([np.ones_like(k), k], axis=1))[0]
        return log - basis @ (basis.T @ log)

    misfit = lambda slope: float((rest(slope) ** 2 @ share).sum())  # noqa: E731
    found = minimize_scalar(misfit, bounds=SLOPES, method="bounded", options={"xatol": 1e-3})
    rms = np.sqrt(rest(found.x) ** 2 @ share)
    return dict(rms=rms.tolist(), total=float(np.sqrt((rms**2).mean())), slope=float(found.x))


def measure(views: list[View], variant: str) -> list[dict]:
    """All residuals of every dusty view."""
    found = []
    for view in views:
        cutout = observe(view.read(variant == "monochromatic"), QUIET, 0)
        if fit.known(cutout).mean_attenuation > DUSTY:
            weight = bright(cutout)
            error, slope = residual(cutout, weight)
            found.append(
                dict(
                    truth=statistics(error, weight) | dict(slope=slope),
                    smooth=statistics(off_field(cutout, weight, error, False), weight),
                    field=statistics(off_field(cutout, weight, error, True), weight),
                    free=with_free_maps(cutout, weight),
                )
            )
    return found


def mean_square(found: list[dict], kind: str) -> float:
    """Mean over galaxies of a squared rms."""
    return round(float(np.mean([one[kind]["total"] ** 2 for one in found])), 7)


def tilt_of_patches(found: dict) -> float:
    """Rms over galaxies of the tilt that only patches take up."""
    wave = colour.reddening(np.array([0.4754, 0.62, 0.77, 0.89, 0.98]))
    taken = found["mean_square_with_gradients"] - found["mean_square_with_field"]
    return float(np.sqrt(max(taken, 0.0) / np.mean(wave**2)))


def summary(found: list[dict]) -> dict:
    """Quantiles over galaxies."""

    def of(kind, name):
        return np.quantile([one[kind][name] for one in found], QUANTILES, axis=0).round(4).tolist()

    return dict(
        views=len(found),
        rms_at_truth=of("truth", "total"),
        rms_at_truth_by_band=of("truth", "rms"),
        slope_at_truth=of("truth", "slope"),
        correlation_at_lags=of("truth", "lags"),
        correlation_between_bands=of("truth", "bands"),
        rms_with_gradients=of("smooth", "total"),
        mean_square_with_gradients=mean_square(found, "smooth"),
        correlation_with_gradients_at_lags=of("smooth", "lags"),
        rms_with_field=of("field", "total"),
        mean_square_with_field=mean_square(found, "field"),
        rms_with_field_by_band=of("field", "rms"),
        correlation_with_field_at_lags=of("field", "lags"),
        rms_with_free_maps=of("free", "total"),
        rms_with_free_maps_by_band=of("free", "rms"),
    )


def effect(fraction: float, galaxies: int, seed: int, folder: Path) -> list[dict]:
    """Scores of posteriors with shares of the fraction as `model_error`."""
    views = find_views(None, 4 * galaxies, 1, seed + 1)
    dusty = [v for v in views if fit.known(v.read(False)).mean_attenuation > DUSTY][:galaxies]
    rows = []
    for share in SHARES:
        settings = Settings(model_error=round(share * fraction, 4))
        plan = Plan(folder, settings, 100.0, f"suite {seed + 1}")
        fits, _ = campaign.run(dusty, ("fiducial",), plan, True)
        done = [(view.galaxy, *fits[view.name, "fiducial"]) for view in dusty]
        done = [(galaxy, truth, found) for galaxy, truth, _, found in done if found is not None]
        if done:
            scores = [score.score(*one) for one in done]
            chi2 = float(np.median([float(found.chi2) for *_, found in done]))
            found = score.rows(scores, model_error=settings.model_error)
            rows += [row | dict(chi2=chi2) for row in found if row["bin"] == "all"]
    return rows


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxies", type=int, default=300)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--data", default=os.environ.get("DUSTPOST_DATA", "../shared/data"))
    parser.add_argument("--effect", type=int, default=0, metavar="GALAXIES")
    parser.add_argument("--out", type=Path, default=Path("out/model_error"))
    options = parser.parse_args()
    report = json.loads(LOG.read_text()) if LOG.exists() else {}
    if not options.effect:
        suite = find_views(None, options.galaxies, 1, options.seed)
        report = dict(galaxies=options.galaxies, seed=options.seed, lags=LAGS, quantiles=QUANTILES)
        report |= {f"simulated {v}": summary(measure(suite, v)) for v in VARIANTS}
        folder = Path(options.data) / "rt"
        if folder.is_dir():
            views = find_views(folder, 99, 3, 0)
            report |= {f"radmc {v}": summary(measure(views, v)) for v in VARIANTS}
        report["patch"] = round(tilt_of_patches(report["simulated fiducial"]), 3)
        report["fraction"] = round(report["simulated fiducial"]["mean_square_with_field"] ** 0.5, 3)
    else:
        size = report["fraction"], options.effect
        report["effect"] = effect(*size, options.seed, options.out)
    LOG.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
