"""Scattered light: energy, Monte Carlo, and RADMC-3D's images of three galaxies."""

import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.simulate.grid import Grid, image, orient, scattered_light
from dustpost.simulate.scattering import henyey_greenstein, ordinates

CUBE = 16
FINE = {"rings": 3, "azimuths": 12, "orders": 6, "substeps": (9, 2, 1)}


def homogeneous(depth):
    """A cube of side 1 of evenly mixed stars and dust."""
    walls = (jnp.linspace(-0.5, 0.5, CUBE + 1),) * 3
    shape = (CUBE,) * 3
    return Grid(walls, jnp.ones(shape), jnp.full(shape, depth))


def seen(grid, albedo, asymmetry, angles, **accuracy):
    """Light of the whole cube, seen over without dust."""
    rotation = orient(*angles)
    source = jnp.zeros_like(grid.emission)
    if albedo:
        toward = jnp.asarray(rotation[:, 2], jnp.float32)
        intensity = scattered_light(grid, albedo, asymmetry, toward, **accuracy)
        source = albedo * grid.extinction * intensity
    free, dusty = image(grid, source, 24, 1, jnp.asarray(rotation), jnp.float32(0.9))
    return float(dusty.sum() / free.sum())


@pytest.mark.parametrize(("rings", "azimuths"), [(2, 6), (3, 12)])
def test_ordinates_integrate_the_sphere(rings, azimuths):
    """Unit weights, no net direction, <n n> = 1/3."""
    direction, weight = ordinates(rings, azimuths)
    np.testing.assert_allclose(weight.sum(), 1.0)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1.0)
    np.testing.assert_allclose(weight @ direction, 0.0, atol=1e-12)
    second = np.einsum("d,di,dj->ij", weight, direction, direction)
    np.testing.assert_allclose(second, np.eye(3) / 3, atol=1e-12)


def test_phase_function_has_unit_mean_and_its_asymmetry():
    cosine, weight = np.polynomial.legendre.leggauss(64)
    phase = np.asarray(henyey_greenstein(jnp.asarray(cosine), 0.6))
    np.testing.assert_allclose((weight * phase).sum() / 2, 1.0, rtol=1e-5)
    np.testing.assert_allclose((weight * phase * cosine).sum() / 2, 0.6, rtol=1e-5)


def test_grains_that_absorb_nothing_lose_no_light():
    """Albedo 1: what leaves in all directions is what the stars sent out."""
    grid = homogeneous(1.5)
    node, weight = np.polynomial.legendre.leggauss(2)
    total, lost = 0.0, 0.0
    for cosine, share in zip(node, weight, strict=True):
        for azimuth in (20.0, 65.0):
            angles = (np.degrees(np.arccos(cosine)), azimuth)
            accuracy = {"rings": 3, "azimuths": 8, "orders": 8, "substeps": (9, 2, 1)}
            total += share / 4 * seen(grid, 1.0, 0.5, angles, **accuracy)
            lost += share / 4 * (1 - seen(grid, 0.0, 0.0, angles))
    assert lost > 0.3  # without the scattered light the test would see it
    np.testing.assert_allclose(total, 1.0, atol=0.03)


def test_against_monte_carlo():
    """Photons followed through the cube: the share that leaves, and towards where."""
    depth, albedo, asymmetry, count = 3.0, 0.6, 0.5, 200_000
    random = np.random.default_rng(0)
    place = random.uniform(-0.5, 0.5, (count, 3))
    cosine, angle = random.uniform(-1, 1, count), random.uniform(0, 2 * np.pi, count)
    sine = np.sqrt(1 - cosine**2)
    heading = np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine], axis=1)
    escaped = []
    while len(place):
        place = place + random.exponential(1 / depth, len(place))[:, None] * heading
        out = np.abs(place).max(axis=1) > 0.5
        escaped.append(heading[out])
        keep = ~out & (random.uniform(size=len(place)) < albedo)
        place, heading = place[keep], _turn(random, heading[keep], asymmetry)
    escaped = np.concatenate(escaped)
    # Within 12 degrees of an axis, and of a diagonal, of the cube; our views are at the
    # angle that halves such a cap, 8.5 degrees, as the cube looks darkest face-on.
    cap = np.cos(np.radians(12.0))
    for angles, images, views in (
        ((0.0, 0.0), 6, ((8.48, 0.0), (8.48, 45.0))),
        ((54.7356, 45.0), 8, ((46.26, 45.0), (63.22, 45.0))),
    ):
        toward = orient(*angles)[:, 2]
        symmetric = np.sort(np.abs(escaped), axis=1) @ np.sort(np.abs(toward))
        expected = (symmetric > cap).sum() / count / (images * (1 - cap) / 2)
        found = [seen(homogeneous(depth), albedo, asymmetry, view, **FINE) for view in views]
        np.testing.assert_allclose(np.mean(found), expected, rtol=0.03)
        assert seen(homogeneous(depth), 0.0, 0.0, angles) < 0.85 * expected


def _turn(random, heading, g):
    """Draw new directions from Henyey and Greenstein's phase function."""
    u = random.uniform(size=len(heading))
    cosine = (1 + g**2 - ((1 - g**2) / (1 - g + 2 * g * u)) ** 2) / (2 * g)
    angle = random.uniform(0, 2 * np.pi, len(heading))
    other = np.where(np.abs(heading[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(heading, other)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(heading, first)
    sine = np.sqrt(1 - cosine**2)
    across = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
    return cosine[:, None] * heading + sine[:, None] * across


@pytest.fixture(scope="module", params=["spiral", "irr", "E"])
def radmc(request, shared_data):
    """One galaxy's grid and images, in g."""
    with np.load(shared_data / "rt_transfer" / f"{request.param}.npz") as file:
        return {key: file[key] for key in file}


def galaxy(truth, view, band, opacity):
    """Our image of it, (free, dusty), with a given extinction per V; and the grid."""
    walls = tuple(jnp.asarray(truth[f"{axis}_walls"], jnp.float32) for axis in "xyz")
    emission = np.einsum("c,cxyz->xyz", truth["component_sed"][:, band], truth["emissivity"])
    visual = truth["tau_v_per_kpc"].astype(np.float32)
    grid = Grid(walls, jnp.asarray(emission, jnp.float32), jnp.asarray(opacity * visual))
    inclination, azimuth, _ = truth["views_incl_phi_posang"][view]
    rotation = jnp.asarray(orient(inclination, azimuth), jnp.float32)
    half = jnp.float32(truth["half_image_kpc"])
    return grid, lambda source: np.asarray(image(grid, source, 64, 3, rotation, half)), rotation


@pytest.mark.parametrize("view", [0, 1, 2])
def test_absorption_is_that_of_radmc(radmc, view):
    """Face-on, inclined and edge-on: every bright pixel to 1e-4."""
    band = 1
    opacity = float(radmc["kext_over_v"][band] * (1 - radmc["albedo"][band]))
    grid, look, _ = galaxy(radmc, view, band, opacity)
    free, dusty = look(jnp.zeros_like(grid.emission))
    truth, nodust = radmc["image_absorption"][view, band], radmc["image_nodust"][view, band]
    scale = nodust.sum() / free.sum()
    np.testing.assert_allclose(scale * dusty.sum(), truth.sum(), rtol=1e-4)
    bright = nodust > 0.01 * nodust.max()
    np.testing.assert_allclose(scale * dusty[bright], truth[bright], rtol=1e-3)


def test_scattered_light_is_that_of_radmc(radmc):
    """Inclined, with multiple scattering: total flux to 1 %, where absorption alone is off."""
    view, band = 1, 1
    grid, look, rotation = galaxy(radmc, view, band, float(radmc["kext_over_v"][band]))
    albedo = float(radmc["albedo"][band])
    intensity = scattered_light(grid, albedo, float(radmc["g"][band]), rotation[:, 2], **FINE)
    free, dusty = look(albedo * grid.extinction * intensity)
    nodust, truth = radmc["image_nodust"][view, band], radmc["image_scattering"][view, band]
    scale = nodust.sum() / free.sum()
    np.testing.assert_allclose(scale * dusty.sum(), truth.sum(), rtol=0.01)
    order = np.sort(nodust.ravel())[::-1]
    half = nodust >= order[np.searchsorted(np.cumsum(order), 0.5 * order.sum())]
    assert np.sqrt(np.mean((scale * dusty[half] / truth[half] - 1) ** 2)) < 0.04
    unlit = look(jnp.zeros_like(grid.emission))[1]
    assert scale * unlit.sum() < 0.97 * truth.sum()
