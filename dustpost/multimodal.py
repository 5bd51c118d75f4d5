"""How many solutions a galaxy has, and the weight of each: `dustpost modes`.

Likelihood-tempered sequential Monte Carlo (`dustpost.samplers.tempered`) from the prior, more
than once: modes of log_screen (`dustpost.diagnostics.modes`), for each its weight, mean A,
delta and fluxes, so that dust-poor and red can be told from dusty and blue. Weights are
trusted as far as the runs agree.
"""

from pathlib import Path

import jax
import numpy as np
from astropy.table import Table
from jax import Array

from dustpost import coordinates
from dustpost.diagnostics.modes import modes
from dustpost.io.folder import atomic_write
from dustpost.posterior import Target
from dustpost.progress import Stage, quiet
from dustpost.samplers import tempered
from dustpost.samplers.choice import SAMPLERS

TABLE = "modes.ecsv"
SWEEPS, LAST = 3, 3  # at each power, and times as many more at the end
AGREE = 0.05  # spread of the weights over runs
LEAST_ANCESTORS = 20
COLUMNS = {
    "run": "of likelihood-tempered SMC, each with particles of its own",
    "mode": "in rising order of log_screen: the dustiest first",
    "weight": "share of the posterior",
    "weight_error": "its sd from the number of particles alone",
    "ancestors": "draws of the prior that have descendants in the run; of few, modes may be lost",
    "log_screen": "mean ln D in the mode",
    "mean_attenuation": "mean A at 0.4754 micron in the mode, mag",
    "delta": "mean slope in the mode",
    "colour": "ln F of the bluest band less that of the reddest, mean in the mode",
}


def count(
    key: Array,
    target: Target,
    particles: int,
    runs: int,
    leapfrog: int,
    progress: Stage = quiet,
) -> Table:
    """Find the modes of one posterior, run after run.

    Parameters
    ----------
    key : Array
        Random key.
    target : Target
    particles, runs : int
        Particles of each run.
    leapfrog : int
        Steps of a sweep.
    progress : callable

    Returns
    -------
    Table
        One row a run and mode, see `COLUMNS`.
    """
    rows = []
    for number, one in enumerate(jax.random.split(key, runs)):
        prior_key, run_key = jax.random.split(one)
        start = tempered.draw_prior(prior_key, target, particles)
        advance = progress(f"run {number + 1} of {runs}", 100)
        cloud = tempered.run(
            run_key, start, target, SAMPLERS["gibbs"], SWEEPS, leapfrog, LAST, advance
        )
        rows += _of_cloud(number, target, cloud)
    table = Table(rows)[list(COLUMNS)]
    for name, about in COLUMNS.items():
        table[name].description = about
    table.meta = dict(particles=particles, runs=runs, agree=agree(table))
    return table


def _of_cloud(number: int, target: Target, cloud: tempered.Cloud) -> list[dict]:
    state, wavelength = cloud.states, np.asarray(target.observation.wavelength).mean(axis=1)
    screen = jax.vmap(coordinates.log_screen)(state.galaxy.host, state.galaxy.transmission)
    screen, slope = np.asarray(screen, float), np.asarray(state.position.slope, float)
    log_flux = np.log(np.asarray(state.flux.value, float))
    colour = log_flux[:, np.argmin(wavelength)] - log_flux[:, np.argmax(wavelength)]
    dust = jax.vmap(lambda s, d: coordinates.mean_attenuation(s, d, target.k_pivot))(
        state.galaxy.host, state.galaxy.transmission
    )
    found = modes(screen)
    member = np.digitize(screen, (found.centre[1:] + found.centre[:-1]) / 2)
    rows = []
    for mode, weight in enumerate(found.weight):
        own = member == mode
        numbers = dict(log_screen=screen, mean_attenuation=dust, delta=slope, colour=colour)
        rows.append(
            dict(run=number, mode=mode, weight=weight)
            | dict(weight_error=(weight * (1 - weight) / screen.size) ** 0.5)
            | dict(ancestors=cloud.ancestors)
            | {name: float(np.asarray(values)[own].mean()) for name, values in numbers.items()}
        )
    return rows


def agree(table: Table) -> bool:
    """Whether all runs have as many modes, of like weights to within `AGREE`."""
    weights = [list(table["weight"][table["run"] == run]) for run in np.unique(table["run"])]
    if len({len(one) for one in weights}) > 1:
        return False
    return bool(np.ptp(weights, axis=0).max() <= AGREE)


def sentence(table: Table) -> str:
    """What was found, in plain words."""
    fewest = int(np.min(table["ancestors"]))
    if fewest < LEAST_ANCESTORS:
        return (
            f"Not known: a run came down to descendants of {fewest} draws of the prior, so that "
            "other modes may have been lost; take more particles."
        )
    numbers = sorted({int((table["run"] == run).sum()) for run in np.unique(table["run"])})
    if len(numbers) > 1:
        return f"The runs find {' or '.join(map(str, numbers))} modes: take more particles."
    if numbers == [1]:
        return "There is one mode: no second solution behind another amount of dust."
    parts = []
    for mode in range(numbers[0]):
        rows = table[table["mode"] == mode]
        mean, weight = np.mean(rows["mean_attenuation"]), np.mean(rows["weight"])
        parts.append(f"mean A {mean:.2g} mag, colour {np.mean(rows['colour']):+.2g} ({weight:.0%})")
    text = f"There are {numbers[0]} modes: {'; '.join(parts)}"
    if not table.meta["agree"]:
        text += f"; their weights differ by more than {AGREE} between runs: take more particles"
    return text + "."


def write(folder: Path, table: Table) -> Path:
    """Write modes.ecsv."""
    with atomic_write(Path(folder) / TABLE) as path:
        table.write(path, format="ascii.ecsv")
    return Path(folder) / TABLE
