"""Simulated cutouts: truth, survey, files that the reader takes."""

import jax
import numpy as np
import pytest
from astropy.io import fits

from dustpost.errors import DustpostError
from dustpost.io.read import read
from dustpost.mock import cutout_of, draw_view, expose_cutout, write_suite
from dustpost.simulate.survey import NANOJANSKY, get_survey, noise_sd


@pytest.fixture(scope="module")
def suites(tmp_path_factory):
    """The same galaxy, ideal, of one colour, and through HSC."""
    folder = tmp_path_factory.mktemp("suite")

    def write(name, galaxies, views, survey="hsc-wide", monochromatic=False):
        return write_suite(folder / name, galaxies, views, 3, survey, 18.0, monochromatic)

    return {
        "seen": write("seen", 1, 2),
        "again": write("again", 2, 1),
        "ideal": write("ideal", 1, 1, "none"),
    }


def test_files_read_back_with_their_truth(suites):
    cutout = read([suites["seen"][0]])
    truth = cutout.truth
    assert cutout.data.shape == (5, 64, 64) and cutout.unit == "nJy"
    np.testing.assert_allclose(truth.host.sum(), 1.0, rtol=1e-5)
    assert 0 < truth.transmission.min() and truth.transmission.max() <= 1
    np.testing.assert_allclose(-2.5 * np.log10(truth.flux[1]) + NANOJANSKY, 18.0, atol=1e-3)
    depth = -2.5 * np.log10(truth.transmission)
    np.testing.assert_allclose(truth.mean_attenuation, (truth.host * depth).sum(), rtol=1e-4)
    sd = cutout.ivar[:, 0, 0] ** -0.5
    np.testing.assert_allclose(sd, noise_sd(get_survey("hsc-wide")), rtol=1e-4)


def test_noise_is_that_of_the_inverse_variance():
    survey = get_survey("hsc-wide")
    ideal = cutout_of(*draw_view(3, 0, 0), survey.bands)
    one, other = (expose_cutout(jax.random.key(n), ideal, survey, 18.0) for n in (0, 1))
    np.testing.assert_array_equal(one.ivar, other.ivar)
    pull = (one.data - other.data) * np.sqrt(one.ivar / 2)
    np.testing.assert_allclose(np.std(pull, axis=(1, 2)), 1.0, atol=0.04)


def test_a_galaxy_does_not_depend_on_how_many_are_asked_for(suites):
    first, again = read([suites["seen"][0]]), read([suites["again"][0]])
    np.testing.assert_array_equal(first.data, again.data)


def test_views_are_the_same_galaxy_turned(suites):
    one, other = (read([path]).truth for path in suites["seen"])
    np.testing.assert_allclose(one.flux, other.flux, rtol=0.1)  # but for light off the frame
    assert np.abs(one.host - other.host).max() > 1e-3
    numbers = [draw_view(3, 0, view)[1].parameters for view in (0, 1)]
    assert numbers[0].half_light_radius == numbers[1].half_light_radius
    assert numbers[0].cos_inclination != numbers[1].cos_inclination


def test_an_ideal_image_is_refused_with_the_reason(suites):
    with pytest.raises(DustpostError, match="NOISE = none"):
        read([suites["ideal"][0]])


def test_a_survey_of_other_bands_is_refused(suites):
    cutout = read([suites["seen"][0]])
    with pytest.raises(DustpostError, match="decam2014-g"):
        expose_cutout(jax.random.key(0), cutout, get_survey("decals"))


def test_an_unknown_survey_is_refused(tmp_path):
    with pytest.raises(DustpostError, match="hsc-wide"):
        write_suite(tmp_path, 1, 1, 0, "sdss", 18.0)
    assert not list(tmp_path.iterdir())


def test_simulate_command(dustpost, tmp_path):
    options = ("--galaxies", 1, "--monochromatic", "--survey", "none")
    code, out, _ = dustpost("simulate", "--out", tmp_path, *options)
    assert code == 0 and "1 files written" in out
    with fits.open(tmp_path / "sim_00000_0_mono.fits") as hdus:
        assert hdus[0].header["NOISE"] == "none" and "IVAR" not in hdus
        flux, host = hdus["TRUTH"].data["F"], hdus["TRUE_HOST"].data
        dimming = 10 ** (-0.4 * hdus["TRUE_A"].data)
        bright = host > 1e-3 * host.max()
        one_colour = flux[:, None, None] * host * dimming
        np.testing.assert_allclose(hdus[0].data[:, bright], one_colour[:, bright], rtol=1e-3)
    code, _, err = dustpost("simulate", "--out", tmp_path / "new", "--survey", "sdss")
    assert code == 2 and err.count("\n") == 1 and not (tmp_path / "new").exists()
