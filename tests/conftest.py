"""Settings that make sloppy code fail, and where the shared example data lie."""

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import jax
import pytest

# (band,) against (band, y, x) is nearly always a mistake: every broadcast must be written out
jax.config.update("jax_numpy_rank_promotion", "raise")


# read by every process that imports jax
CACHE = "JAX_COMPILATION_CACHE_DIR"
LEAST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def pytest_configure(config):
    """Let all processes of one run share what they compile: most of the suite's time."""
    if CACHE not in os.environ:
        config.compiled = os.environ[CACHE] = tempfile.mkdtemp(prefix="dustpost-compiled-")
        os.environ[LEAST] = "0"  # the hundreds of small ones as well
        # XLA's loader complains of features that are only hints to its own compiler
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        jax.config.update(CACHE.lower(), config.compiled)
        jax.config.update(LEAST.lower(), 0.0)


def pytest_unconfigure(config):
    """Remove what `pytest_configure` made."""
    if hasattr(config, "compiled"):
        shutil.rmtree(config.compiled, ignore_errors=True)
        del os.environ[CACHE], os.environ[LEAST]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of example data: $DUSTPOST_DATA, or ../shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DUSTPOST_DATA", beside))
    if not (folder / "real").is_dir():
        pytest.skip(f"no example data in {folder}: set DUSTPOST_DATA to their folder")
    return folder


# Linux grants a process 65530 memory mappings (vm.max_map_count); the programs of a fit take
# 13000 and 3 GB
MAPPINGS = 25_000


def _mappings() -> int:
    """Memory mappings of this process; 0 where the system does not tell."""
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


@pytest.fixture(autouse=True)
def forget_programs():
    """Forget the compiled programs once they hold many memory mappings, and gigabytes.

    XLA does not check the limit: a process that runs past it dies in the compiler.
    """
    yield
    if _mappings() > MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="module")
def quick_compilation():
    """For modules of tiny networks, where most of the time is XLA's."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    # the next module's programs, to the bit, must not depend on whether this one ran before it
    jax.clear_caches()


@pytest.fixture
def train_and_die():
    """Start `training.train` with some arguments, and kill it after so many steps."""

    def run(steps: int, *arguments, **options) -> None:
        from dustpost.networks import training

        real, taken = training.train_step, []

        def dies(*inputs):
            taken.append(1)
            if len(taken) > steps:
                raise KeyboardInterrupt
            return real(*inputs)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training, "train_step", dies)
            training.train(*arguments, **options)

    return run


@pytest.fixture
def float64():
    """Run one test in double precision."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def dustpost(monkeypatch, capsys):
    """Run a command; gives (exit code, standard output, standard error)."""

    def run(*arguments) -> tuple[int, str, str]:
        from dustpost import cli

        monkeypatch.setattr(sys, "argv", ["dustpost", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run
