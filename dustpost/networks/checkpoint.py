"""Weights on disk: safetensors, flat names, and a description inside the file.

The file's metadata say which network and which coordinate the numbers belong
to and carry a digest of the tensors, so that a damaged file or one made for
another architecture is refused instead of being believed.
"""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dustpost.errors import DustpostError


def flatten(tree: dict) -> dict[str, np.ndarray]:
    """Return the leaves of nested dicts by names joined with '/'."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(str(k.key) for k in path): np.asarray(leaf) for path, leaf in leaves}


def unflatten(flat: dict[str, np.ndarray]) -> dict:
    """Undo `flatten`."""
    tree: dict = {}
    for name, leaf in flat.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def digest(flat: dict[str, np.ndarray]) -> str:
    """Return the sha256 of names, types, shapes and bytes, in order of name."""
    total = hashlib.sha256()
    for name in sorted(flat):
        leaf = np.array(flat[name], order="C")
        total.update(f"{name} {leaf.dtype} {leaf.shape}".encode())
        total.update(leaf.tobytes())
    return total.hexdigest()


def sha256(path: str | Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def save(path: str | Path, params: dict, metadata: dict[str, str]) -> None:
    """Write nested parameters and their description; never half a file.

    Parameters
    ----------
    path : path
        File to write.
    params : dict
        Nested dicts of arrays.
    metadata : dict of str
        Words about them; `load` returns the same.
    """
    path = Path(path)
    # not ascontiguousarray, which makes scalars one-dimensional
    flat = {name: np.array(leaf, order="C") for name, leaf in flatten(params).items()}
    part = path.with_name(path.name + ".part")
    save_file(flat, part, metadata={**metadata, "digest": digest(flat)})
    part.chmod(0o644)  # safetensors writes 0600
    part.replace(path)


def metadata(path: str | Path) -> dict[str, str]:
    """Return the words that `save` was given, without reading the parameters.

    Raises
    ------
    DustpostError
        If the file is not a safetensors file.
    """
    try:
        with safe_open(Path(path), framework="numpy") as file:
            found = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise DustpostError(f"{path}: not a readable safetensors file ({error}).") from error
    return {name: value for name, value in found.items() if name != "digest"}


def load(path: str | Path, expected: str | None = None) -> tuple[dict, dict[str, str]]:
    """Read what `save` wrote.

    Parameters
    ----------
    path : path
        File to read.
    expected : str, optional
        The file's sha256 according to its model card.

    Returns
    -------
    params : dict
        Nested dicts of numpy arrays.
    metadata : dict of str

    Raises
    ------
    DustpostError
        If the file is missing, damaged, or not the one the card describes.
    """
    path = Path(path)
    if not path.is_file():
        raise DustpostError(f"{path}: no such weight file; give a .safetensors file of dustpost.")
    if expected is not None and (found := sha256(path)) != expected:
        raise DustpostError(f"{path}: sha256 is {found}, its model card says {expected}.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise DustpostError(f"{path}: not a readable safetensors file ({error}).") from error
    if metadata.pop("digest", None) != digest(flat):
        raise DustpostError(f"{path}: the tensors do not match the digest in the file: damaged.")
    return unflatten(flat), metadata


def card_sha256(card: str | Path) -> str:
    """Return the sha256 that a model card states on its line `sha256: ...`."""
    card = Path(card)
    if card.is_file():
        for line in card.read_text().splitlines():
            if line.startswith("sha256:"):
                return line.removeprefix("sha256:").strip().strip("`")
    raise DustpostError(f"{card}: no line 'sha256: ...' in the model card.")


def describe(**values) -> dict[str, str]:
    """Return metadata from values, each as JSON."""
    return {name: json.dumps(value) for name, value in values.items()}
