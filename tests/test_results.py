"""The tree of results and posterior.nc: groups, units, and that both ArviZ lines read it."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from dustpost.errors import DustpostError
from dustpost.io.netcdf import import_arviz, open_posterior, to_arviz, write_posterior
from dustpost.results import dustmap_images, settings_of, to_tree
from tests.synthetic import BANDS, make_cutout, make_draws


@pytest.fixture(scope="module")
def tree():
    return to_tree(make_draws(16), make_cutout(16))


@pytest.fixture(scope="module")
def written(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("nc") / "posterior.nc"
    write_posterior(path, tree)
    return path


def test_groups_have_the_contract_variables(tree):
    posterior = tree["posterior"]
    assert posterior["F"].dims == ("chain", "draw", "band")
    assert list(posterior["band"].values) == list(BANDS)
    for name in ("delta", "mean_attenuation", "covering_fraction", "log_screen"):
        assert posterior[name].dims == ("chain", "draw")
    assert tree["posterior_maps"]["D"].dims == ("chain", "draw", "y", "x")
    for name in ("D", "A"):
        for statistic in ("mean", "sd", "q16", "q50", "q84", "rhat", "ess"):
            assert np.isfinite(tree["maps"][f"{name}_{statistic}"]).all()


def test_every_variable_says_its_unit(tree):
    for node in tree.subtree:
        for name, variable in node.data_vars.items():
            assert {"units", "description"} <= set(variable.attrs), (node.path, name)
    assert tree["posterior"]["F"].attrs["units"] == "nJy"
    assert tree["maps"]["A_sd"].attrs["units"] == "mag"


def test_attenuation_follows_the_norm():
    draws = make_draws(8)
    paper = draws._replace(settings={**draws.settings, "k_reference": 1.1605})
    unit = to_tree(draws, make_cutout(8))["maps"]["A_mean"]
    assert np.allclose(to_tree(paper, make_cutout(8))["maps"]["A_mean"], 1.1605 * unit)


def test_kept_draws_keep_their_numbers(tree):
    assert tree["posterior_maps"]["draw"].values[0] == 9
    assert tree["posterior_maps"].sizes["draw"] == 40


def test_round_trip(tree, written):
    back = open_posterior(written)
    for node in tree.subtree:
        xr.testing.assert_identical(node.to_dataset(), back[node.path].to_dataset())
    settings = settings_of(back)
    assert settings["seed"] == 1
    assert settings["k"] == pytest.approx([1.0, 0.71, 0.52, 0.42, 0.37])
    assert settings["versions"].startswith("python 3.11, jax")


def test_written_twice_is_the_same_file(tree, written, tmp_path):
    write_posterior(tmp_path / "again.nc", tree)
    assert (tmp_path / "again.nc").read_bytes() == written.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["again.nc"]


@pytest.mark.filterwarnings("ignore")
def test_arviz_reads_it(tree, written):
    """Runs under whichever ArviZ is installed: 0.23 InferenceData, 1.x DataTree."""
    arviz = import_arviz()
    data = arviz.from_netcdf(written)
    assert np.array_equal(data["posterior"]["F"].values, tree["posterior"]["F"].values)
    assert list(data["posterior"]["band"].values) == list(BANDS)
    assert data["maps"]["A_q84"].shape == (16, 16)
    summary = arviz.summary(data, var_names=["delta", "F"])
    assert len(summary) == 1 + len(BANDS)


@pytest.mark.filterwarnings("ignore")
def test_to_arviz_needs_no_file(tree):
    data = to_arviz(tree)
    assert np.array_equal(data["posterior"]["delta"], tree["posterior"]["delta"])


def test_missing_file(tmp_path):
    with pytest.raises(DustpostError, match="no such file"):
        open_posterior(tmp_path / "none.nc")


def test_not_netcdf(tmp_path):
    path = tmp_path / "posterior.nc"
    path.write_text("SIMPLE  = T")
    with pytest.raises(DustpostError, match=r"posterior\.nc: cannot be read as netCDF4"):
        open_posterior(path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_truncated_file(written, tmp_path, share):
    whole = written.read_bytes()
    path = tmp_path / "posterior.nc"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DustpostError, match="posterior.nc: cannot be read"):
        open_posterior(path)


def test_file_of_another_program(tmp_path):
    path = tmp_path / "other.nc"
    group = xr.Dataset({"mu": (("chain", "draw"), np.zeros((2, 3)))})
    xr.DataTree.from_dict({"posterior": group}).to_netcdf(path)
    with pytest.raises(DustpostError, match="group 'posterior' has no variable 'F'"):
        open_posterior(path)


def test_failed_write_leaves_nothing(tree, tmp_path):
    with pytest.raises(DustpostError, match="cannot be written"):
        write_posterior(tmp_path / "absent" / "posterior.nc", tree)
    assert not list(tmp_path.iterdir())


def test_wrong_shapes_are_refused():
    draws = make_draws(8)
    with pytest.raises(ValueError, match=r"Draws\.model has shape"):
        to_tree(draws._replace(model=draws.model[:2]), make_cutout(8))


def test_dustmap_images(tree):
    images = dustmap_images(tree)
    assert list(images)[:3] == ["A_MEAN", "A_SD", "A_Q16"]
    assert images["A_MEAN"][1] == "mag"
    assert images["RESID"][0].shape == (len(BANDS), 16, 16)
    assert np.isnan(images["RESID"][0][:, 4, 5]).all()  # masked
    assert all(array.dtype == np.float32 for array, _ in images.values())


def test_cutout_without_truth_wcs_or_unit():
    cutout = dataclasses.replace(make_cutout(8, wcs=False), truth=None, unit="")
    tree = to_tree(make_draws(8)._replace(attenuated_flux=None), cutout)
    assert "truth" not in tree.children
    assert "F_attenuated" not in tree["posterior"]
