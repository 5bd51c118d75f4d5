"""The simulator against closed forms, its own symmetries, and RADMC-3D."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.simulate import planes, suite, telescope, transfer
from dustpost.simulate.rays import Rays
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


DUST = suite.Dust(jnp.ones(1), jnp.full(1, 0.65), jnp.full(1, 0.55))
BLACK = DUST._replace(albedo=jnp.zeros(1))


@jax.jit
def observe(numbers, dust=BLACK):
    """Host and transmission of one set of numbers; without scattering unless told."""
    return suite.pair(planes.build(jax.random.key(1), numbers), jnp.ones(4), dust)


def look(emissivity, opacity, path, curve):
    """Integrate absorption along given rays, each component a band's own light."""
    rays = Rays(emissivity, opacity, path, jnp.zeros((3, *path.shape)))
    spectra = jnp.ones((len(curve), 1))
    return transfer.integrate(rays, spectra, curve, jnp.zeros((len(curve), *path.shape)))


@pytest.mark.parametrize("depth", [1e-3, 0.3, 2.0, 20.0])
def test_mixed_slab_is_exact(depth):
    """Stars and dust evenly mixed: I/I_0 = (1 - e^-k tau)/(k tau), whatever the steps."""
    steps, curve = 7, jnp.array([1.0, 0.4])
    path = jnp.full((steps, 2, 2), 3.0 / steps)
    opacity = jnp.full((steps, 2, 2), depth / 3.0)
    light, absorbed, column = look(jnp.ones((1, steps, 2, 2)), opacity, path, curve)
    expected = -np.expm1(-depth * np.asarray(curve)) / (depth * np.asarray(curve))
    np.testing.assert_allclose(column, depth, rtol=1e-5)
    np.testing.assert_allclose(1 - (absorbed / light)[:, 0, 0], expected, rtol=2e-5)


@pytest.mark.parametrize(("behind", "expected"), [(True, np.exp(-1.5)), (False, 1.0)])
def test_screen(behind, expected):
    """Light behind a screen is dimmed by e^-tau, light in front of it not at all."""
    emissivity = jnp.zeros((1, 10, 1, 1)).at[:, -1 if behind else 0].set(1.0)
    opacity = jnp.zeros((10, 1, 1)).at[4].set(1.5)
    light, absorbed, _ = look(emissivity, opacity, jnp.ones((10, 1, 1)), jnp.ones(1))
    np.testing.assert_allclose(1 - absorbed[0] / light[0], expected, rtol=1e-5)


def test_no_dust_means_one(spiral):
    """Without dust D is 1 in every pixel, on blank sky too."""
    host, transmission = observe(spiral._replace(optical_depth=jnp.asarray(0.0)), DUST)
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
        bulge_fraction=jnp.asarray(0.0),
        old_height=jnp.asarray(0.02),
        young_height=jnp.asarray(0.02),
        blur=jnp.asarray(0.3),
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
    """The cube's transmission is the pair's; grey dust dims all bands alike."""
    structure = planes.build(jax.random.key(1), spiral)
    grey = suite.Dust(*(jnp.broadcast_to(part, 6) for part in DUST))
    cube = suite.simulate_cube(structure, jnp.ones((5, 4)), grey)
    host, transmission = observe(spiral, DUST)
    np.testing.assert_allclose(cube.transmission, transmission, rtol=1e-4)
    np.testing.assert_allclose(cube.host, host, rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(cube.attenuation[0], cube.attenuation[4], atol=1e-5)


def test_monochromatic_host_keeps_flux_and_attenuation(spiral):
    """F_i S without dust, and each pixel and band attenuated as before."""
    structure = planes.build(jax.random.key(1), spiral)
    grey = suite.Dust(*(jnp.broadcast_to(part, 3) for part in DUST))
    spectra = jnp.array([[1.0, 1.0, 1.0, 1.0], [2.0, 1.8, 1.5, 1.1]])
    cube = suite.simulate_cube(structure, spectra, grey)
    single = suite.monochromatic(cube)
    np.testing.assert_allclose(single.free.sum((1, 2)), cube.free.sum((1, 2)), rtol=1e-5)
    colour = single.free[0] / single.free[1]
    np.testing.assert_allclose(colour, colour[31, 31], rtol=1e-4)
    bright = cube.free[1] > 1e-3 * cube.free[1].max()
    ratio = (single.clean / single.free)[1][bright]
    np.testing.assert_allclose(ratio, (cube.clean / cube.free)[1][bright], rtol=1e-4)
    assert np.ptp((cube.free[0] / cube.free[1])[bright]) > 0.05


def test_exposure_has_the_stated_noise():
    """Flux is conserved by the PSF and the noise is that of the inverse variance."""
    clean = jnp.zeros((2, 64, 64)).at[:, 32, 32].set(jnp.array([1.0, 2.0]))
    psf = jnp.stack([telescope.moffat(jnp.asarray(width)) for width in (4.0, 3.4)])
    np.testing.assert_allclose(psf.sum(axis=(1, 2)), 1.0, rtol=1e-6)
    data, _ = telescope.expose(jax.random.key(0), clean, psf, jnp.full(2, 1e-9))
    np.testing.assert_allclose(data.sum(axis=(1, 2)), [1.0, 2.0], rtol=1e-3)
    np.testing.assert_allclose(data[0, 22:43, 22:43], psf[0, 11:32, 11:32], atol=1e-5)
    assert jnp.argmax(data[1]) == 32 * 64 + 32
    noise = jnp.array([0.1, 0.2])
    faint, ivar = telescope.expose(jax.random.key(0), 0 * clean, psf, noise)
    np.testing.assert_allclose(jnp.std(faint, axis=(1, 2)), noise, rtol=0.05)
    np.testing.assert_allclose(ivar[:, 0, 0], noise**-2, rtol=1e-5)
