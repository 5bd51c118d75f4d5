"""Weight files of the package's own networks: found, verified, and put into their shape."""

import json
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dustpost.errors import DustpostError
from dustpost.networks import checkpoint


class Weights(NamedTuple):
    """What a prior is made of.

    Attributes
    ----------
    parameters : pytree
    denoiser : hashable
        The network without its weights.
    description : tuple of (str, str)
        The file's metadata, values as JSON.
    sha256 : str
        Of the file.
    """

    parameters: Any
    denoiser: Any
    description: tuple
    sha256: str


def read_weights(
    path: str | Path | None, shipped: str, rebuild: Callable[[dict], Any], kind: str
) -> Weights:
    """Read a weight file that `dustpost train` wrote.

    Parameters
    ----------
    path : path or None
        None takes the shipped one.
    shipped : str
        Its name in dustpost/data; its model card, of the suffix .md, states its sha256.
    rebuild : callable
        Metadata -> denoiser; raises KeyError, TypeError or ValueError.
    kind : str
        "dust" or "host", as `dustpost train` calls it.

    Raises
    ------
    DustpostError
        If the file is missing, damaged, of another architecture, or (for the
        shipped one) not the file that its model card describes.
    """
    if path is not None:
        return _build(Path(path), None, rebuild, kind)
    with as_file(files("dustpost.data")) as folder:
        file = folder / shipped
        if not file.is_file():
            raise DustpostError(
                f"{shipped}: no such weights ship with this version; "
                f"give a file that `dustpost train {kind}` wrote."
            )
        return _build(file, checkpoint.card_sha256(file.with_suffix(".md")), rebuild, kind)


def _build(path: Path, expected: str | None, rebuild, kind: str) -> Weights:
    params, metadata = checkpoint.load(path, expected)
    try:
        denoiser = rebuild({name: json.loads(value) for name, value in metadata.items()})
        same = jax.tree.map(lambda a, b: a.shape == b.shape, _wanted(denoiser), params)
        if not all(jax.tree.leaves(same)):
            raise ValueError("shapes of the tensors")
    except (DustpostError, KeyError, TypeError, ValueError) as error:
        raise DustpostError(
            f"{path}: not the weights of a {kind} network ({error}); "
            f"give a file that `dustpost train {kind}` wrote."
        ) from error
    return Weights(
        parameters=jax.tree.map(jnp.asarray, params),
        denoiser=denoiser,
        description=tuple(sorted(metadata.items())),
        sha256=checkpoint.sha256(path),
    )


@lru_cache  # a catalogue asks for every galaxy, and tracing takes half a second
def _wanted(denoiser: Any) -> Any:
    return jax.eval_shape(denoiser.init, jax.random.key(0))
