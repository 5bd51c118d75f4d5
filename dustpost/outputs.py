"""The four files of a galaxy, and the one of its MAP."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from dustpost import coordinates
from dustpost.diagnostics.summary import Row, summarise
from dustpost.findings import Finding
from dustpost.io.cutout import Cutout
from dustpost.io.dustmap import write_dustmap
from dustpost.io.netcdf import write_posterior
from dustpost.io.summary import write_summary
from dustpost.likelihood import expected_cube
from dustpost.posterior import Target
from dustpost.report import write_report
from dustpost.results import dustmap_images, settings_of
from dustpost.samplers.map import Result

HEADER = {
    "SAMPLER": "sampler",
    "TARGET": "target",
    "CROSSTRM": "cross_term",
    "CURVE": "curve",
    "NORM": "norm",
    "HOSTPRIO": "host_prior",
    "DUSTSHA": "dust_checkpoint_sha256",
    "SIGDUST": "sigma_dust",
    "THOST": "t_host",
    "NOISEINF": "noise_inflation",
    "MODELERR": "model_error",
    "COLFIELD": "colour_field",
    "GRAIN": "grain",
    "COVTHRES": "covering_threshold",
    "REDSHIFT": "redshift",
    "EBV": "ebv",
    "SEED": "seed",
}


def write_outputs(
    folder: Path,
    tree: xr.DataTree,
    cutout: Cutout,
    findings: Sequence[Finding],
    report: bool = True,
) -> list[Row]:
    """Write posterior.nc, dustmap.fits, summary.ecsv and report.html.

    Parameters
    ----------
    folder : Path
        Must exist and be writable (`io.folder.prepare_output`).
    tree : xarray.DataTree
    cutout : Cutout
    findings : sequence of Finding
        What the checks at the door said.
    report : bool
        Whether report.html is written, which takes longer than the others together.

    Returns
    -------
    list of Row
        One per scalar, as in summary.ecsv.
    """
    rows = summarise(tree)
    settings = settings_of(tree)
    columns = {name: [getattr(row, name) for row in rows] for name in Row._fields}
    write_posterior(folder / "posterior.nc", tree)
    write_dustmap(folder / "dustmap.fits", dustmap_images(tree), cutout, columns, _header(settings))
    write_summary(folder / "summary.ecsv", rows, tree)
    if report:
        write_report(folder / "report.html", tree, cutout, findings, rows)
    return rows


def write_map(
    folder: Path, target: Target, best: Result, cutout: Cutout, settings: dict[str, object]
) -> None:
    """Write dustmap.fits of the MAP: A_MAP, TRANS_MAP, HOST_MAP, RESID, PARAMS."""
    galaxy = best.galaxy
    flux = np.asarray(galaxy.estimate)
    model = expected_cube(target.behind(galaxy), galaxy.templates, galaxy.estimate)
    k_pivot = target.k_pivot
    images = {
        "A_MAP": (coordinates.attenuation(galaxy.transmission, k_pivot), "mag"),
        "TRANS_MAP": (galaxy.transmission, ""),
        "HOST_MAP": (galaxy.host, ""),
        "RESID": (np.where(cutout.ivar > 0, cutout.data - model, np.nan), cutout.unit),
    }
    scalars = {
        "delta": (best.position.slope, ""),
        "mean_attenuation": (
            coordinates.mean_attenuation(galaxy.host, galaxy.transmission, k_pivot),
            "mag",
        ),
        "covering_fraction": (
            coordinates.covering_fraction(
                galaxy.host, galaxy.transmission, k_pivot, target.covering_threshold
            ),
            "",
        ),
        "log_screen": (coordinates.log_screen(galaxy.host, galaxy.transmission), ""),
    }
    columns = {
        "name": ["F"] * flux.size + list(scalars),
        "band": [*cutout.bands] + [""] * len(scalars),
        "value": [*flux.tolist()] + [float(value) for value, _ in scalars.values()],
        "unit": [cutout.unit] * flux.size + [unit for _, unit in scalars.values()],
    }
    header = _header(settings) | {"CONVERGD": best.converged, "NITER": best.iterations}
    header["SAMPLER"] = "map"
    write_dustmap(folder / "dustmap.fits", images, cutout, columns, header)


def _header(settings: dict[str, object]) -> dict[str, object]:
    return {key: settings[name] for key, name in HEADER.items()}
