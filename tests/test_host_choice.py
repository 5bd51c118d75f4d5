"""Which host prior a fit gets."""

from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from dustpost import assemble, sample
from dustpost.errors import DustpostError
from dustpost.io.read import read
from dustpost.priors.joint import load_joint_prior, load_sim_prior
from dustpost.settings import Settings

DEMO = Path(str(resources.files("dustpost") / "data" / "demo.fits"))


@pytest.mark.parametrize(
    ("options", "installed", "expected"),
    [
        ({}, True, ("hsc64", None)),
        ({}, False, ("sim", None, False)),
        ({"cross_term": "anchored"}, True, ("sim", None, True)),
        ({"cross_term": "anchored", "host_prior": "hsc64"}, True, ("hsc64", None)),
        ({"host_prior": "sim"}, True, ("sim", None, False)),
        ({"host_prior": "hsc64"}, False, ("hsc64", None)),
        ({"host_weights": "own.safetensors"}, True, ("sim", "own.safetensors", False)),
        ({"host_weights": "cache/net.eqx"}, False, ("hsc64", "cache/net.eqx")),
        ({"host_weights": "net.bin", "host_prior": "sim"}, True, ("sim", "net.bin", False)),
    ],
)
def test_choice(monkeypatch, options, installed, expected):
    monkeypatch.setattr(assemble, "find_hsc64", lambda: "there" if installed else None)
    monkeypatch.setattr(assemble, "load_sim_prior", lambda *asked: ("sim", *asked))
    monkeypatch.setattr(assemble, "load_host_prior", lambda weights: ("hsc64", weights))
    assert assemble.choose_host_prior(Settings(**options)) == expected


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
