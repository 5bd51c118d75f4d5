"""Which host prior a fit gets."""

import pytest

from dustpost import sample
from dustpost.settings import Settings


@pytest.mark.parametrize(
    ("options", "installed", "expected"),
    [
        ({}, True, ("hsc64", None)),
        ({}, False, ("sim", None)),
        ({"host_prior": "sim"}, True, ("sim", None)),
        ({"host_prior": "hsc64"}, False, ("hsc64", None)),
        ({"host_weights": "own.safetensors"}, True, ("sim", "own.safetensors")),
        ({"host_weights": "cache/net.eqx"}, False, ("hsc64", "cache/net.eqx")),
        ({"host_weights": "net.bin", "host_prior": "sim"}, True, ("sim", "net.bin")),
    ],
)
def test_choice(monkeypatch, options, installed, expected):
    monkeypatch.setattr(sample, "find_hsc64", lambda: "there" if installed else None)
    monkeypatch.setattr(sample, "load_sim_prior", lambda weights: ("sim", weights))
    monkeypatch.setattr(sample, "load_host_prior", lambda weights: ("hsc64", weights))
    assert sample.choose_host_prior(Settings(**options)) == expected
