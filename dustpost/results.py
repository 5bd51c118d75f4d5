"""Posterior draws as one xarray.DataTree, the same for every sampler.

Groups (C chains, N draws, T thinned draws, B bands):

posterior       F (band), delta, mean_attenuation, covering_fraction, log_screen, and
                F_attenuated (band) where the sampler gave it
posterior_maps  S, D: thinned draws (chain, draw, y, x); contrast of D's pattern (chain, draw)
prior           delta, mean_attenuation, covering_fraction, log_screen, contrast: the dust's prior
                given hosts of the posterior
degeneracy      see `diagnostics.degeneracy`
maps            {D, A, S}_{mean, sd, q16, q50, q84}, {D, A}_{rhat, ess}, A_prior_sd,
                A_inform (posterior over prior sd), model_mean (band, y, x)
sample_stats    one variable per entry of `Draws.stats`; F_template, the part of F under its prior
observed_data   data, ivar (band, y, x)
constant_data   k, wavelength, psf and the numbers of `Draws.settings`; its words are attributes
truth           where the cutout knows it: F, S, D, A and the scalars

A is the attenuation at 0.4754 micron in magnitudes, -2.5 k(l0) log10 D.
"""

import numpy as np
import xarray as xr

from dustpost.diagnostics import ranks
from dustpost.diagnostics.degeneracy import along, contrast, degeneracy, log_of
from dustpost.diagnostics.shares import levelled
from dustpost.draws import SETTINGS, Draws, check_shapes
from dustpost.io.cutout import Cutout

__all__ = ["Draws", "attenuation", "dustmap_images", "settings_of", "to_tree"]

REFERENCE_WAVELENGTH = 0.4754  # micron, where A is told
SCALARS = ("F", "delta", "mean_attenuation", "covering_fraction", "log_screen")
LEAST_TRANSMISSION = 1e-10  # A of at most 25 mag where float32 underflowed to D = 0


def to_tree(draws: Draws, cutout: Cutout) -> xr.DataTree:
    """Bring the draws of one galaxy into the groups of `posterior.nc`.

    Parameters
    ----------
    draws : Draws
    cutout : Cutout
        The cutout that was sampled, of the same bands and pixels.

    Returns
    -------
    xarray.DataTree
        The groups of this module's docstring; every variable has `units` and
        `description` attributes.
    """
    check_shapes(draws, cutout)
    groups = {
        "/": xr.Dataset(attrs={"creator": "dustpost", "source": cutout.source.name}),
        "posterior": _posterior(draws, cutout),
        "posterior_maps": _posterior_maps(draws),
        "prior": _prior(draws),
        "maps": _maps(draws, cutout),
        "sample_stats": _sample_stats(draws, cutout),
        "observed_data": _observed_data(cutout),
        "constant_data": _constant_data(draws, cutout),
    }
    if cutout.truth is not None:
        groups["truth"] = _truth(cutout)
    tree = xr.DataTree.from_dict(groups)
    tree["degeneracy"] = xr.DataTree(degeneracy(tree, draws.fisher))
    return tree


def attenuation(transmission: np.ndarray, k_reference: float) -> np.ndarray:
    """A at 0.4754 micron in mag: -2.5 k(l0) log10 D."""
    return -2.5 * k_reference * np.log10(np.maximum(transmission, LEAST_TRANSMISSION))


def settings_of(tree: xr.DataTree) -> dict[str, object]:
    """Numbers, lists and words that the fit assumed, as `Draws.settings` had them.

    Lists of words come back as one string, joined by commas.
    """
    constant = tree["constant_data"]
    found = dict(constant.attrs)
    found |= {
        name: variable.values.tolist()
        for name, variable in constant.data_vars.items()
        if name not in ("psf", "wavelength")
    }
    return found


def dustmap_images(tree: xr.DataTree) -> dict[str, tuple[np.ndarray, str]]:
    """Images of dustmap.fits, {EXTNAME: (array, unit)}, in the order of the file."""
    maps = tree["maps"]
    images = {f"A_{s.upper()}": maps[f"A_{s}"] for s in ("mean", "sd", "q16", "q50", "q84")}
    images |= {"TRANS_MEAN": maps["D_mean"], "TRANS_SD": maps["D_sd"]}
    images |= {"HOST_MEAN": maps["S_mean"], "HOST_SD": maps["S_sd"]}
    images |= {"INFORM": maps["A_inform"], "RHAT": maps["A_rhat"]}
    found = {name: (v.values.astype(np.float32), v.attrs["units"]) for name, v in images.items()}
    observed = tree["observed_data"]
    residual = np.where(observed["ivar"] > 0, observed["data"] - maps["model_mean"], np.nan)
    found["RESID"] = (residual.astype(np.float32), observed["data"].attrs["units"])
    return found


def _variable(dims, values, units: str, description: str) -> xr.Variable:
    return xr.Variable(dims, np.asarray(values), {"units": units, "description": description})


def _posterior(draws: Draws, cutout: Cutout) -> xr.Dataset:
    chains, length = draws.slope.shape
    series = ("chain", "draw")
    where = f"at {REFERENCE_WAVELENGTH} micron"
    variables = {
        "F": _variable(
            (*series, "band"), draws.flux, cutout.unit, "total flux of the host without its dust"
        ),
        "delta": _variable(series, draws.slope, "", "slope added to the attenuation curve"),
        "mean_attenuation": _variable(
            series, draws.mean_attenuation, "mag", f"light-weighted mean attenuation {where}"
        ),
        "covering_fraction": _variable(
            series, draws.covering_fraction, "", f"share of the light behind dust {where}"
        ),
        "log_screen": _variable(
            series, draws.log_screen, "", "light-weighted mean ln D, along the orbit D -> c D"
        ),
    }
    if draws.attenuated_flux is not None:
        variables["F_attenuated"] = _variable(
            (*series, "band"), draws.attenuated_flux, cutout.unit, "total flux behind the dust"
        )
    coords = {"chain": np.arange(chains), "draw": np.arange(length), "band": _names(cutout)}
    return xr.Dataset(variables, coords, {"inference_library": "dustpost"})


def _posterior_maps(draws: Draws) -> xr.Dataset:
    dims = ("chain", "draw", "y", "x")
    variables = {
        "S": _variable(dims, draws.host, "", "host light, unit sum"),
        "D": _variable(dims, draws.transmission, "", "dust transmission"),
        "contrast": _variable(
            dims[:2], _contrast(draws, draws.transmission), "", "ln D along its mean pattern"
        ),
    }
    chains, _, *pixels = draws.host.shape
    coords = {"chain": np.arange(chains), "draw": np.asarray(draws.kept), **_axes(pixels)}
    return xr.Dataset(variables, coords)


def _prior(draws: Draws) -> xr.Dataset:
    host, transmission = (
        np.asarray(x, float) for x in (draws.prior_host, draws.prior_transmission)
    )
    dust = attenuation(transmission, float(draws.settings.get("k_reference", 1.0)))
    limit = float(draws.settings.get("covering_threshold", 0.05))
    planes = (-2, -1)
    about = "of the dust's prior given a host of the posterior"
    columns = {
        "delta": (draws.prior_slope, "", "slope, of its prior"),
        "mean_attenuation": ((host * dust).sum(planes), "mag", f"light-weighted mean A, {about}"),
        "covering_fraction": ((host * (dust > limit)).sum(planes), "", f"{about}"),
        "log_screen": ((host * log_of(transmission)).sum(planes), "", f"mean ln D, {about}"),
        "contrast": (_contrast(draws, transmission), "", f"ln D along the mean pattern, {about}"),
    }
    series = ("chain", "draw")
    return xr.Dataset(
        {
            name: _variable(series, np.asarray(x)[None], *rest)
            for name, (x, *rest) in columns.items()
        },
        {"chain": [0], "draw": np.arange(len(host))},
    )


def _contrast(draws: Draws, transmission: np.ndarray) -> np.ndarray:
    return along(log_of(transmission), *contrast(draws.host, draws.transmission))


def _maps(draws: Draws, cutout: Cutout) -> xr.Dataset:
    k_reference = float(draws.settings.get("k_reference", 1.0))
    dust = attenuation(draws.transmission, k_reference)
    where = f"attenuation at {REFERENCE_WAVELENGTH} micron"
    variables = {
        **_moments("D", draws.transmission, "", "dust transmission"),
        **_moments("A", dust, "mag", where),
        **_moments("S", draws.host, "", "host light, unit sum"),
    }
    # A falls with D, so their ranks and with them the bulk ESS are the same.
    share = draws.stats["share"][:, draws.kept] if "share" in draws.stats else None
    level = lambda values: levelled(values, share)  # noqa: E731
    ess = ranks.bulk_ess(level(draws.transmission))
    plane = ("y", "x")
    for name, values in (("D", draws.transmission), ("A", dust)):
        about = f"rank-normalised split R-hat of {name}"
        variables[f"{name}_rhat"] = _variable(plane, ranks.rhat(level(values)), "", about)
        variables[f"{name}_ess"] = _variable(plane, ess, "", f"bulk ESS of {name}, kept draws")

    before = attenuation(draws.prior_transmission, k_reference)
    prior = np.std(before, axis=0, ddof=min(1, len(before) - 1), dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        inform = np.where(prior > 0, variables["A_sd"].values / prior, np.nan)
    variables["A_prior_sd"] = _variable(plane, prior, "mag", f"prior sd of the {where}")
    variables["A_inform"] = _variable(plane, inform, "", "posterior over prior sd of A; 1: no news")
    variables["model_mean"] = _variable(
        ("band", "y", "x"), draws.model, cutout.unit, "posterior mean model, with the PSF"
    )
    return xr.Dataset(variables, {"band": _names(cutout), **_axes(draws.host.shape[-2:])})


def _moments(name: str, draws: np.ndarray, units: str, about: str) -> dict[str, xr.Variable]:
    low, middle, high = np.quantile(draws, [0.16, 0.5, 0.84], axis=(0, 1))
    planes = {
        "mean": draws.mean(axis=(0, 1), dtype=float),
        "sd": draws.std(axis=(0, 1), ddof=1, dtype=float),
        "q16": low,
        "q50": middle,
        "q84": high,
    }
    return {
        f"{name}_{key}": _variable(("y", "x"), plane, units, f"{key} of the {about}")
        for key, plane in planes.items()
    }


def _sample_stats(draws: Draws, cutout: Cutout) -> xr.Dataset:
    nats = ("curl_defect", "log_likelihood", "energy")
    variables = {
        name: _variable(("chain", "draw"), values, "nat" if name in nats else "", name)
        for name, values in draws.stats.items()
    }
    chains, length = draws.slope.shape
    coords = {"chain": np.arange(chains), "draw": np.arange(length)}
    if draws.template_flux is not None:
        about = "part of F that is the host's one spectrum, on which the prior of F is"
        series = ("chain", "draw", "band")
        variables["F_template"] = _variable(series, draws.template_flux, cutout.unit, about)
        coords["band"] = _names(cutout)
    return xr.Dataset(variables, coords)


def _observed_data(cutout: Cutout) -> xr.Dataset:
    cube = ("band", "y", "x")
    variables = {
        "data": _variable(cube, cutout.data, cutout.unit, "cutout as it was fitted"),
        "ivar": _variable(
            cube,
            cutout.ivar,
            f"1 / ({cutout.unit})2" if cutout.unit else "",
            "inverse variance; 0: masked or padded",
        ),
    }
    attrs = {} if cutout.wcs is None else {"wcs": cutout.wcs.to_header_string()}
    return xr.Dataset(variables, {"band": _names(cutout), **_axes(cutout.data.shape[-2:])}, attrs)


def _constant_data(draws: Draws, cutout: Cutout) -> xr.Dataset:
    bands = len(cutout.bands)
    variables = {
        "wavelength": _variable("band", cutout.wavelength, "micron", "observed, effective"),
        "psf": _variable(("band", "psf_y", "psf_x"), cutout.psf, "", "PSF, unit sum"),
    }
    words = {}
    for name, value in draws.settings.items():
        about = SETTINGS.get(name, name)
        if isinstance(value, str):
            words[name] = value
        elif isinstance(value, list | tuple) and any(isinstance(v, str) for v in value):
            words[name] = ", ".join(str(v) for v in value)
        elif np.ndim(value) == 0:
            variables[name] = _variable((), np.asarray(value), "", about)
        else:
            dims = "band" if len(value) == bands else f"{name}_entry"
            variables[name] = _variable(dims, np.asarray(value), "", about)
    return xr.Dataset(variables, {"band": _names(cutout)}, words)


def _truth(cutout: Cutout) -> xr.Dataset:
    truth = cutout.truth
    entries = {
        "S": (("y", "x"), truth.host, ""),
        "D": (("y", "x"), truth.transmission, ""),
        "A": (("band", "y", "x"), truth.attenuation, "mag"),
        "F": (("band",), truth.flux, cutout.unit),
        "delta": ((), truth.slope, ""),
        "mean_attenuation": ((), truth.mean_attenuation, "mag"),
        "covering_fraction": ((), truth.covering_fraction, ""),
    }
    variables = {
        name: _variable(dims, np.asarray(value), units, f"true {name}")
        for name, (dims, value, units) in entries.items()
        if value is not None
    }
    return xr.Dataset(variables, {"band": _names(cutout)})


def _names(cutout: Cutout) -> np.ndarray:
    return np.array(cutout.bands, dtype=object)


def _axes(shape) -> dict[str, np.ndarray]:
    return {"y": np.arange(shape[-2]), "x": np.arange(shape[-1])}
