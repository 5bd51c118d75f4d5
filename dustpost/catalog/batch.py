"""The work of one task: read galaxies, draw those of one kind side by side, land each.

A galaxy that cannot be read, or whose chains meet a nan, fails by itself with a sentence; the
others of its batch go on. The compiled call always has the plan's width: a batch that is
short is filled up with its last galaxy, so that there is one program, and a galaxy's lane
sees the same arithmetic beside whatever others. PSF images are framed with zeros to one of a
few sides, so that surveys whose PSFs differ by a pixel do not compile anew for each.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dustpost.amount import used
from dustpost.catalog.identity import key_of
from dustpost.catalog.plan import Plan, check_here
from dustpost.catalog.store import Store, StoreError
from dustpost.errors import DustpostError
from dustpost.findings import Finding
from dustpost.io.checks import check_cutout
from dustpost.io.cutout import Cutout
from dustpost.io.objects import Object
from dustpost.io.read import read
from dustpost.outputs import write_outputs
from dustpost.sample import sample_many

PSF_SIDES = (1, 15, 25, 35, 45, 55, 63)


class Outcome(NamedTuple):
    """What became of one galaxy: "done", "failed" with the reason, or "there" from before."""

    object_id: str
    state: str
    reason: str = ""


class Ready(NamedTuple):
    """One galaxy that was read."""

    object_id: str
    cutout: Cutout
    findings: list[Finding]


def work(root: str, plan: Plan, objects: Sequence[Object]) -> list[Outcome]:
    """Do some galaxies and land them in the store.

    Parameters
    ----------
    root : str
        The store, as this process sees it.
    plan : Plan
    objects : sequence of Object

    Returns
    -------
    list of Outcome
        One a galaxy, in no order.

    Raises
    ------
    StoreError
        The store cannot be written.
    DustpostError
        This process is not fit for the plan: other versions, weights or device.
    """
    keep_programs()
    _check_once(plan)
    store, outcomes, groups = Store(Path(root)), [], {}
    for one in objects:
        if store.is_done(one.object_id):
            outcomes.append(Outcome(one.object_id, "there"))
            continue
        try:
            ready = prepare(one, plan)
            cutout = ready.cutout
            kind = cutout.data.shape, cutout.psf.shape, used(cutout, plan.settings)
        except Exception as error:  # whatever is wrong with one file is its own affair
            outcomes.append(_failed(store, one.object_id, error))
        else:
            groups.setdefault(kind, []).append(ready)
    for group in groups.values():
        for start in range(0, len(group), plan.width):
            outcomes += _batch(store, plan, group[start : start + plan.width])
    return outcomes


def prepare(one: Object, plan: Plan) -> Ready:
    """Read and check one galaxy.

    Raises
    ------
    DustpostError
        It cannot be used.
    """
    if one.problem:
        raise DustpostError(one.problem)
    redshift = None if math.isnan(one.redshift) else one.redshift
    paths = [Path(path) for path in one.paths]
    cutout = read(paths, bin=plan.bin, redshift=redshift, ebv=plan.ebv or None)
    findings = check_cutout(cutout)
    errors = [f.message for f in findings if f.level == "error"]
    if errors:
        raise DustpostError(f"{cutout.source}: {'; '.join(errors)}")
    return Ready(one.object_id, frame_psf(cutout), findings)


def frame_psf(cutout: Cutout) -> Cutout:
    """The same PSF in a square of the next of `PSF_SIDES`, zero around."""
    height, width = cutout.psf.shape[-2:]
    side = next((s for s in PSF_SIDES if s >= max(height, width)), None)
    if side is None or side == height == width:
        return cutout
    up, left = (side - height) // 2, (side - width) // 2
    return replace(cutout, psf=np.pad(cutout.psf, ((0, 0), (up, up), (left, left))))


def draw(batch: Sequence[Ready], plan: Plan) -> list:
    """Posteriors of a batch of one shape, an exception in the place of one that has none."""
    filled = [*batch, *[batch[-1]] * (plan.width - len(batch))]
    keys = jnp.stack([key_of(plan.settings.seed, one.object_id) for one in filled])
    try:
        return sample_many(keys, [one.cutout for one in filled], plan.settings)[: len(batch)]
    except Exception as error:  # one galaxy can spoil it for all: each by itself, as wide
        if len(batch) == 1:
            return [error]
        return [draw([one], plan)[0] for one in batch]


def keep_programs() -> None:
    """Keep compiled programs between processes: in $JAX_COMPILATION_CACHE_DIR, else ~/.cache.

    They are machine code and are trusted as such, so the folder is the user's alone, and
    each kind of processor has its own (nodes of a cluster may share a home).
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dustpost"
    folder = base / "programs" / _processor()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        base.chmod(0o700)
    except OSError:
        return  # nowhere to keep them: each process compiles for itself
    jax.config.update("jax_compilation_cache_dir", str(folder))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "any"
    marks = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return sha256("\n".join(sorted(set(marks))).encode()).hexdigest()[:12]


@lru_cache
def _check_once(plan: Plan) -> None:
    check_here(plan)


def _batch(store: Store, plan: Plan, batch: Sequence[Ready]) -> list[Outcome]:
    outcomes = []
    for one, found in zip(batch, draw(batch, plan), strict=True):
        if isinstance(found, Exception):
            outcomes.append(_failed(store, one.object_id, found))
            continue
        try:
            new = store.land(one.object_id, _writer(found, one, plan.report))
        except StoreError:
            raise
        except DustpostError as error:
            outcomes.append(_failed(store, one.object_id, error))
        else:
            outcomes.append(Outcome(one.object_id, "done" if new else "there"))
    return outcomes


def _writer(tree, one: Ready, report: bool):
    return lambda folder: write_outputs(folder, tree, one.cutout, one.findings, report)


def _failed(store: Store, object_id: str, error: Exception) -> Outcome:
    text = " ".join(str(error).split())
    if not isinstance(error, DustpostError):
        text = f"{type(error).__name__}: {text}"
    store.fail(object_id, text)
    return Outcome(object_id, "failed", text)
