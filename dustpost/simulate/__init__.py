"""A world of dusty galaxies: structure, its painting, its transfer, suites of it."""

from dustpost.simulate.suite import draw_pairs, simulate_cube

__all__ = ["draw_pairs", "simulate_cube"]
