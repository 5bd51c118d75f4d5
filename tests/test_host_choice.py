"""Which host prior a fit gets."""

from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import pytest

from dustpost import assemble, sample
from dustpost.errors import DustpostError
from dustpost.io.read import read
from dustpost.priors.joint import load_joint_prior
from dustpost.priors.sim import load_sim_prior
from dustpost.settings import SIGMA_DUST, SIGMA_ENERGY, Settings
from tests import gaussian_world as world

DATA = resources.files("dustpost") / "data"
DEMO = Path(str(DATA / "demo.fits"))
JOINT = str(DATA / "joint.safetensors")


@pytest.mark.parametrize(
    ("options", "installed", "expected"),
    [
        ({}, True, ("sim", None, True)),
        ({"cross_term": "cut"}, True, ("hsc64", None)),
        ({"cross_term": "cut"}, False, ("sim", None, False)),
        ({"host_prior": "hsc64"}, True, ("hsc64", None)),
        ({"cross_term": "full"}, True, ("sim", None, True)),
        ({"cross_term": "full", "dust_weights": JOINT}, True, ("hsc64", None)),
        ({"cross_term": "cut", "host_prior": "sim"}, True, ("sim", None, False)),
        ({"host_prior": "hsc64"}, False, ("hsc64", None)),
        ({"host_weights": "own.safetensors"}, True, ("sim", "own.safetensors", True)),
        ({"host_weights": "cache/net.eqx"}, False, ("hsc64", "cache/net.eqx")),
        ({"host_weights": "net.bin", "host_prior": "sim"}, True, ("sim", "net.bin", True)),
    ],
)
def test_choice(monkeypatch, options, installed, expected):
    monkeypatch.setattr(assemble, "find_hsc64", lambda: "there" if installed else None)
    monkeypatch.setattr(assemble, "load_sim_prior", lambda *asked: ("sim", *asked))
    monkeypatch.setattr(assemble, "load_host_prior", lambda weights: ("hsc64", weights))
    assert assemble.choose_host_prior(Settings(**options)) == expected


def test_the_full_cross_term_is_an_energys_or_that_of_a_network_of_both():
    dust = assemble.choose_dust_prior(Settings(cross_term="full"))
    assert dust.normalised and dust.log_density is not None
    assert dust.amount == () != assemble.choose_dust_prior(Settings()).amount
    assert assemble.usual_noise(dust) == SIGMA_ENERGY
    score = assemble.choose_dust_prior(Settings(cross_term="cut"))
    assert assemble.usual_noise(score) == SIGMA_DUST["transmission"]
    assert hasattr(assemble.choose_dust_prior(full_by(JOINT)), "conditional")
    with pytest.raises(DustpostError, match="noise levels tied, or .* a network of hosts and dust"):
        assemble.choose_dust_prior(full_by(str(DATA / "dust.safetensors")))
    with pytest.raises(DustpostError, match="hsc64: known only by its score.*--host-prior sim"):
        host = SimpleNamespace(name="hsc64", log_density=None)
        assemble.check_densities(world.full_target().replace(host_prior=host))


def full_by(path):
    """The full cross term by these weights of the dust."""
    return Settings(cross_term="full", dust_weights=path)


def test_a_prior_for_other_images_is_refused():
    cutout = read([DEMO])
    priors = load_sim_prior(), load_joint_prior()
    assemble.check_shapes(cutout, *priors)
    small = replace(cutout, data=cutout.data[:, :32, :32], ivar=cutout.ivar[:, :32, :32])
    for prior in priors:
        with pytest.raises(DustpostError, match="32x32 pixels, but the weights .* 64x64"):
            assemble.check_shapes(small, prior)


def test_cutouts_of_two_shapes_are_not_sampled_together():
    cutout = read([DEMO])
    small = replace(cutout, data=cutout.data[:3], ivar=cutout.ivar[:3])
    with pytest.raises(DustpostError, match="sample them apart"):
        sample.check_alike([cutout, small])
