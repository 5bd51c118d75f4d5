"""The ladder: rung after rung, each kept as it is done; then the table, the cliff, the figure.

Work that was done is not done again: a rung lies in DIR/rungs/ under a name that holds all
it depends on. The analytic ladder begins at a tenth: with no dust behind a mask that the prior
knows there is nothing to infer, prior and posterior sd are both 0. The networks' begins at
no dust, which their prior does not know.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from astropy.table import Table

from dustpost.assemble import USUAL, weights_of
from dustpost.errors import DustpostError
from dustpost.io.folder import atomic_write, prepare_output
from dustpost.ladder import analytic, network
from dustpost.progress import Stage, quiet
from dustpost.settings import CHOICES, PAPERS_MODEL, Settings

TABLE, CLIFF, FIGURE = "degeneracy.ecsv", "cliff.ecsv", "degeneracy.png"
FORMAT = 4  # of a kept rung; raise it where their meaning changes
RUNGS = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 1.0)
SMALL_RUNGS = (0.2, 0.5, 0.8, 0.9, 1.0)
DEPTHS = (0.1, 0.2, 0.4)  # mag
LEVELS = (10.0, 30.0, 100.0, 300.0)  # S/N at which the cliff is looked for

COLUMNS = {
    "covering_fraction": "share of the light behind dust",
    "depth": "mean attenuation that the rungs share, mag",
    "signal_to_noise": "of the brightest pixel without dust",
    "galaxies": "galaxies behind the row",
    "mean_attenuation": "their true light-weighted mean A at 0.4754 micron, mag",
    "posterior_sd": "posterior sd of mean A, mean over galaxies, mag",
    "prior_sd": "prior sd of mean A, mag",
    "contraction": "posterior_sd / prior_sd; 1 where the data say nothing",
    "bias": "mean of posterior mean - truth, mag",
    "bias_error": "standard error of bias, mag; nan for one galaxy",
    "coverage68": "share of galaxies whose truth lies between 16 and 84 %",
    "fisher_sd": "Fisher bound of the sd, spatial priors included, mag",
    "fisher_sd_pixels": "Fisher bound with S and D free in every pixel, mag",
    "map_bias": "mean of MAP - truth, mag",
    "map_rms": "rms of MAP - truth, mag",
    "laplace_sd": "sd by Laplace at the MAP, mean over galaxies, mag; nan where it has none",
    "map_coverage68": "share of galaxies whose truth lies within laplace_sd of the MAP",
    "rhat": "median R-hat of mean A",
    "ess_bulk": "median bulk ESS of mean A",
}


@dataclass(frozen=True)
class Plan:
    """What a ladder is made of.

    Attributes
    ----------
    prior : {"analytic", "networks"}
        The exact world of `ladder.world`, or `sample` on simulated galaxies.
    fractions, depths : tuple of float
        Rungs, and mean attenuations in mag.
    galaxies : int
        Of each rung and depth.
    draws : int
        Of each chain.
    signal_to_noise : float
        Of the brightest pixel.
    flux_prior : {"flat", "colours"}
    seed : int
        The same for all rungs: they differ in their dust alone.
    settings : Settings, optional
        Of the fits with networks.
    """

    prior: str
    fractions: tuple[float, ...]
    depths: tuple[float, ...]
    galaxies: int
    draws: int
    signal_to_noise: float
    flux_prior: str
    seed: int
    settings: Settings | None = None

    def task(self, fraction: float, depth: float) -> dict:
        """All that one rung depends on."""
        names = ("signal_to_noise", "flux_prior", "galaxies", "draws", "seed")
        task = dict(fraction=fraction, depth=depth) | {n: getattr(self, n) for n in names}
        return task if self.settings is None else task | {"settings": self.settings}


def plan_of(
    prior: str,
    small: bool,
    galaxies: int | None,
    flux_prior: str | None,
    signal_to_noise: float,
    seed: int,
    settings: Settings,
    depths: tuple[float, ...] = (),
    fractions: tuple[float, ...] = (),
) -> Plan:
    """The ladder of the command line; `depths`, `fractions` are the usual ones where none is given.

    Raises
    ------
    DustpostError
        For a prior, a prior of F, an S/N, a depth or a fraction that there is not.
    """
    if prior not in ("analytic", "networks"):
        raise DustpostError(f"--prior {prior}: expected analytic or networks")
    if flux_prior not in (None, *CHOICES["flux_prior"]):
        raise DustpostError(f"--flux-prior {flux_prior}: expected flat or colours")
    if not 0 < signal_to_noise < np.inf:
        raise DustpostError(f"--signal-to-noise {signal_to_noise}: expected a positive number")
    for depth in depths:
        if not 0 < depth < np.inf:
            raise DustpostError(f"--depth {depth}: expected a positive number")
    for fraction in fractions:
        if not (0 < fraction <= 1 or (fraction == 0 and prior == "networks")):
            least = "from 0" if prior == "networks" else "above 0"
            raise DustpostError(f"--fraction {fraction}: expected a number {least} to 1")
    fractions = tuple(sorted(fractions))
    common = dict(prior=prior, signal_to_noise=signal_to_noise, seed=seed)
    if prior == "analytic":
        return Plan(
            fractions=fractions or (SMALL_RUNGS if small else RUNGS),
            depths=depths or DEPTHS,
            galaxies=galaxies or (24 if small else 120),
            draws=100 if small else 200,
            flux_prior=flux_prior or "flat",
            **common,
        )
    # its galaxies are the model's
    flux_prior = flux_prior or settings.flux_prior
    settings = replace(settings, flux_prior=flux_prior, **PAPERS_MODEL)
    if small:
        settings = replace(settings, chains=2, relax=100, warmup=20, draws=40)
    return Plan(
        fractions=fractions or ((0.0, 0.5, 1.0) if small else (0.0, *RUNGS)),
        depths=depths or (DEPTHS[1:2] if small else DEPTHS),
        galaxies=galaxies or 1,
        draws=settings.draws,
        flux_prior=settings.flux_prior,
        settings=settings,
        **common,
    )


def study(out: Path, plan: Plan, small: bool, progress: Stage = quiet) -> list[Path]:
    """Climb the ladder and write what was found.

    Parameters
    ----------
    out : Path
        Folder; the same one resumes.
    plan : Plan
    small : bool
        Look for the cliff on a coarser grid.
    progress : callable

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    DustpostError
        If the folder cannot be written.
    """
    table, cliff = climb(out, plan, progress), None
    if plan.prior == "analytic":
        fractions = np.linspace(0.3, 1.0, 8 if small else 29)
        bounds = partial(analytic.bounds, flux_prior=plan.flux_prior)
        cliff = find_cliff(bounds, plan.depths, LEVELS, fractions, progress)
    return write(out, table, cliff)


def climb(out: Path, plan: Plan, progress: Stage = quiet) -> Table:
    """Measure all rungs that are not kept yet, and make the table, one row a rung and depth."""
    folder = prepare_output(Path(out) / "rungs")
    # without dust there is one depth
    rungs = [(d, f) for d in plan.depths for f in plan.fractions if f > 0 or d == plan.depths[0]]
    advance, rows = progress("rungs", len(rungs)), []
    for depth, fraction in rungs:
        row = _kept(folder, plan, fraction, depth)
        rows.append({name: row.get(name, np.nan) for name in COLUMNS})
        advance(1, f"contraction {row['contraction']:.2f}")
    table = Table(rows)[list(COLUMNS)]
    for name, about in COLUMNS.items():
        table[name].description = about
    words = ("prior", "signal_to_noise", "flux_prior", "galaxies", "draws", "seed")
    table.meta = {name: getattr(plan, name) for name in words}
    return table


def _kept(folder: Path, plan: Plan, fraction: float, depth: float) -> dict[str, float]:
    """One row: read if it is there, else measured and written."""
    task = plan.task(fraction, depth)
    plain = {k: asdict(v) if k == "settings" else v for k, v in task.items()}
    networks = (USUAL, weights_of(plan.settings)) if plan.settings else None
    mark = sha256(json.dumps([FORMAT, plain, networks], sort_keys=True).encode()).hexdigest()[:10]
    path = folder / f"{plan.prior}_{depth:g}_{fraction:g}_{mark}.json"
    if not path.exists():
        measure = analytic.measure if plan.prior == "analytic" else network.measure
        row = measure(**task)
        with atomic_write(path) as partial_path:
            partial_path.write_text(json.dumps(row, indent=1))
    return json.loads(path.read_text())


def write(out: Path, table: Table, cliff: Table | None) -> list[Path]:
    """Write the tables and the figure."""
    from dustpost.plots.ladder import ladder_plot
    from dustpost.plots.style import save_png

    out = Path(out)
    written = [out / TABLE, out / FIGURE]
    with atomic_write(written[0]) as path:
        table.write(path, format="ascii.ecsv")
    with atomic_write(written[1]) as path:
        path.write_bytes(save_png(ladder_plot(table, cliff)))
    if cliff is not None:
        written.append(out / CLIFF)
        with atomic_write(written[-1]) as path:
            cliff.write(path, format="ascii.ecsv")
    return written


def find_cliff(
    bounds: Callable[[float, float, float], tuple[float, float]],
    depths: tuple[float, ...],
    levels: tuple[float, ...],
    fractions: np.ndarray,
    progress: Stage = quiet,
) -> Table:
    """Covering fraction at which half of the best contraction is lost again, by S/N.

    Nothing is known of a screen that covers all, so every curve ends at 1; the cliff is
    where it has come halfway from its lowest point.

    Parameters
    ----------
    bounds : callable
        (fraction, depth, signal_to_noise) -> (Fisher bound, prior sd), mag.
    depths, levels : tuple of float
        Mean attenuations in mag; S/N of the brightest pixel.
    fractions : ndarray
        Rising, where to look.

    Returns
    -------
    Table
        depth, signal_to_noise, covering_fraction, and the contraction by Fisher's bound
        there and at its lowest.
    """
    advance = progress("cliff", len(depths) * len(levels) * len(fractions))
    rows = []
    for depth in depths:
        for level in levels:
            ratio = []
            for fraction in fractions:
                bound, prior = bounds(float(fraction), depth, level)
                ratio.append(bound / prior)
                advance(1)
            half = (min(ratio) + 1) / 2
            at = crossing(fractions, np.array(ratio), half)
            rows.append((depth, level, at, half, min(ratio)))
    names = ("depth", "signal_to_noise", "covering_fraction", "contraction", "lowest_contraction")
    return Table(rows=rows, names=names)


def crossing(fractions: np.ndarray, ratio: np.ndarray, level: float) -> float:
    """The last fraction at which `ratio` rises through `level`, linear in between."""
    below = np.flatnonzero((ratio[:-1] < level) & (ratio[1:] >= level))
    if not below.size:
        return np.nan
    i = below[-1]
    part = (level - ratio[i]) / (ratio[i + 1] - ratio[i])
    return float(fractions[i] + part * (fractions[i + 1] - fractions[i]))
