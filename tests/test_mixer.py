"""The flax port of HSC-64 against the equinox original."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dustpost.errors import DustpostError
from dustpost.networks.mixer import Mixer, load_equinox
from dustpost.priors.host import find_hsc64

WEIGHTS = find_hsc64()
needs_galaxygrad = pytest.mark.skipif(
    WEIGHTS is None, reason="galaxygrad 0.2.1 is not installed (pip install dustpost[hsc])"
)


@pytest.fixture(scope="module")
def original():
    """ScoreNet as galaxygrad builds it; its file is loaded alone, as its package cannot be."""
    equinox = pytest.importorskip("equinox", reason="equinox is not installed")
    path = WEIGHTS.with_name("models_eqx.py")
    spec = importlib.util.spec_from_file_location("models_eqx", path)
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    shape = (1, 64, 64)
    like = models.ScoreNet(shape, 4, 64, 512, 512, 4, 10.0, key=jax.random.key(0))
    return equinox.tree_deserialise_leaves(WEIGHTS, like)


def inputs():
    y, x = np.mgrid[:64, :64] - 31.5
    radius = np.hypot(y, 2 * x)
    galaxy = np.log1p(1.3 * np.exp(-radius / 6)) / 0.1
    noise = np.random.default_rng(1).normal(size=(64, 64))
    return {"random": 3 * noise, "galaxy": galaxy, "noisy galaxy": galaxy + 0.14 * noise}


@needs_galaxygrad
@pytest.mark.parametrize("t", [0.02, 0.3, 3.0])
@pytest.mark.parametrize("kind", inputs())
def test_port_equals_original(original, kind, t):
    image = jnp.asarray(inputs()[kind], jnp.float32)
    mixer, variables = load_equinox(WEIGHTS)
    ours = mixer.apply(variables, image, t)
    with jax.numpy_rank_promotion("allow"):
        theirs = original(image[None], t)[0]
    assert jnp.max(jnp.abs(ours - theirs)) < 1e-5 * jnp.max(jnp.abs(theirs))


@needs_galaxygrad
def test_architecture_is_read_from_the_file():
    assert load_equinox(WEIGHTS)[0] == Mixer()


@pytest.mark.parametrize("content", [b"", b"no arrays here", b"\x93NUMPY\x01\x00"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "weights.eqx"
    path.write_bytes(content)
    with pytest.raises(DustpostError, match="weights.eqx"):
        load_equinox(path)


def test_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "weights.eqx"
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"of objects")
    with pytest.raises(DustpostError, match="weights.eqx"):
        load_equinox(path)
