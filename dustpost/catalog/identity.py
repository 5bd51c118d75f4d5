"""What a galaxy's result may depend on: the seed, its id, and the version.

The random key is fold_in of the seed's key with the eight 32-bit words of sha256(object_id),
so that it is the same whatever the batch, the worker or the order. The folder is the id with
what a file system cannot hold as %XX, below one of 256 folders by the first byte of the same
digest: a million galaxies are four thousand a folder.
"""

import hashlib
from functools import reduce
from urllib.parse import quote, unquote

import jax
import numpy as np


def digest(object_id: str) -> bytes:
    """sha256 of the id in UTF-8."""
    return hashlib.sha256(object_id.encode()).digest()


def key_of(seed: int, object_id: str) -> jax.Array:
    """Random key of one galaxy."""
    words = np.frombuffer(digest(object_id), dtype=">u4").astype(np.uint32)
    return reduce(jax.random.fold_in, words, jax.random.key(seed))


def shard_of(object_id: str) -> str:
    """Two hexadecimal digits."""
    return digest(object_id)[:1].hex()


def name_of(object_id: str) -> str:
    """Name of the galaxy's folder; `id_of` undoes it."""
    name = quote(object_id, safe=" +,=@()[]")
    # "." and ".." are no names, and what begins with a dot is hidden
    return "%2E" + name[1:] if name.startswith(".") else name


def id_of(name: str) -> str:
    """The id that a folder's name stands for."""
    return unquote(name)
