"""Settings from TOML and options; every mistake is one sentence that names it."""

import pytest

from dustpost.errors import DustpostError
from dustpost.settings import Settings, read_settings


def test_options_override_the_file(tmp_path):
    path = tmp_path / "fit.toml"
    path.write_text("chains = 2\nsigma_dust = 1\nseed = 5\n")
    settings = read_settings(path, {"chains": 3, "draws": None})
    assert (settings.chains, settings.sigma_dust, settings.seed) == (3, 1.0, 5)
    assert settings.draws == Settings().draws


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chain = 2", "did you mean 'chains'"),
        ("chains = 'two'", "should be of type int"),
        ("chains = 2.5", "should be of type int"),
        ("chains = 0", "at least 1"),
        ("prior_draws = 1", "at least 2"),
        ("chains = ", "not a readable TOML"),
        ("sigma_dust = -0.1", "at least 0"),
        ("noise_inflation = nan", "positive"),
        ("model_error = -0.1", "at least 0"),
        ("t_host = 9.0", "all noise"),
        ("curve = 'ccm'", "none of calzetti-noll, paper"),
        ("cross_term = 'whole'", "none of anchored, cut, full"),
        ("target = 'clean'", "none of denoised, smoothed"),
        ("sampler = 'nuts'", "none of gibbs, langevin, split-gibbs"),
    ],
)
def test_mistakes_are_named(tmp_path, text, words):
    path = tmp_path / "fit.toml"
    path.write_text(text)
    with pytest.raises(DustpostError, match=words):
        read_settings(path, {})


def test_a_missing_file(tmp_path):
    with pytest.raises(DustpostError, match=r"none\.toml"):
        read_settings(tmp_path / "none.toml", {})
