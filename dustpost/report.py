"""report.html: one page that says what the draws of a galaxy mean and what they are worth.

Self-contained: figures are inline PNGs, styles are inline, no script, nothing is fetched.
The verdict comes first and in words, above all where the chains have not converged.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np
import xarray as xr

from dustpost.assumptions import assumptions
from dustpost.diagnostics import convergence, degeneracy
from dustpost.diagnostics import fit as fitting
from dustpost.diagnostics.summary import Row, summarise
from dustpost.findings import LEVELS, Finding
from dustpost.io.cutout import Cutout
from dustpost.io.folder import atomic_write
from dustpost.results import REFERENCE_WAVELENGTH, settings_of
from dustpost.verdict import number, tiles, verdict

CUTOUT_NOTE = "Bands keep their own PSFs, which alone can colour a core or a star."
MAPS_NOTE = (
    "Pixel by pixel over the kept draws; a quantile map is not one galaxy, since pixels vary "
    "together, most of all along a uniform screen."
)
SCREEN_NOTE = (
    "log screen is the light-weighted mean of ln D. The likelihood cannot see a uniform screen, "
    "so the width along the dotted line is set by the priors and by light that is free of dust."
)


def write_report(
    path: Path,
    tree: xr.DataTree,
    cutout: Cutout,
    input_findings: Sequence[Finding] = (),
    rows: Sequence[Row] | None = None,
) -> None:
    """Write `report.html`.

    Parameters
    ----------
    path : Path
    tree : xarray.DataTree
        As `results.to_tree` gives it.
    cutout : Cutout
        The cutout that was sampled.
    input_findings : sequence of Finding
        What the checks at the door said of the cutout.
    rows : sequence of Row, optional
        `summarise(tree)`, where it is at hand.
    """
    rows = summarise(tree) if rows is None else list(rows)
    found = fitting.fit(tree)
    mixing = convergence.check(tree, rows)
    misfit = fitting.check(found)
    said = verdict(tree, rows, mixing, misfit, input_findings)
    page = "\n".join(
        [
            _head(cutout),
            _verdict(said),
            _tiles(tiles(tree, rows, found), said[0]),
            *_figures(tree, cutout, rows, found),
            _numbers(rows),
            _degeneracy(tree),
            _acceptances(tree),
            _findings(input_findings, mixing, misfit),
            _assumed(tree, cutout),
            "</main></body></html>",
        ]
    )
    with atomic_write(Path(path)) as partial:
        partial.write_text(page, encoding="utf-8")


def _head(cutout: Cutout) -> str:
    style = resources.files("dustpost").joinpath("report.css").read_text(encoding="utf-8")
    bands, height, width = cutout.data.shape
    names = ", ".join(cutout.bands)
    about = f"{cutout.source.name}: {bands} bands ({names}), {width} x {height} pixels"
    if any(cutout.padding):
        about += f", of which {sum(cutout.padding)} rows and columns are padding without weight"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dust of {escape(cutout.stem)}</title><style>
{style}</style></head><body><main>
<h1>The dust of {escape(cutout.stem)}</h1>
<p class="sub">{escape(about)}. Posterior draws of dust, host and spectrum by dustpost.</p>"""


def _verdict(said: tuple[str, str, list[str]]) -> str:
    kind, headline, sentences = said
    body = "".join(f"<li>{escape(s)}</li>" for s in sentences)
    return (
        f'<div class="verdict {kind}" role="status"><strong>{escape(headline)}</strong>'
        f"<ul>{body}</ul></div>"
    )


def _tiles(entries: Iterable[tuple[str, str, str]], kind: str) -> str:
    cells = (
        f'<div class="tile"><span>{escape(what)}</span><b>{escape(value)}</b>'
        f"<span>{escape(note)}</span></div>"
        for what, value, note in entries
    )
    doubt = "<p class='note'>From draws that do not agree:</p>" if kind == "bad" else ""
    return f'{doubt}<div class="tiles {kind}-numbers">{"".join(cells)}</div>'


def _figures(tree: xr.DataTree, cutout: Cutout, rows: list[Row], found: fitting.Fit) -> list[str]:
    from dustpost import plots  # loads matplotlib, which only a report needs

    parts = [
        ("The cutout", plots.cutout_plot(cutout), _sentences((CUTOUT_NOTE, *cutout.notes))),
        (
            "Dust and host, with their errors",
            plots.dust_plot(tree, cutout),
            MAPS_NOTE,
        ),
        (
            "Against the truth",
            plots.truth_plot(tree, cutout),
            "This cutout is simulated and carries its truth.",
        ),
        (
            "What the model leaves in the data",
            plots.residual_plot(tree, cutout, found),
            "Grey pixels are masked.",
        ),
        (
            "The spectrum before and behind the dust",
            plots.spectrum_plot(tree, cutout),
            "Errors of the bands go together: a thicker screen before a brighter host.",
        ),
        (
            "The covering-fraction degeneracy",
            plots.pair_plot(tree, cutout),
            SCREEN_NOTE,
        ),
        (
            "The chains",
            plots.trace_plot(tree, cutout, rows),
            "Right: ranks of each chain's draws among all; grey holds 95% of independent draws.",
        ),
    ]
    return [
        f"<section><h2>{escape(title)}</h2><figure>"
        f'<img alt="{escape(title)}" src="data:image/png;base64,'
        f'{b64encode(plots.save_png(figure)).decode("ascii")}">'
        f"<figcaption>{escape(caption)}</figcaption></figure></section>"
        for title, figure, caption in parts
        if figure is not None
    ]


def _sentences(notes: Iterable[str]) -> str:
    """Join notes, each with a capital and a full stop."""
    stripped = (note.strip().rstrip(".") for note in notes)
    return " ".join(f"{note[:1].upper()}{note[1:]}." for note in stripped if note)


def _numbers(rows: Sequence[Row]) -> str:
    head = ("mean", "sd", "16%", "50%", "84%", "MCSE", "R-hat", "ESS bulk", "ESS tail")
    lines = []
    for r in rows:
        values = (r.mean, r.sd, r.q16, r.q50, r.q84, r.mcse)
        cells = "".join(f'<td class="n">{number(v, r.sd)}</td>' for v in values[:5])
        cells += f'<td class="n">{number(r.mcse, r.mcse)}</td>'
        for value, good, form in (
            (r.rhat, r.rhat <= convergence.RHAT_GOOD, f"{r.rhat:.3f}"),
            (r.ess_bulk, r.ess_bulk >= convergence.ESS_GOOD, f"{r.ess_bulk:.0f}"),
            (r.ess_tail, r.ess_tail >= convergence.ESS_GOOD, f"{r.ess_tail:.0f}"),
        ):
            shown = form if np.isfinite(value) else "none"
            cells += f'<td class="n{"" if good else " off"}">{shown}</td>'
        lines.append(f"<tr><td>{escape(r.label)}</td>{cells}<td>{escape(r.unit)}</td></tr>")
    titles = "".join(f'<th class="n">{h}</th>' for h in head)
    return (
        f"<section><h2>The numbers</h2><table><tr><th></th>{titles}<th>unit</th></tr>"
        f"{''.join(lines)}</table><p class='note'>MCSE: Monte Carlo error of the mean. Red: R-hat "
        f"above {convergence.RHAT_GOOD} or an effective sample size below "
        f"{convergence.ESS_GOOD}. mean_attenuation is the light-weighted mean of A at "
        f"{REFERENCE_WAVELENGTH} micron.</p></section>"
    )


def _degeneracy(tree: xr.DataTree) -> str:
    found = tree["degeneracy"].to_dataset()
    lines = []
    for name, variable in found.data_vars.items():
        if "direction" in variable.dims:
            cells = [variable.sel(direction=one).values for one in found["direction"].values]
        else:
            cells = [variable.values, np.nan]
        row = "".join(f'<td class="n">{_listed(cell)}</td>' for cell in cells)
        about = escape(variable.attrs["description"])
        lines.append(f"<tr><td>{escape(name)}</td>{row}<td>{about}</td></tr>")
    titles = "".join(f'<th class="n">{escape(str(d))}</th>' for d in found["direction"].values)
    return (
        "<section><h2>How far the data speak</h2><table><tr><th></th>"
        f"{titles}<th></th></tr>{''.join(lines)}</table><p class='note'>In ln D; 1 is "
        f"{degeneracy.MAGNITUDE:.3f} mag. Screen: all of D darker, F brighter. Contrast: the "
        "pattern of the mean map deeper. The prior is the dust's given the hosts of the "
        "posterior.</p></section>"
    )


def _listed(values: np.ndarray) -> str:
    known = [f"{v:.3g}" for v in np.ravel(values) if np.isfinite(v) or np.isposinf(v)]
    return ", ".join(known)


def _acceptances(tree: xr.DataTree) -> str:
    lines = []
    for name, variable in tree["sample_stats"].data_vars.items():
        if "band" in variable.dims:  # F_template: no number of the sampler's
            continue
        values = variable.values.astype(float)
        per_chain = ", ".join(_brief(v) for v in values.mean(axis=1))
        unit = escape(variable.attrs.get("units", ""))
        lines.append(
            f'<tr><td>{escape(name)}</td><td class="n">{_brief(values.mean())}</td>'
            f'<td class="n">{_brief(np.median(values))}</td>'
            f"<td>{per_chain}</td><td>{unit}</td></tr>"
        )
    if not lines:
        return ""
    return (
        '<section><h2>The sampler</h2><table><tr><th></th><th class="n">mean</th>'
        '<th class="n">median</th><th>mean per chain</th><th>unit</th></tr>'
        f"{''.join(lines)}</table></section>"
    )


def _brief(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.1f}"


def _findings(*groups: Iterable[Finding]) -> str:
    titles = ("The cutout", "The chains", "The fit")
    lines = []
    for title, findings in zip(titles, groups, strict=True):
        for f in sorted(findings, key=lambda f: -LEVELS.index(f.level)):
            lines.append(
                f"<tr><td class='what'>{title}</td><td class='what {escape(f.level)}'>"
                f"{escape(f.level)}</td><td>{escape(f.message)}</td></tr>"
            )
    if not lines:
        return ""
    return f"<section><h2>What the checks found</h2><table>{''.join(lines)}</table></section>"


def _assumed(tree: xr.DataTree, cutout: Cutout) -> str:
    settings = settings_of(tree)
    lines = "".join(
        f"<tr><td class='what'>{escape(what)}</td><td>{escape(text)}</td></tr>"
        for what, text in assumptions(settings, cutout)
    )
    every = "; ".join(f"{name} = {value}" for name, value in sorted(settings.items()))
    return (
        f"<section><h2>What was assumed</h2><table>{lines}</table>"
        f"<p class='note'>All settings: {escape(every)}</p></section>"
    )
