"""What the sampler's proposals say of the draws, beside what the draws say themselves.

acceptance      below 0.2 a warning, below 0.01 in a chain an error; above 0.98 is told,
                unless it is 1 in every draw (a draw from the exact conditional)
chain apart     a chain with half of the others' acceptance, a warning
left behind     a chain that went on as another in the warm-up is told
curl defect     median above 0.5 nat a warning
no acceptance   (sampler "langevin") a warning

Every comparison is written so that a nan fails it.
"""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from dustpost.findings import Finding
from dustpost.results import settings_of

ACCEPTANCE_LOW, ACCEPTANCE_HIGH, ACCEPTANCE_STUCK = 0.2, 0.98, 0.01
ACCEPTANCE_APART = 0.5  # of the chains' median
CURL_GOOD = 0.5


def acceptance(tree: xr.DataTree) -> Iterable[Finding]:
    """Blocks, or a chain of one, that accept too few proposals or nearly all."""
    for name, variable in tree["sample_stats"].data_vars.items():
        if not name.startswith("acceptance"):
            continue
        draws = variable.values
        block = name.removeprefix("acceptance_")
        by_chain = draws.mean(axis=1)
        rate, least = float(draws.mean()), float(by_chain.min())
        if not least >= ACCEPTANCE_STUCK:
            yield Finding(
                "error",
                "acceptance",
                f"Block {block}: a chain accepts {least:.1%} of its proposals, it is stuck; "
                "use a smaller step or a longer warm-up.",
            )
        elif not rate >= ACCEPTANCE_LOW:
            yield Finding(
                "warning",
                "acceptance",
                f"Block {block} accepts {rate:.0%} of its proposals, where 20 to 98% is usual; "
                "a smaller step would mix better.",
            )
        elif least < ACCEPTANCE_APART * np.median(by_chain):
            yield _apart(tree, block, by_chain)
        elif rate > ACCEPTANCE_HIGH and draws.min() < 1:
            yield Finding(
                "info",
                "acceptance",
                f"Block {block} accepts {rate:.1%}; right, but a larger step would mix faster.",
            )


def _apart(tree: xr.DataTree, block: str, acceptance: np.ndarray) -> Finding:
    """A chain whose steps do not suit the place where it is, which is not that of the others."""
    lone = int(np.argmin(acceptance))
    others = np.delete(np.arange(len(acceptance)), lone)
    depth = tree["posterior"]["mean_attenuation"].values.mean(axis=1)
    return Finding(
        "warning",
        "chain-apart",
        f"Block {block}: chain {lone} accepts {acceptance[lone]:.0%} of its proposals, the others "
        f"{acceptance[others].mean():.0%}: it may have stayed in a place of its own (mean A "
        f"{depth[lone]:.2f} mag, the others' {depth[others].mean():.2f}), such as a deep screen "
        "that it began behind; draw again with another --seed, or warm up longer.",
    )


def left_behind(tree: xr.DataTree) -> Iterable[Finding]:
    """Chains that the warm-up gave up, see `dustpost.warm_up.leaders`."""
    if "origin" not in tree["sample_stats"]:
        return
    origin = tree["sample_stats"]["origin"].values[:, 0].astype(int)
    for chain in np.flatnonzero(origin != np.arange(len(origin))):
        yield Finding(
            "info",
            "left-behind",
            f"Chain {chain} was left behind in the warm-up, by more than any other solution could "
            f"be, and went on from where chain {origin[chain]} was.",
        )


def unadjusted(tree: xr.DataTree) -> Iterable[Finding]:
    """A sampler without acceptance."""
    if settings_of(tree).get("sampler") == "langevin":
        yield Finding(
            "warning",
            "unadjusted",
            "Langevin dynamics has no acceptance: its error bars are biased by an unknown amount, "
            "however long it runs; compare with --sampler gibbs.",
        )


def curl(tree: xr.DataTree) -> Iterable[Finding]:
    """A score that is no gradient."""
    if "curl_defect" not in tree["sample_stats"]:
        return
    middle = float(np.median(np.abs(tree["sample_stats"]["curl_defect"].values)))
    if not middle <= CURL_GOOD:
        yield Finding(
            "warning",
            "curl",
            f"The prior's score is no gradient field: its integral depends on the path by "
            f"{middle:.2g} nat in the median proposal (limit {CURL_GOOD}), so the accepted draws "
            "are biased; shorter trajectories lessen it.",
        )
