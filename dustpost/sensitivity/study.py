"""Prior sensitivity of one fit: choice after choice, then the table and the figure.

The fit itself is `posterior.nc` of `dustpost sample` in the same folder, drawn if it is not
there. Its draws are weighed for each choice (`reweigh`), or the choice is drawn anew
(`draw`) and kept in the folder `sensitivity`, under a name that holds all it depends on.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from astropy.table import Table

from dustpost.assemble import build_target
from dustpost.errors import DustpostError
from dustpost.findings import Finding
from dustpost.io.cutout import Cutout
from dustpost.io.folder import atomic_write, prepare_output
from dustpost.io.netcdf import open_posterior, write_posterior
from dustpost.outputs import write_outputs
from dustpost.posterior import Target
from dustpost.progress import Stage, quiet
from dustpost.results import settings_of
from dustpost.sample import sample
from dustpost.sensitivity.choices import Choice, choices, under
from dustpost.sensitivity.draw import draw
from dustpost.sensitivity.numbers import COLUMNS, compare, numbers
from dustpost.sensitivity.reweigh import Weights, pixel_bound, weights
from dustpost.settings import Settings

TABLE, FIGURE, FOLDER = "sensitivity.ecsv", "sensitivity.png", "sensitivity"
FORMAT = 3  # of a kept posterior; raise it where its meaning changes
REDRAW = ("none", "untrusted", "all")


def study(
    folder: Path,
    cutout: Cutout,
    findings: Sequence[Finding],
    settings: Settings,
    redraw: str,
    progress: Stage = quiet,
) -> Table:
    """Try all choices on one galaxy; write sensitivity.ecsv and sensitivity.png.

    Parameters
    ----------
    folder : Path
        Of the galaxy, as `dustpost sample` fills it; the same one resumes.
    cutout : Cutout
    findings : sequence of Finding
        What the checks at the door said, for the report of the fit.
    settings : Settings
    redraw : {"none", "untrusted", "all"}
        Which choices to draw anew: none, those that the weights do not reach, or all.
    progress : callable

    Returns
    -------
    Table
        As written.

    Raises
    ------
    DustpostError
        If posterior.nc is of other data or of another prior of F, or as `sample`.
    """
    if redraw not in REDRAW:
        raise DustpostError(f"--redraw {redraw}: expected {', '.join(REDRAW)}")
    tree = fitted(folder, cutout, findings, settings, progress)
    target = build_target(cutout, settings)
    colours = build_target(cutout, replace(settings, flux_prior="colours")).flux_prior
    table, base = [], None
    for number, choice in enumerate(choices(settings.flux_prior)):
        other = under(choice, target, colours)
        found = weights(tree, target, other)
        anew = redraw == "all" or (redraw == "untrusted" and not found.trusted)
        if number and anew:
            one = _kept(folder, cutout, other, choice, settings, progress)
            rows = of_drawn(one, other)
        else:
            rows = of_weighed(tree, other, found, "weighed" if number else "drawn")
        base = rows if base is None else base
        table += [dict(choice=choice.name) | row for row in compare(rows, base)]
    return write(folder, table, settings_of(tree))


def fitted(
    folder: Path,
    cutout: Cutout,
    findings: Sequence[Finding],
    settings: Settings,
    progress: Stage = quiet,
) -> xr.DataTree:
    """The fit itself: read from its folder, or drawn into it with all its files."""
    path = folder / "posterior.nc"
    if not path.exists():
        tree = sample(jax.random.key(settings.seed), cutout, settings, progress)
        write_outputs(folder, tree, cutout, findings)
        return tree
    tree = open_posterior(path)
    data = tree["observed_data"]["data"].values
    if data.shape != cutout.data.shape or not np.array_equal(data, cutout.data, equal_nan=True):
        raise DustpostError(
            f"{path}: drawn for other data than {cutout.source}; give another folder with --out"
        )
    was = settings_of(tree).get("flux_prior")
    if was != settings.flux_prior:
        raise DustpostError(
            f"{path}: drawn with flux_prior = {was!r}, now {settings.flux_prior!r} is asked for; "
            "give the same options, or another folder with --out"
        )
    return tree


def of_weighed(tree: xr.DataTree, other: Target, found: Weights, how: str) -> list[dict]:
    """Rows of a choice from the draws of the fit; all nan where a ratio is not finite."""
    known = np.isfinite(found.value).all()
    value = found.value if known else np.ones(found.value.shape)
    if how == "drawn":  # the fit's own numbers, bounds included
        bounds = {
            name: float(tree["degeneracy"][name]) for name in ("fisher_sd", "fisher_sd_pixels")
        }
    else:
        bounds = {"fisher_sd_pixels": pixel_bound(tree, other, value)}
    rows = numbers(tree, value, _slope_sd(other), bounds)
    about = dict(how=how, pareto_k=found.pareto_k, effective=found.effective)
    rows = [about | row for row in rows]
    if not known:
        rows = [
            {k: np.nan if k != "pareto_k" and isinstance(v, float) else v for k, v in row.items()}
            for row in rows
        ]
    return rows


def of_drawn(tree: xr.DataTree, other: Target) -> list[dict]:
    """Rows of a choice that was drawn under its own priors."""
    return of_weighed(tree, other, weights(tree, other, other), "drawn")


def _slope_sd(target: Target) -> float:
    return float(target.slope_prior.variance) ** 0.5


def _kept(
    folder: Path,
    cutout: Cutout,
    target: Target,
    choice: Choice,
    settings: Settings,
    progress: Stage,
) -> xr.DataTree:
    """The posterior of a choice: read if it is there, else drawn and written."""
    task = [FORMAT, choice._asdict(), asdict(settings), cutout.source.name]
    mark = sha256(json.dumps(task, sort_keys=True).encode() + cutout.data.tobytes()).hexdigest()
    path = prepare_output(folder / FOLDER) / f"{choice.name}_{mark[:10]}.nc"
    if not path.exists():
        key = jax.random.key(settings.seed)

        def stage(name, total):
            return progress(f"{choice.name}: {name}", total)

        words = {"tight": "colours, twice as tight"}.get(choice.flux, choice.flux)
        write_posterior(path, draw(key, cutout, target, settings, words, stage))
    return open_posterior(path)


def write(folder: Path, rows: list[dict], settings: dict) -> Table:
    """Write the table and its figure."""
    from dustpost.plots.sensitivity import sensitivity_plot
    from dustpost.plots.style import save_png

    table = Table(rows)[list(COLUMNS)]
    for name, about in COLUMNS.items():
        table[name].description = about
    table.meta = settings
    with atomic_write(folder / TABLE) as path:
        table.write(path, format="ascii.ecsv")
    with atomic_write(folder / FIGURE) as path:
        path.write_bytes(save_png(sensitivity_plot(table)))
    return table
