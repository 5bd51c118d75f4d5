"""How many galaxies side by side: as many as the device's memory holds.

On a GPU a sweep of one galaxy leaves most of it idle, so the compiled call takes the largest
power of two of galaxies whose chains fit into `SHARE` of its memory. On a CPU vmapped chains
bring nothing, since one fills the cores already: there the width is 1 and workers are
processes. The width belongs to the store's plan, for it may decide the last bits of a result.
"""

import jax

from dustpost.errors import DustpostError
from dustpost.settings import Settings

CHAIN_BYTES = 10 * 2**20
"""Of one chain in a chunk of sweeps at 64x64 in five bands: 9.2 MB by XLA's count, on a CPU."""

SHARE = 0.5
"""Of the device's memory; the rest is for weights, draws and fragments."""

WIDEST = 64


def width_for(backend: str, memory: int, settings: Settings) -> int:
    """Galaxies side by side.

    Parameters
    ----------
    backend : str
        "cpu", "gpu", "tpu".
    memory : int
        Of the device, bytes; 0 where unknown.
    settings : Settings

    Returns
    -------
    int
        A power of two.
    """
    if backend == "cpu" or not steady(settings):
        return 1
    most = min(WIDEST, int(SHARE * memory / (CHAIN_BYTES * settings.chains)))
    width = 1
    while 2 * width <= most:
        width *= 2
    return width


def steady(settings: Settings) -> bool:
    """Whether every stage has a length of its own, not one that a batch decides together.

    `ess` ends the draws of all galaxies of a call at once, and so does the warm-up of
    `samplers.run.warm_up` from six chunks on; side by side with others, a galaxy's draws
    would then depend on these.
    """
    return settings.ess == 0 and -(-settings.warmup // settings.keep) < 6


def check_width(width: int, settings: Settings) -> None:
    """Refuse a width asked for that would let a galaxy's draws depend on its neighbours.

    Raises
    ------
    DustpostError
    """
    if width > 1 and not steady(settings):
        raise DustpostError(
            f"--batch {width}: with ess = {settings.ess} and warmup = {settings.warmup} all "
            "galaxies of a batch end together, so that one's draws would depend on the others; "
            f"give --batch 1, or ess = 0 and warmup up to {5 * settings.keep} (5 x keep)"
        )


def device_memory() -> tuple[str, int]:
    """Backend and memory in bytes of this process's first device."""
    device = jax.devices()[0]
    stats = device.memory_stats() or {}
    return device.platform, int(stats.get("bytes_limit", 0))
