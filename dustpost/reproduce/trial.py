"""One galaxy fitted: by the MAP, its posterior, or a peer. Every result is kept as it is done.

A result lies in DIR/fits/ under a name that holds all it depends on, the networks' sha256
among it: the same command resumes, and another one does not mistake old results for its own.
"""

import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dustpost import coordinates
from dustpost.assemble import USUAL, weights_of
from dustpost.diagnostics.summary import summarise
from dustpost.errors import DustpostError
from dustpost.io.cutout import Cutout
from dustpost.likelihood import expected_cube
from dustpost.reproduce import fit
from dustpost.reproduce.exposure import observe
from dustpost.reproduce.fit import Fit, Known
from dustpost.reproduce.pixels import fit_pixels
from dustpost.reproduce.sources import View, of_model
from dustpost.sample import sample_many
from dustpost.settings import PAPERS_MODEL, Settings
from dustpost.starts import find_map, map_target

FORMAT = 4  # of a kept result; raise it where their meaning changes (4: the peak is held tight)
VARIANTS = ("fiducial", "monochromatic")  # the paper's
MODEL = "model"  # one colour and one curve: what the fits assume
# what the MAP does not depend on
OF_DRAWS = ("sampler", "chains", "relax", "warmup", "draws", "ess", "keep", "leapfrog")
OF_DRAWS += ("prior_draws", "directions", "fine_structure", *PAPERS_MODEL)


@dataclass(frozen=True)
class Plan:
    """How views are seen and fitted.

    Attributes
    ----------
    folder : Path
        Of the kept results.
    settings : Settings
    signal_to_noise : float
        Of the brightest pixel in r.
    source : str
        What the views are of, for the names of results: a folder, or a seed.
    """

    folder: Path
    settings: Settings = field(default_factory=Settings)
    signal_to_noise: float = 100.0
    source: str = ""


def mark(plan: Plan, method: str) -> str:
    """Ten digits that change with all that a result depends on."""
    settings = asdict(plan.settings)
    if method == "map":
        settings = {name: v for name, v in settings.items() if name not in OF_DRAWS}
    seen = [FORMAT, plan.source, plan.signal_to_noise]
    if method in ("truth", "pixels"):
        task = [*seen, plan.settings.seed]
    else:
        task = [*seen, settings, USUAL, weights_of(plan.settings)]
    return sha256(json.dumps(task, sort_keys=True).encode()).hexdigest()[:10]


def look(view: View, variant: str, plan: Plan) -> Cutout:
    """The cutout of a view as it will be fitted, with its truth."""
    cutout = view.read(variant == "monochromatic")
    if variant == MODEL:
        cutout = of_model(cutout)
    return observe(cutout, plan.signal_to_noise, plan.settings.seed)


def place(view: View, variant: str, plan: Plan, method: str) -> Path:
    """Where the result of a method lies."""
    return plan.folder / f"{view.name}_{variant}_{method}_{mark(plan, method)}.npz"


def keep(view: View, variant: str, plan: Plan, method: str) -> Known | Fit:
    """Result of a method of `ALONE`: read where it is kept, else made and kept."""
    at = place(view, variant, plan, method)
    if not at.exists():
        fit.write(at, ALONE[method](look(view, variant, plan), plan))
    return fit.load(at, Known if method == "truth" else Fit)


def keep_posteriors(views: Sequence[View], variant: str, plan: Plan) -> list[DustpostError]:
    """Sample those views whose posterior is not kept yet, side by side; what went wrong."""
    views = [view for view in views if not place(view, variant, plan, "posterior").exists()]
    if not views:
        return []
    cutouts = [look(view, variant, plan) for view in views]
    found = fit_posteriors(cutouts, plan)
    for view, one in zip(views, found, strict=True):
        if isinstance(one, Fit):
            fit.write(place(view, variant, plan, "posterior"), one)
    return [one for one in found if isinstance(one, DustpostError)]


def kept(view: View, variant: str, plan: Plan, method: str) -> Fit | None:
    """The result of a method, None where it is not there."""
    at = place(view, variant, plan, method)
    return fit.load(at, Fit) if at.exists() else None


def fit_map(cutout: Cutout, plan: Plan) -> Fit:
    """The maximum a posteriori as a fit of one draw."""
    begin = time.perf_counter()
    target = map_target(cutout, plan.settings)
    best = find_map(target)
    galaxy, seconds = jax.device_get(best.galaxy), time.perf_counter() - begin
    host, transmission = np.asarray(galaxy.host, float), np.asarray(galaxy.transmission, float)
    depth = np.asarray(coordinates.attenuation(galaxy.transmission, target.k_pivot), float)
    covered = depth > plan.settings.covering_threshold
    model = np.asarray(expected_cube(target.behind(galaxy), galaxy.templates, galaxy.estimate))
    return Fit(
        flux=np.asarray(galaxy.estimate, float)[None],
        attenuated_flux=model.sum(axis=(1, 2), dtype=float),
        slope=np.asarray(best.position.slope, float)[None],
        mean_attenuation=np.array([(host * depth).sum()]),
        covering_fraction=np.array([(host * covered).sum()]),
        transmission=10 ** (-0.4 * depth),
        transmission_sd=np.zeros_like(transmission),
        attenuation=depth,
        host=host,
        **fit.map_scores(depth[None], fit.known(cutout)),
        chi2=_chi2(cutout, model),
        rhat=np.asarray(np.nan),
        ess=np.asarray(np.nan),
        seconds=np.asarray(seconds),
    )


def fit_posteriors(cutouts: Sequence[Cutout], plan: Plan) -> list[Fit | DustpostError]:
    """Posteriors of cutouts of one shape; an error in the place of one that failed."""
    begin = time.perf_counter()
    # a galaxy's draws depend on its name, not on those beside it
    numbers = jnp.array([zlib.crc32(cutout.stem.encode()) for cutout in cutouts], jnp.uint32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(plan.settings.seed), numbers)
    trees = sample_many(keys, list(cutouts), plan.settings)
    seconds = (time.perf_counter() - begin) / len(cutouts)
    return [
        tree if isinstance(tree, DustpostError) else condense(tree, cutout, seconds)
        for tree, cutout in zip(trees, cutouts, strict=True)
    ]


def condense(tree: xr.DataTree, cutout: Cutout, seconds: float) -> Fit:
    """What is scored of a posterior.

    Parameters
    ----------
    tree : xarray.DataTree
        As `dustpost.sample.sample` gives it.
    cutout : Cutout
        As it was seen, its `ivar` without model error.
    seconds : float
    """
    posterior, maps = tree["posterior"], tree["posterior_maps"]
    scale = float(tree["constant_data"]["k_reference"])
    drawn = maps["D"].values.reshape(-1, *maps["D"].shape[-2:])
    depth = scale * fit.attenuation(drawn)
    rows, model = summarise(tree), tree["maps"]["model_mean"].values
    names = ("delta", "mean_attenuation", "covering_fraction")
    flat = {name: posterior[name].values.ravel().astype(float) for name in names}
    return Fit(
        flux=posterior["F"].values.reshape(-1, len(cutout.bands)).astype(float),
        attenuated_flux=model.sum(axis=(1, 2), dtype=float),
        slope=flat["delta"],
        mean_attenuation=flat["mean_attenuation"],
        covering_fraction=flat["covering_fraction"],
        transmission=(10 ** (-0.4 * depth)).mean(axis=0),
        transmission_sd=(10 ** (-0.4 * depth)).std(axis=0, ddof=1),
        attenuation=depth.mean(axis=0),
        host=tree["maps"]["S_mean"].values.astype(float),
        **fit.map_scores(depth, fit.known(cutout)),
        chi2=_chi2(cutout, model),
        rhat=np.asarray(max(row.rhat for row in rows)),
        ess=np.asarray(min(row.ess_bulk for row in rows)),
        seconds=np.asarray(seconds),
    )


# methods that fit one galaxy at a time: (cutout, plan) -> result
ALONE = {
    "truth": lambda cutout, plan: fit.known(cutout),
    "map": fit_map,
    "pixels": lambda cutout, plan: fit_pixels(cutout, plan.settings.seed),
}


def _chi2(cutout: Cutout, model: np.ndarray) -> np.ndarray:
    seen = cutout.ivar > 0
    return np.asarray(((cutout.data - model)[seen] ** 2 * cutout.ivar[seen]).mean())
