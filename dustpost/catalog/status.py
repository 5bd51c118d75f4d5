"""Where a catalogue stands, in words."""

from collections import Counter

from dustpost.catalog.store import State

SHOWN = 10


def sentences(states: list[State], all_failures: bool = False) -> list[str]:
    """Counts, and failures with the sentence why.

    Parameters
    ----------
    states : list of State
    all_failures : bool
        Not only the first `SHOWN`.
    """
    counts = Counter(one.state for one in states)
    lines = [
        f"{len(states)} galaxies: {counts['done']} done, {counts['failed']} failed, "
        f"{counts['pending']} pending"
    ]
    failed = [one for one in states if one.state == "failed"]
    shown = failed if all_failures else failed[:SHOWN]
    lines += [f"failed: {one.object_id}: {one.reason}" for one in shown]
    if len(failed) > len(shown):
        lines.append(f"... and {len(failed) - len(shown)} more: catalog status --failed")
    return lines
