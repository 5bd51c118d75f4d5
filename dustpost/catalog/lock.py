"""One run a store: a lock that the operating system lets go when the run dies.

STORE/lock is held by flock(2), which ends with the process, however it ends; the file says
who holds it (host, pid, since when), and its time of change is a heartbeat. File systems of a
cluster may keep flock to each host: a heartbeat of another host that is younger than
`STALE` seconds counts as held too, an older one as left behind by a run that died.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dustpost.errors import DustpostError

BEAT = 10.0
"""Seconds between heartbeats."""

STALE = 90.0
"""Seconds after which the heartbeat of another host's run is that of a dead one."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock for the block.

    Parameters
    ----------
    path : Path
        The lock file; its folder must exist.

    Raises
    ------
    DustpostError
        Another run holds it.
    """
    # O_RDWR and no O_TRUNC: what the holder wrote is read by the one who is refused
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DustpostError(f"{path} cannot be written ({error.strerror})") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _refusal(path, _holder(handle)) from None
        holder = _holder(handle)
        age = time.time() - os.fstat(handle).st_mtime
        if holder and holder.get("host") != socket.gethostname() and age < STALE:
            raise _refusal(path, holder)
        _write(path, handle)
        ended = threading.Event()
        beat = threading.Thread(target=_beat, args=(handle, ended), daemon=True)
        beat.start()
        try:
            yield
        finally:
            ended.set()
            beat.join()
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _beat(handle: int, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with suppress(OSError):  # a full or absent disk is for the run to notice
            os.utime(handle)


def _write(path: Path, handle: int) -> None:
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)
    except OSError as error:
        raise DustpostError(
            f"{path} cannot be written ({error.strerror}); make room or mend the disk, then run "
            "the same command again"
        ) from None


def _holder(handle: int) -> dict:
    try:
        found = json.loads(os.pread(handle, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(path: Path, holder: dict) -> DustpostError:
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(holder.get("since", time.time()))))
    return DustpostError(
        f"{path.parent}: a run on host {holder.get('host', 'unknown')}, process "
        f"{holder.get('pid', 'unknown')}, has held this store since {since}; wait for it to end, "
        "stop it, or give another --out"
    )
