"""Figure 2: four galaxies over a range of attenuation and covering fraction.

fig2.png shows them on the paper's scale, fig2_absorbed.png has 1 - D on it, in which thin
dust is seen; fig2.ecsv says which they are.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table

from dustpost.io.folder import atomic_write
from dustpost.progress import Stage, quiet
from dustpost.reproduce.campaign import Result
from dustpost.reproduce.fit import Fit, Known, known
from dustpost.reproduce.sources import View

COVERING = (0.3, 0.55, 0.8, 0.95)  # covering fractions that the galaxies should be near to
LEAST = 0.05  # mag, of mean attenuation: fainter dust cannot be seen in a picture
VARIANT = "fiducial"


def choose(views: Sequence[View], progress: Stage = quiet) -> list[View]:
    """Views of different galaxies, each nearest to one of `COVERING`, by their truth.

    Parameters
    ----------
    views : sequence of View
    progress : callable
    """
    advance, truths = progress("truths", len(views)), []
    for view in views:
        truths.append(known(view.read(False)))
        advance(1)
    chosen: list[int] = []
    for wanted in COVERING:
        taken = {views[number].galaxy for number in chosen}
        free = [
            number
            for number, (view, truth) in enumerate(zip(views, truths, strict=True))
            if view.galaxy not in taken and truth.mean_attenuation > LEAST
        ]
        if free:
            away = [abs(float(truths[number].covering_fraction) - wanted) for number in free]
            chosen.append(free[int(np.argmin(away))])
    return [views[number] for number in chosen]


def write(out: Path, views: Sequence[View], fits: Result) -> list[Path]:
    """Write both pictures and their table; the files written."""
    from dustpost.plots.comparison import comparison_plot
    from dustpost.plots.style import save_png

    found = [(view.name, *fits[view.name, VARIANT]) for view in views]
    lines, written = [_line(*one) for one in found], []
    for name, absorbed in (("fig2.png", False), ("fig2_absorbed.png", True)):
        written.append(Path(out) / name)
        with atomic_write(written[-1]) as path:
            path.write_bytes(save_png(comparison_plot(lines, absorbed)))
    written.append(Path(out) / "fig2.ecsv")
    with atomic_write(written[-1]) as path:
        _table(found).write(path, format="ascii.ecsv")
    return written


def _line(name: str, truth: Known, best: Fit, posterior: Fit | None):
    from dustpost.plots.comparison import Galaxy, Spectrum

    answers = [best] if posterior is None else [best, posterior]
    spectra = [Spectrum(truth.wavelength, truth.flux, truth.attenuated_flux)]
    spectra += [
        Spectrum(truth.wavelength, one.flux.mean(axis=0), one.attenuated_flux) for one in answers
    ]
    numbers = [f"{float(one.mean_attenuation.mean()):.2f}" for one in answers]
    title = (
        f"{name}\ncovering {float(truth.covering_fraction):.2f}\n"
        f"mean A {float(truth.mean_attenuation):.2f} -> {', '.join(numbers)}"
    )
    return Galaxy(
        title,
        truth.host,
        truth.transmission,
        best.transmission,
        tuple(spectra),
        None if posterior is None else posterior.transmission,
        None if posterior is None else posterior.transmission_sd,
    )


def _table(found: list[tuple]) -> Table:
    rows = []
    for name, truth, best, posterior in found:
        draws = np.array([np.nan]) if posterior is None else posterior.mean_attenuation
        rows.append(
            dict(
                name=name,
                covering_fraction=float(truth.covering_fraction),
                mean_attenuation=float(truth.mean_attenuation),
                map=float(best.mean_attenuation[0]),
                map_correlation=float(best.correlation[0]),
                posterior_mean=float(draws.mean()),
                posterior_sd=float(draws.std()),
                rhat=np.nan if posterior is None else float(posterior.rhat),
            )
        )
    return Table(rows)
