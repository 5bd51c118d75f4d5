"""Contact sheets: every galaxy and every draw has its place."""

import numpy as np

from dustpost.plots import contact_sheet, prior_sheet, save_png
from dustpost.simulate.suite import Cube


def cube(level):
    image = np.full((8, 8), 0.1) + np.eye(8)
    return Cube(level * np.stack([image] * 3), np.stack([image] * 3), image, 0 * image + level, 0)


def test_contact_sheet_shows_each_galaxy_four_times():
    figure = contact_sheet([cube(0.2), cube(0.9)])
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert len(shown) == 8
    np.testing.assert_allclose([plane.mean() for plane in shown[-2:]], [0.2, 0.9])  # D
    assert save_png(figure).startswith(b"\x89PNG")


def test_prior_sheet_keeps_draws_under_their_host():
    truths = np.stack([np.full((8, 8), value) for value in (0.1, 0.2)])
    draws = np.stack([truths + 0.5, truths + 0.6], axis=1)
    figure = prior_sheet(np.random.default_rng(0).uniform(size=(2, 8, 8)), truths, draws)
    values = np.array([axis.images[0].get_array().mean() for axis in figure.axes]).reshape(4, 2)
    np.testing.assert_allclose(values[1:], [[0.1, 0.2], [0.6, 0.7], [0.7, 0.8]])
