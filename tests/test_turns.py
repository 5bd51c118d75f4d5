"""Who is in which share when, and for how long."""

import numpy as np
import pytest

from dustpost.samplers.turns import MOVING, ROUND, order, plan, shares, straight


@pytest.mark.parametrize(
    "sweeps, chunk, chains", [(200, 5, 4), (100, 5, 4), (7, 5, 3), (90, 20, 2)]
)
def test_every_chain_is_in_every_share_equally_often(sweeps, chunk, chains):
    kept = [one for one in plan(sweeps, chunk, chains) if one.kept]
    assert len(kept) * chunk >= sweeps
    where = np.array([shares(one.turn, chains) for one in kept])
    for chain in where.T:
        assert len(set(np.bincount(chain, minlength=chains))) == 1
    for at_once in where:
        assert sorted(at_once) == list(range(chains))
    wholes = [number for number, one in enumerate(kept) if one.whole]
    assert wholes[-1] == len(kept) - 1
    for number in wholes:  # a run may end there
        assert len(set(np.bincount(where[: number + 1, 0], minlength=chains))) == 1


def test_chains_move_between_rounds_and_only_then():
    found = plan(8 * ROUND, 5, 4)
    turns = [one.turn for one in found]
    assert turns == sorted(turns) and set(turns) == set(range(8))
    for turn in range(8):
        moving = [one for one in found if one.turn == turn and not one.kept]
        assert 5 * len(moving) == (MOVING if turn else 0)
        of_turn = [one.kept for one in found if one.turn == turn]
        assert of_turn == sorted(of_turn)


def test_chains_of_several_galaxies_stay_with_their_own():
    np.testing.assert_array_equal(order(1, 3, 2), [1, 2, 0, 4, 5, 3])
    assert all(one.kept and one.whole and one.turn == 0 for one in straight(12, 5))
    assert len(straight(12, 5)) == 3
