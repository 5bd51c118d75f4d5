"""What the networks are trained on: pairs of a host and the dust in front of it.

From an npz file, from a folder of FITS files that know their truth (this package's, or
NIHAO-SKIRT's of Faucher et al. 2023), or from the simulator, whose draws are kept in a
file: a run that was killed goes on where it was. Hosts are divided by their peak, so that
float16 holds them.
"""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dustpost.errors import DustpostError
from dustpost.io.fitsfile import open_fits
from dustpost.io.folder import atomic_write
from dustpost.io.nihao import read_pairs
from dustpost.networks.checkpoint import sha256
from dustpost.progress import Stage, quiet

CHUNK = 128  # galaxies in one call of the simulator
PART = 1024  # galaxies in one file while they are being drawn
LEAST = 8  # pairs; fewer are a mistake
NIHAO = "_nihao-resolved-photometry.fits"
SUFFIXES = (".fits", ".fits.gz", ".fits.fz")


class Pairs(NamedTuple):
    """A training set.

    Attributes
    ----------
    host, transmission : numpy arrays, (n, y, x), float16
        Light without dust, with a peak of 1; D at 0.4754 micron; 0 is below 6e-8.
    origin : str
        Where they are from, for the weight file.
    """

    host: np.ndarray
    transmission: np.ndarray
    origin: str


def from_npz(path: Path) -> Pairs:
    """Read pairs from an npz file with arrays `host` and `transmission`, (n, y, x).

    Raises
    ------
    DustpostError
        If it is missing or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise DustpostError(f"{path}: no such file; give an npz with host and transmission.")
    try:
        with np.load(path, allow_pickle=False) as file:
            host, transmission = file["host"], file["transmission"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DustpostError(
            f"{path}: not an npz with the arrays host and transmission ({error})."
        ) from error
    return _checked(path, host, transmission, f"npz, sha256 {sha256(path)}")


def from_folder(folder: Path) -> Pairs:
    """Read pairs from FITS files, in the order of their names; those without truth are skipped.

    Parameters
    ----------
    folder : Path
        Of NIHAO-SKIRT files, or of files with images TRUE_HOST and TRUE_TRANS.

    Raises
    ------
    DustpostError
        If a file is damaged, its images differ in size, or none knows its truth.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DustpostError(f"{folder}: no such folder; give one of FITS files.")
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for path in sorted(p for p in folder.rglob("*") if p.name.endswith(SUFFIXES)):
        pair = read_pairs(path) if path.name.endswith(NIHAO) else _truth(path)
        if pair is None:
            continue
        if found and pair[0].shape[1:] != found[0][0].shape[1:]:
            sides = (f"{images.shape[1]}x{images.shape[2]}" for images in (pair[0], found[0][0]))
            raise DustpostError(f"{path}: its truth is {next(sides)} pixels, others' {next(sides)}")
        found.append(pair)
    if not found:
        raise DustpostError(f"{folder}: no FITS file with TRUE_HOST and TRUE_TRANS, nor *{NIHAO}.")
    host, transmission = (np.concatenate(images) for images in zip(*found, strict=True))
    return _checked(folder, host, transmission, f"{len(found)} FITS files of {folder.name}")


def simulated(out: Path, count: int, seed: int, progress: Stage = quiet) -> Pairs:
    """Draw pairs from the simulator, or take those that an earlier call left in a folder.

    Parameters
    ----------
    out : Path
        Folder of pairs.npz.
    count, seed : int
        How many, and the seed they depend on.
    progress : callable
        (name, total) -> advance, see `dustpost.progress`.

    Raises
    ------
    DustpostError
        If pairs.npz holds others.
    """
    path, origin = out / "pairs.npz", f"simulator, seed {seed}"
    if path.exists():
        pairs = from_npz(path)
        with np.load(path) as file:
            known = int(file["seed"]) if "seed" in file else None
        if (len(pairs.host), known) != (count, seed):
            raise DustpostError(
                f"{path}: holds {len(pairs.host)} pairs of seed {known}, not {count} of seed "
                f"{seed}; delete it, or give it with --pairs."
            )
        return pairs._replace(origin=origin)
    advance = progress("simulated pairs", count)
    parts = [out / f"pairs-{seed}-{first:07d}.npz" for first in range(0, count, PART)]
    for number, part in enumerate(parts):
        if not part.exists():
            host, transmission = _draw(seed, number)
            _save(part, host, transmission, seed)
        advance(min(PART, count - number * PART))
    found = [from_npz(part) for part in parts]
    host = np.concatenate([part.host for part in found])[:count]
    transmission = np.concatenate([part.transmission for part in found])[:count]
    _save(path, host, transmission, seed)
    for part in parts:
        part.unlink()
    return _checked(path, host, transmission, origin)


def _draw(seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Galaxies number * PART and following: a function of seed and number."""
    import jax

    from dustpost.simulate.suite import draw_pairs

    found = []
    for chunk in range(PART // CHUNK):
        key = jax.random.fold_in(jax.random.key(seed), number * (PART // CHUNK) + chunk)
        found.append([np.asarray(images) for images in draw_pairs(key, CHUNK)])
    host, transmission = (np.concatenate(images) for images in zip(*found, strict=True))
    return _scaled(host), transmission.astype(np.float16)


def _save(path: Path, host: np.ndarray, transmission: np.ndarray, seed: int) -> None:
    with atomic_write(path) as part:
        np.savez(part, host=host, transmission=transmission, seed=seed)


def _truth(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """TRUE_HOST and TRUE_TRANS, (1, y, x) each, of a file that has them."""
    with open_fits(path) as file:
        places = file.find("TRUE_HOST"), file.find("TRUE_TRANS")
        if None in places:
            return None
        host, transmission = (file.image(place, ndim=(2,)) for place in places)
        if host.shape != transmission.shape:
            raise file.error(f"has shape {transmission.shape}, TRUE_HOST {host.shape}", places[1])
        return host[None], transmission[None]


def _checked(path: Path, host: np.ndarray, transmission: np.ndarray, origin: str) -> Pairs:
    if host.shape != transmission.shape or host.ndim != 3:
        raise DustpostError(
            f"{path}: host has shape {host.shape} and transmission {transmission.shape}, "
            "expected (pair, y, x) of both."
        )
    if len(host) < LEAST or host.shape[1] != host.shape[2] or host.shape[1] % 8:
        raise DustpostError(
            f"{path}: {len(host)} pairs of {host.shape[1]}x{host.shape[2]} pixels, expected "
            f"at least {LEAST} squares whose side is a multiple of 8."
        )
    # in pieces: a bool for every pixel of a large set is too much
    for first in range(0, len(host), PART):
        light, dust = (images[first : first + PART] for images in (host, transmission))
        if not (np.isfinite(light).all() and (light.max(axis=(1, 2)) > 0).all()):
            raise DustpostError(f"{path}: a host without light, or one that is not finite.")
        if not ((dust >= 0).all() and (dust <= 1).all()):
            raise DustpostError(f"{path}: a transmission outside [0, 1].")
    return Pairs(_scaled(host), transmission.astype(np.float16), origin)


def _scaled(host: np.ndarray) -> np.ndarray:
    # Unit-sum pixels would be float16 subnormals; the peak is 1 instead.
    if host.dtype == np.float16:
        return host
    return (host / host.max(axis=(1, 2), keepdims=True)).astype(np.float16)
