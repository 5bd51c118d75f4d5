"""Settings that make sloppy code fail, and where the shared example data lie."""

import gc
import os
import sys
from pathlib import Path

import jax
import pytest

# (band,) against (band, y, x) is nearly always a mistake: every broadcast must be written out
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of example data: $DUSTPOST_DATA, or ../shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DUSTPOST_DATA", beside))
    if not (folder / "real").is_dir():
        pytest.skip(f"no example data in {folder}: set DUSTPOST_DATA to their folder")
    return folder


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Forget a module's compiled programs when it is done.

    Each keeps a few memory mappings.  Linux grants a process 65530 (vm.max_map_count), and XLA
    does not check: the whole suite in one process runs past that and dies in the compiler.
    """
    yield
    jax.clear_caches()
    gc.collect()


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
