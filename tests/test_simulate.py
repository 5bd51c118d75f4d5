"""The simulator against closed forms, its own symmetries, and RADMC-3D."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.simulate import planes, populations, suite, transfer
from dustpost.simulate.structure import draw_parameters


@pytest.fixture(scope="module")
def spiral():
    """One inclined spiral with a thin, smooth dust disc of depth 1."""
    numbers = draw_parameters(jax.random.key(4))._replace(
        galaxy=jnp.asarray(0),
        dust=jnp.asarray(0),
        cos_inclination=jnp.asarray(0.5),
        position_angle=jnp.asarray(0.0),
        bulge_fraction=jnp.asarray(0.3),
        young_fraction=jnp.asarray(0.3),
        half_light_radius=jnp.asarray(8.0),
        centre_y=jnp.asarray(0.0),
        centre_x=jnp.asarray(0.0),
        optical_depth=jnp.asarray(1.0),
        arm_contrast=jnp.asarray(0.0),
        lane_contrast=jnp.asarray(0.0),
        star_clumps=jnp.asarray(0.0),
        dust_clumps=jnp.asarray(0.0),
        dust_wisps=jnp.asarray(0.0),
        bar_fraction=jnp.asarray(0.0),
        lopsided=jnp.asarray(0.0),
        hole=jnp.asarray(0.0),
    )
    return numbers


@jax.jit
def observe(numbers):
    """Host and transmission of one set of numbers."""
    return suite.pair(planes.build(jax.random.key(1), numbers))


@pytest.mark.parametrize("depth", [1e-3, 0.3, 2.0, 20.0])
def test_mixed_slab_is_exact(depth):
    """Stars and dust evenly mixed: I/I_0 = (1 - e^-k tau)/(k tau), whatever the steps."""
    steps, curve = 7, jnp.array([1.0, 0.4])
    path = jnp.full((steps, 2, 2), 3.0 / steps)
    rays = transfer.Rays(jnp.ones((1, steps, 2, 2)), jnp.full((steps, 2, 2), depth / 3.0), path)
    light, absorbed, column = transfer.integrate(rays, curve)
    expected = -np.expm1(-depth * np.asarray(curve)) / (depth * np.asarray(curve))
    np.testing.assert_allclose(column, depth, rtol=1e-5)
    np.testing.assert_allclose(1 - (absorbed / light[None])[:, 0, 0, 0], expected, rtol=2e-5)


@pytest.mark.parametrize(("behind", "expected"), [(True, np.exp(-1.5)), (False, 1.0)])
def test_screen(behind, expected):
    """Light behind a screen is dimmed by e^-tau, light in front of it not at all."""
    emissivity = jnp.zeros((1, 10, 1, 1)).at[:, -1 if behind else 0].set(1.0)
    opacity = jnp.zeros((10, 1, 1)).at[4].set(1.5)
    rays = transfer.Rays(emissivity, opacity, jnp.ones((10, 1, 1)))
    light, absorbed, _ = transfer.integrate(rays, jnp.ones(1))
    np.testing.assert_allclose(1 - absorbed[0] / light, expected, rtol=1e-5)


def test_no_dust_means_one(spiral):
    """Without dust D is 1 in every pixel, on blank sky too."""
    host, transmission = observe(spiral._replace(optical_depth=jnp.asarray(0.0)))
    assert jnp.all(transmission == 1.0)
    np.testing.assert_allclose(host.sum(), 1.0, rtol=1e-5)


def test_more_dust_dims_every_pixel(spiral):
    """D falls with the optical depth and, where that is small, in proportion to it."""
    _, thin = observe(spiral._replace(optical_depth=jnp.asarray(0.01)))
    _, double = observe(spiral._replace(optical_depth=jnp.asarray(0.02)))
    _, thick = observe(spiral._replace(optical_depth=jnp.asarray(3.0)))
    assert jnp.all(double <= thin) and jnp.all(thick <= double)
    assert thick.min() > 0
    dusty = (1 - thin) > 1e-3
    np.testing.assert_allclose(((1 - double) / (1 - thin))[dusty], 2.0, rtol=0.03)


def test_orientation(spiral):
    """An axisymmetric galaxy is 1/cos(i) times as long as wide, along its position angle."""
    thin = spiral._replace(
        bulge_fraction=jnp.asarray(0.0), old_height=jnp.asarray(0.02), young_height=jnp.asarray(0.5)
    )
    axis = jnp.arange(64) - 31.5
    for angle, ratio in ((0.0, 0.5), (jnp.pi / 2, 2.0)):
        host, _ = observe(thin._replace(position_angle=jnp.asarray(angle)))
        width_y = jnp.sqrt((host.sum(axis=1) * axis**2).sum())
        width_x = jnp.sqrt((host.sum(axis=0) * axis**2).sum())
        np.testing.assert_allclose(width_y / width_x, ratio, rtol=0.06)


def test_dust_lane_lies_on_the_near_side(spiral):
    """A dust disc hides more of the bulge on one side of the major axis: the near one."""
    numbers = spiral._replace(
        cos_inclination=jnp.asarray(0.26),
        bulge_fraction=jnp.asarray(0.9),
        young_fraction=jnp.asarray(0.05),
        bulge_radius=jnp.asarray(6.0),
        bulge_flattening=jnp.asarray(0.9),
    )
    _, transmission = observe(numbers)
    column = transmission[:, 31]
    lower, upper = column[:31].min(), column[33:].min()
    assert abs(float(lower - upper)) > 0.1


def test_draws_repeat_and_keep_their_range():
    """The same key gives the same galaxies; D is in (0, 1], hosts have unit sum."""
    host, transmission = suite.draw_pairs(jax.random.key(7), 8)
    again, _ = suite.draw_pairs(jax.random.key(7), 8)
    np.testing.assert_array_equal(host, again)
    assert jnp.isfinite(transmission).all()
    assert transmission.min() > 0 and transmission.max() <= 1
    assert host.min() >= 0
    np.testing.assert_allclose(host.sum(axis=(1, 2)), 1.0, rtol=1e-4)


def test_cube_agrees_with_pair(spiral):
    """The cube's transmission is the pair's; a flat curve dims all bands alike."""
    structure = planes.build(jax.random.key(1), spiral)
    cube = suite.simulate_cube(structure, jnp.ones((5, 3)), jnp.ones(5))
    host, transmission = observe(spiral)
    np.testing.assert_allclose(cube.transmission, transmission, rtol=1e-4)
    np.testing.assert_allclose(cube.host, host, rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(cube.attenuation[0], cube.attenuation[4], atol=1e-5)


def test_exposure_has_the_stated_noise():
    """Flux is conserved by the PSF and the noise is that of the inverse variance."""
    clean = jnp.zeros((2, 64, 64)).at[:, 32, 32].set(jnp.array([1.0, 2.0]))
    psf = jnp.stack([suite.moffat(jnp.asarray(width)) for width in (4.0, 3.4)])
    np.testing.assert_allclose(psf.sum(axis=(1, 2)), 1.0, rtol=1e-6)
    data, ivar = suite.expose(jax.random.key(0), clean, psf, jnp.array([1.0, 1.5]), 1e7)
    np.testing.assert_allclose(data.sum(axis=(1, 2)), [1.0, 2.0], rtol=1e-3)
    np.testing.assert_allclose(data[0, 22:43, 22:43], psf[0, 11:32, 11:32], atol=1e-5)
    assert jnp.argmax(data[1]) == 32 * 64 + 32
    faint, ivar = suite.expose(jax.random.key(0), 0 * clean + 1, psf, jnp.array([1.0, 2.0]), 10.0)
    inner = (faint - 1)[:, 25:40, 25:40]
    np.testing.assert_allclose(jnp.std(inner, axis=(1, 2)), ivar[:, 0, 0] ** -0.5, rtol=0.15)


def test_milky_way_curve_against_its_paper():
    """A(lambda)/A(V) in R, I, J of Cardelli et al. 1989, Table 3 (R_V = 3.1)."""
    x = jnp.array([1.43, 1.11, 0.80])
    published = jnp.array([0.751, 0.479, 0.282])
    visual = populations.milky_way(jnp.asarray(1 / 1.82))
    np.testing.assert_allclose(populations.milky_way(1 / x) / visual, published, rtol=4e-3)
    np.testing.assert_allclose(populations.milky_way(jnp.asarray(0.4754)), 1.0)


def overlap(walls, half, size=64):
    """Share of each grid cell's light per length that falls into each pixel."""
    edges = np.linspace(-half, half, size + 1)
    low = np.maximum(walls[None, :-1], edges[:-1, None])
    high = np.minimum(walls[None, 1:], edges[1:, None])
    return np.clip(high - low, 0, None) / (2 * half / size)


@pytest.mark.parametrize("name", ["spiral", "irr", "E"])
@pytest.mark.parametrize("inclination", [0, 90])
def test_absorption_against_radmc(shared_data, name, inclination):
    """RADMC-3D's images of three dusty galaxies, absorption alone, along two grid axes."""
    with np.load(shared_data / "rt_transfer" / f"{name}.npz") as file:
        truth = {key: file[key] for key in file}
    # Face-on the observer is at z > 0, edge-on at y < 0; her cell comes first.
    view, axes, first = (0, (2, 1, 0), -1) if inclination == 0 else (2, (1, 2, 0), 1)
    opacity = np.transpose(truth["tau_v_per_kpc"], axes)[::first]
    emissivity = np.transpose(truth["emissivity"], [0] + [1 + a for a in axes])[:, ::first]
    walls = [truth[f"{'xyz'[a]}_walls"] for a in axes]
    path = np.broadcast_to(np.diff(walls[0])[:, None, None], opacity.shape)
    rays = transfer.Rays(*(jnp.asarray(a, jnp.float32) for a in (emissivity, opacity, path)))
    curve = jnp.asarray(truth["kext_over_v"] * (1 - truth["albedo"]), jnp.float32)
    light, absorbed, _ = jax.jit(transfer.integrate)(rays, curve)

    to_y, to_x = (overlap(w, float(truth["half_image_kpc"])) for w in walls[1:])
    sed = truth["component_sed"]
    paths = {"optimize": True}
    free = np.einsum("cb,py,cyx,qx->bpq", sed, to_y, light, to_x, **paths)
    seen = free - np.einsum("cb,py,bcyx,qx->bpq", sed, to_y, absorbed, to_x, **paths)
    true_free, true_seen = truth["image_nodust"][view], truth["image_absorption"][view]
    total = (seen.sum(axis=(1, 2)) / free.sum(axis=(1, 2))) / (
        true_seen.sum(axis=(1, 2)) / true_free.sum(axis=(1, 2))
    )
    # RADMC-3D's images were traced at 3x3 points a pixel; that is most of the difference.
    np.testing.assert_allclose(total, 1.0, atol=0.02)
    error = seen / np.maximum(free, 1e-30) - true_seen / np.maximum(true_free, 1e-30)
    weight = true_free / true_free.sum(axis=(1, 2), keepdims=True)
    assert np.sqrt((weight * error**2).sum(axis=(1, 2))).max() < 0.04
