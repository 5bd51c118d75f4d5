"""The shape of the code: imports go one way, nothing unsafe is read, import is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "dustpost"
# each may import from those before it (and from its own folder), never from those after
LAYERS = (
    ("errors", "findings", "data"),
    ("attenuation", "bands", "milky_way", "observation", "forward", "likelihood", "coordinates")
    + ("colour_covariance", "colour_of_dust", "model_error", "galaxy"),
    ("networks",),
    ("priors",),
    ("block", "posterior", "simulate", "colour", "field_light"),
    ("samplers", "model"),
    ("io", "draws", "results", "diagnostics"),
    ("plots", "assumptions", "verdict", "report"),
    ("settings", "progress", "mock", "outputs", "amount", "assemble", "starts", "warm_up")
    + ("gather", "sample")
    + ("pairs", "train", "doctor"),
    ("ladder", "reproduce", "sensitivity", "multimodal"),
    ("catalog",),
    ("cli",),
)
RANK = {name: i for i, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")
# astropy, WCS and strings stop at io; plots need it for stretches, the ladder for its table
ASTRONOMY = {"io", "plots", "simulate", "bands", "milky_way", "ladder", "reproduce"}
ASTRONOMY |= {"sensitivity", "multimodal"}  # for their tables


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def home(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    own = home(path)
    assert own in RANK, f"{own} has no layer yet: add it to LAYERS"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "dustpost" and len(parts) > 1 and parts[1] in RANK:
            assert RANK[parts[1]] <= RANK[own], f"{own} imports {name}"
        if parts[0] == "astropy":
            assert own in ASTRONOMY, f"{own} imports {name}"
        assert parts[0] != "pickle", f"{own} imports pickle"


def test_no_file_of_leftovers():
    assert not [p for p in MODULES if p.stem in ("utils", "helpers", "misc", "common")]


def test_import_is_quick_and_loads_no_matplotlib():
    script = (
        "import time; t = time.perf_counter(); import dustpost; t = time.perf_counter() - t\n"
        "import sys; print(t, 'matplotlib' in sys.modules, 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    seconds, matplotlib, jax = done.stdout.split()
    assert float(seconds) < 2.0
    assert matplotlib == jax == "False"


def test_jax_is_not_a_miscompiling_one():
    import jax
    import jaxlib

    from dustpost.doctor import MISCOMPILING

    assert jax.__version__ not in MISCOMPILING
    assert jaxlib.__version__ not in MISCOMPILING


def test_canary():
    from dustpost.doctor import TOLERANCE, canary_error

    assert canary_error() < TOLERANCE
