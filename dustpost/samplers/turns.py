"""Chains that take turns: which of the n tunings each has at which chunk of sweeps.

    tuning of chain c in round r = (c + r) mod n

Where the tunings hold chains to shares of an amount of dust (`dustpost.priors.strata`), a chain
that stays in one of them is no draw of the whole. In n rounds each chain has been in every share,
so that all have one law, and each share has been seen by every chain. A chain is at its next share
within 3 to 10 sweeps, of the thinnest and the deepest too (rt_036_1 at a peak S/N of 30): these are
not kept. From two such cycles on, both halves of a chain have every share as well.
"""

from typing import NamedTuple

import numpy as np

ROUND = 25  # draws that a round has, about
MOVING = 10  # sweeps


class Chunk(NamedTuple):
    """One of the chunks of a run.

    Attributes
    ----------
    turn : int
        r
    kept : bool
        Whether its sweeps are draws; else chains are on their way.
    whole : bool
        Whether every chain has been in every share equally often when it is done.
    """

    turn: int
    kept: bool
    whole: bool


def plan(sweeps: int, chunk: int, chains: int) -> list[Chunk]:
    """Chunks of a run whose chains take turns.

    Parameters
    ----------
    sweeps : int
        Draws a chain; rounded up to rounds of whole chunks.
    chunk : int
        Sweeps a chunk.
    chains : int
        Of each galaxy.
    """
    rounds = chains * max(1, sweeps // (chains * ROUND))
    kept, moving = -(-sweeps // (rounds * chunk)), -(-MOVING // chunk)
    found = []
    for turn in range(rounds):
        if turn:
            found += [Chunk(turn, False, False)] * moving
        found += [Chunk(turn, True, False)] * kept
        found[-1] = Chunk(turn, True, (turn + 1) % chains == 0)
    return found


def straight(sweeps: int, chunk: int) -> list[Chunk]:
    """Chunks of a run whose chains keep their own tuning."""
    return [Chunk(0, True, True)] * -(-sweeps // chunk)


def shares(turn: int, chains: int) -> np.ndarray:
    """Number of the tuning of each chain of a galaxy, (chain,)."""
    return (np.arange(chains) + turn) % chains


def order(turn: int, chains: int, galaxies: int) -> np.ndarray:
    """The same among all chains of all galaxies, (galaxy x chain,)."""
    return (chains * np.arange(galaxies)[:, None] + shares(turn, chains)).ravel()
