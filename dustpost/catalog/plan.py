"""What all results of a store have in common, written into it before the first one.

A store is begun with settings, versions and weights, and goes on with no others: half a
catalogue by one version and half by the next would be two catalogues. Weights are loaded,
which verifies them (the shipped ones against their model cards, a file of one's own against the
digest inside it, HSC-64 against galaxygrad 0.2.1's), before any galaxy is read; each worker
repeats that and compares.
"""

import dataclasses
import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import jax

from dustpost.assemble import weights_of
from dustpost.errors import DustpostError
from dustpost.settings import Settings

VERSIONS = ("dustpost", "jax", "jaxlib", "numpy", "flax", "blackjax")


@dataclass(frozen=True)
class Plan:
    """All that the results of a store depend on, beside the galaxy and its id.

    Attributes
    ----------
    settings : Settings
    bin : int
        Pixels summed into one on each axis.
    ebv : str
        "" or "sfd", see `io.galactic`.
    width : int
        Galaxies side by side in the compiled call; the last batch is filled up.
    report : bool
        Whether a galaxy has its report.html.
    device : str
        Kind of device, on which draws repeat bit by bit.
    versions : tuple of str
    weights : tuple of str
        sha256 of the host's and of the dust's network.
    """

    settings: Settings
    bin: int
    ebv: str
    width: int
    report: bool
    device: str
    versions: tuple[str, ...]
    weights: tuple[str, ...]


def plan_of(settings: Settings, bin: int, ebv: str, width: int, report: bool = True) -> Plan:
    """The plan that this process would begin a store with.

    Raises
    ------
    DustpostError
        Weights are missing, damaged, or not those that their card describes.
    """
    here = device_kind(), versions(), weights_of(settings)
    return Plan(settings, bin, ebv, width, report, *here)


def device_kind() -> str:
    """Backend and name of the first device: "gpu NVIDIA H100 80GB HBM3", "cpu x86_64"."""
    device = jax.devices()[0]
    name = platform.machine() if device.platform == "cpu" else device.device_kind
    return f"{device.platform} {name}"


def versions() -> tuple[str, ...]:
    """Versions that a result depends on."""
    return tuple(f"{name} {version(name)}" for name in VERSIONS)


def check_here(plan: Plan) -> None:
    """Refuse to work where versions, weights or the kind of device are not the store's.

    Raises
    ------
    DustpostError
        Names what differs and the host.
    """
    here = dict(versions=versions(), weights=weights_of(plan.settings), device=device_kind())
    for name, value in here.items():
        if value != getattr(plan, name):
            raise DustpostError(
                f"host {platform.node()} has other {name} than the store: "
                f"{_different(value, getattr(plan, name))}; make all alike, "
                "or begin a store of its own"
            )


def check_same(plan: Plan, stored: Plan, path: Path) -> None:
    """Refuse to go on with a store that was begun otherwise.

    Raises
    ------
    DustpostError
        Names what differs.
    """
    here, there = (_flat(one) for one in (plan, stored))
    for name, value in here.items():
        if value != there[name]:
            raise DustpostError(
                f"{path}: the store was begun with {name} = {there[name]}, now it is {value}; "
                "give what it was begun with, or another --out"
            )


def to_json(plan: Plan) -> str:
    """As text for store.json."""
    return json.dumps(asdict(plan), indent=1)


def from_json(text: str, path: Path) -> Plan:
    """Undo `to_json`.

    Raises
    ------
    DustpostError
        No plan of this version's form.
    """
    try:
        found = json.loads(text)
        found["settings"] = Settings(**found["settings"])
        for name in ("versions", "weights"):
            found[name] = tuple(found[name])
        if found.keys() != {field.name for field in dataclasses.fields(Plan)}:
            raise ValueError("other entries than this version writes")
        return Plan(**found)
    except (ValueError, KeyError, TypeError) as error:
        raise DustpostError(
            f"{path}: is no plan of a store ({error}); give a folder that `dustpost catalog run` "
            "made with this version"
        ) from None


def _flat(plan: Plan) -> dict[str, object]:
    values = asdict(plan)
    return values.pop("settings") | values


def _different(here: object, there: object) -> str:
    if isinstance(here, str):
        return f"{here} for {there}"
    pairs = [f"{a} for {b}" for a, b in zip(here, there, strict=True) if a != b]
    return ", ".join(pairs)
