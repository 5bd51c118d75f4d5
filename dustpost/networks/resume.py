"""The state of a training run on disk, and what a run may start from.

A state is a pytree of arrays, stored leaf by leaf: restored, it has the same bits. Beside
it stands what the run is, so that no run goes on from the state of another.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from dustpost.errors import DustpostError
from dustpost.networks import checkpoint

# A run may be made longer, and may move to a machine that takes more pairs at once.
FREE = ("config", "config steps", "config micro")


def save_state(path: Path, state: Any, facts: dict[str, str]) -> None:
    """Write a state that `load_state` restores bit for bit."""
    leaves = {f"{number:04d}": leaf for number, leaf in enumerate(jax.tree.leaves(state))}
    checkpoint.save(path, leaves, facts)


def load_state(path: Path, like: Any) -> Any:
    """Restore a state into the shape of another."""
    flat, _ = checkpoint.load(path)
    leaves = [jnp.asarray(flat[name]) for name in sorted(flat)]
    if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in jax.tree.leaves(like)]:
        raise DustpostError(f"{path}: the state of another network; give another --out.")
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def check_resumable(path: Path, facts: dict[str, Any]) -> None:
    """Make sure that a state belongs to this run; only `FREE` may have changed.

    Raises
    ------
    DustpostError
        If it belongs to another.
    """
    found = {name: json.loads(value) for name, value in checkpoint.metadata(path).items()}
    found, wanted = (
        {**facts, **{f"config {name}": value for name, value in facts["config"].items()}}
        for facts in (found, json.loads(json.dumps(facts)))
    )
    for name, value in wanted.items():
        if name not in FREE and found.get(name) != value:
            raise DustpostError(
                f"{path}: belongs to a run with another {name} ({found.get(name)}, now {value}); "
                "give another --out or the same options."
            )


def adopt(params: dict, start: dict) -> dict:
    """Replace fresh parameters by those of an earlier network of the same shape.

    Layers that the earlier one lacks keep their start.

    Raises
    ------
    DustpostError
        If a layer that both have differs in shape.
    """
    fresh, known = checkpoint.flatten(params), checkpoint.flatten(start)
    for name in known:
        if name not in fresh or fresh[name].shape != known[name].shape:
            wanted = fresh[name].shape if name in fresh else "no such layer"
            raise DustpostError(
                f"--start: layer {name} has shape {known[name].shape}, this network has {wanted}; "
                "give weights of the same network."
            )
    return jax.tree.map(jnp.asarray, checkpoint.unflatten({**fresh, **known}))
