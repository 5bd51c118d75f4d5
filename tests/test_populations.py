"""Colours of stars against a closed form, another library, and RADMC-3D's galaxies."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.io import fits

from dustpost.attenuation import PIVOT
from dustpost.errors import DustpostError
from dustpost.simulate.populations import (
    BANDS,
    COMPONENTS,
    FIRST_STARS,
    draw_colours,
    draw_populations,
)
from dustpost.simulate.starlight import BAND_MISMATCH, MISMATCH, Starlight, colours_table, spectrum
from dustpost.simulate.structure import draw_parameters

MANY = 2000
# hsc2017 g-r, r-i, i-z, z-y of Bruzual & Charlot's models (2016 version, solar metallicity)
# for stars formed at a constant rate between two ages in Gyr
BRUZUAL_CHARLOT = {
    (0.0, 0.1): (-0.112, 0.014, 0.054, 0.030),
    (0.0, 1.0): (0.029, 0.062, 0.066, 0.045),
    (0.3, 3.0): (0.375, 0.222, 0.140, 0.089),
    (1.0, 10.0): (0.614, 0.350, 0.211, 0.138),
    (9.0, 11.0): (0.736, 0.419, 0.256, 0.177),
}


@partial(jax.jit, static_argnums=1)
def draw(galaxies, bands=BANDS, seed=0):
    """Spectra of many galaxies of given kinds, (galaxy, band, component)."""
    keys = jax.random.split(jax.random.key(seed), galaxies.size)
    return jax.vmap(lambda key, kind: draw_colours(key, kind, bands))(keys, galaxies)


def test_constant_rate_is_exact():
    """Single-age light s_b (1 + 2 t) and metallicities that double it: all known."""
    age = np.linspace(0.0, 10.0, 1001)
    colour = np.array([3.0, 1.0])  # one band and the pivot
    fading = (age + age**2)[:, None] * colour
    poor = np.stack([fading[:, 0], age], axis=-1)
    table = Starlight(age, np.array([-1.0, 0.0]), np.stack([poor, 2 * poor]), np.zeros((1, 3)))
    # int (1 + 2 t) dt over int dt, from 2 to 5: 3 (1 + 7)
    found = spectrum(table, jnp.asarray(2.0), jnp.asarray(5.0), jnp.asarray(-0.3))
    np.testing.assert_allclose(found, [24.0], rtol=1e-5)


@pytest.mark.parametrize("ages", BRUZUAL_CHARLOT)
def test_another_library_agrees(ages):
    """PopStar and Bruzual & Charlot: other tracks, other stellar spectra."""
    found = -2.5 * np.log10(np.asarray(spectrum(colours_table(BANDS), *ages, 0.0)))
    np.testing.assert_allclose(
        found[:-1] - found[1:], BRUZUAL_CHARLOT[ages], atol=0.07, err_msg=str(ages)
    )


def test_monochromatic_bands_and_redshift():
    """At the pivot the spectrum is 1; a redshifted band sees what lies bluewards."""
    stars = (0.5, 8.0, -0.2)
    here = spectrum(colours_table((PIVOT, 0.62, 0.77)), *stars)
    assert here[0] == pytest.approx(1.0, abs=1e-6)
    there = spectrum(colours_table((1.3 * PIVOT, 1.3 * 0.62, 1.3 * 0.77), 0.3), *stars)
    np.testing.assert_allclose(here, there, rtol=1e-5)
    broad = spectrum(colours_table(("hsc2017-r",)), *stars)
    assert broad[0] == pytest.approx(float(here[1]), rel=0.03)


def test_stars_redden_with_age_and_metals():
    table = colours_table(("hsc2017-g", "hsc2017-r"))

    def red(start, end, metals):
        return colour(spectrum(table, start, end, metals))

    def colour(light):
        return float(-2.5 * jnp.log10(light[0] / light[1]))

    ages = [red(0.0, end, 0.0) for end in (0.1, 0.5, 2.0, 6.0, 12.0)]
    assert np.all(np.diff(ages) > 0)
    metals = [red(5.0, 12.0, z) for z in (-0.6, -0.3, 0.0, 0.3)]
    assert np.all(np.diff(metals) > 0)


@pytest.mark.parametrize(
    ("bands", "redshift", "words"),
    [(("hsc2017-g",), 3.0, "hsc2017-g leaves"), ((2.6,), 0.0, "2.6 leaves"), (("g",), 0.0, "no")],
)
def test_bands_off_the_table_are_refused(bands, redshift, words):
    with pytest.raises(DustpostError, match=words):
        colours_table(bands, redshift)


def test_mismatch_has_the_stated_size():
    """Far from the pivot: two independent errors of one sd, and the band's own."""
    factor = colours_table((PIVOT, 1.6)).mismatch
    sd = np.sqrt((factor**2).sum(axis=1))
    assert sd[0] == pytest.approx(BAND_MISMATCH, rel=0.01)
    assert sd[1] == pytest.approx(np.hypot(np.sqrt(2) * MISMATCH, BAND_MISMATCH), rel=0.01)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_ages_are_possible(kind):
    keys = jax.random.split(jax.random.key(1), MANY)
    stars = jax.jit(jax.vmap(draw_populations))(keys, jnp.full(MANY, kind))
    assert stars.start.shape == (MANY, len(COMPONENTS))
    assert jnp.all(stars.start >= 0) and jnp.all(stars.start < stars.end)
    assert jnp.all(stars.end <= FIRST_STARS)
    assert jnp.all(stars.start[:, 3] == 0)


def test_draws_repeat_and_compile():
    """Under jit and vmap, with the kind of galaxy a traced number."""
    keys = jax.random.split(jax.random.key(5), 3)
    kinds = jnp.array([0, 1, 2])
    fast = jax.jit(jax.vmap(draw_colours))(keys, kinds)
    assert fast.shape == (3, len(BANDS), len(COMPONENTS))
    slow = jnp.stack([draw_colours(key, kind) for key, kind in zip(keys, kinds, strict=True)])
    np.testing.assert_allclose(fast, slow, rtol=1e-5)


def test_order_of_colours():
    """Ellipticals' spheroids are reddest, the young bluest; discs grow inside out."""
    spectra = np.asarray(draw(jnp.repeat(jnp.arange(3), MANY))).reshape(3, MANY, 5, 4)
    g_r = -2.5 * np.log10(spectra[:, :, 0] / spectra[:, :, 1])
    spiral, elliptical, irregular = (np.median(c, axis=0) for c in g_r)
    assert elliptical[0] > spiral[0] > irregular[3]
    assert spiral[0] > spiral[1] > spiral[2] > spiral[3]
    step = g_r[0][:, 2] - g_r[0][:, 1]
    # -0.1 mag per half-light radius in data that still hold dust and the bulge
    assert -0.09 < step.mean() < -0.03
    assert 0.03 < step.std() < 0.09
    assert np.mean(step > 0) > 0.05
    assert all(c.std(axis=0).min() > 0.05 for c in g_r)


def test_radmc_galaxies_are_covered(shared_data):
    """Dust-free colours of the RADMC-3D views, of other templates, lie among the draws."""
    wavelengths = (0.4754, 0.62, 0.77, 0.89, 0.98)
    parameters = jax.jit(jax.vmap(draw_parameters))(jax.random.split(jax.random.key(2), 3 * MANY))
    bulge, young = np.asarray(parameters.bulge_fraction), np.asarray(parameters.young_fraction)
    spectra = np.asarray(draw(parameters.galaxy, wavelengths))
    old = 1 - bulge - young
    shares = np.stack([bulge, old / 2, old / 2, young], axis=-1)
    truth = {"spiral": [], "E": [], "irr": []}
    for path in sorted((shared_data / "rt").glob("rt_*_0.fits")):
        with fits.open(path) as hdus:
            flux = np.asarray(hdus["TRUTH"].data["F"], float)[1:]
            truth[hdus["TRUTH"].header["GALTYPE"]].append(flux)
    for kind, (name, fluxes) in enumerate(truth.items()):
        mine = np.asarray(parameters.galaxy) == kind
        light = np.einsum("nbc,nc->nb", spectra[mine], shares[mine])
        ours = 2.5 * np.log10(light[:, 1:] / light[:, :1])  # g-r, g-i, g-z, g-y
        theirs = 2.5 * np.log10(np.array(fluxes)[:, 1:] / np.array(fluxes)[:, :1])
        rank = (ours[None] < theirs[:, None]).mean(axis=1)
        assert rank.min() > 0.01 and rank.max() < 0.995, (name, rank.round(3))
        centred = theirs - ours.mean(axis=0)
        inverse = np.linalg.inv(np.cov(ours, rowvar=False))
        distance = np.einsum("ni,ij,nj->n", centred, inverse, centred)
        # 99.9 % of chi-squared with four degrees of freedom
        assert distance.max() < 18.5, (name, distance.round(1))
