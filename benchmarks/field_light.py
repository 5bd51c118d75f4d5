"""How well does F know the flux of all stars, where host and dust are known?

    python -m benchmarks.field_light [--data ../shared/data/rt] [--noise 30] [--galaxies 22]

Galaxies of `dustpost simulate` (seed 77) or, with --data, of a folder of FITS with truth, three
views each, through HSC's PSFs at a peak S/N in r. S, D and delta are held at the truth, and F is
the best flux of the host's one spectrum ("template") or, with the colour field's light freed of
its dust (`dustpost.field_light`), that of all stars ("whole"): g-r of both less the true one, mean
and rms over views, in mag. No networks. Written to field_light.json beside this file.
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.exact_targets import machine
from dustpost.assemble import build_target
from dustpost.field_light import whole_flux
from dustpost.galaxy import Galaxy
from dustpost.io.cutout import Cutout
from dustpost.posterior import Target
from dustpost.priors.slope import MEAN, WALL
from dustpost.progress import bars
from dustpost.reproduce import trial
from dustpost.reproduce.fit import known
from dustpost.reproduce.score import COLOURS, colour
from dustpost.reproduce.sources import find_views
from dustpost.settings import Settings

RESULT = Path(__file__).with_suffix(".json")
SEED, VIEWS, DRAWS = 77, 3, 20
PAIR = COLOURS["g-r"]
STEEPEST = -1.5  # of delta, where the whole galaxy's is the scattering's more than the dust's


@jax.jit
def draw(key: jax.Array, target: Target, galaxy: Galaxy) -> jax.Array:
    """F of all stars, (draw, band)."""
    keys = jax.random.split(key, DRAWS)
    return jax.vmap(lambda one: whole_flux(one, target, galaxy, galaxy.estimate))(keys)


def errors(cutout: Cutout) -> tuple[float, float]:
    """g-r of the template and of all stars, less the true one, mag."""
    truth, target = known(cutout), build_target(cutout, Settings())
    slope = np.clip(truth.slope, STEEPEST, WALL) if np.isfinite(truth.slope) else MEAN
    place = (jnp.asarray(x, jnp.float32) for x in (truth.host, truth.transmission, slope))
    _, galaxy = target.explicit(*place)
    whole = draw(jax.random.key(SEED), target, galaxy)
    of_all = colour(truth.flux, truth.wavelength, PAIR)
    fluxes = np.asarray(galaxy.estimate)[None], np.asarray(whole)
    return tuple(float(np.mean(colour(f, truth.wavelength, PAIR)) - of_all) for f in fluxes)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--noise", type=float, default=30.0)
    parser.add_argument("--galaxies", type=int, default=22)
    options = parser.parse_args()
    views = find_views(options.data, options.galaxies, VIEWS, SEED)
    plan, found = trial.Plan(Path(), signal_to_noise=options.noise), []
    with bars() as progress:
        advance = progress("views", len(views))
        for view in views:
            found.append(errors(trial.look(view, "fiducial", plan)))
            advance(1)
    name = f"{options.data.resolve().name if options.data else 'own'}, S/N {options.noise:g}"
    table = np.array(found)
    numbers = zip(("template", "whole"), table.mean(axis=0), table.std(axis=0), strict=True)
    line = {
        kind: {"mean": round(float(mean), 4), "rms": round(float(np.hypot(mean, sd)), 4)}
        for kind, mean, sd in numbers
    } | {"views": len(views), "cpu": machine()["cpu"]}
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.write_text(json.dumps(kept | {name: line}, indent=1) + "\n")
    print(name, line)


if __name__ == "__main__":
    main()
