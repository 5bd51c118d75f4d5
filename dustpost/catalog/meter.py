"""How far a catalogue is: done, failed, rate, time left.

A bar on a terminal; elsewhere (the log of a batch job) one line a minute. The rate is over
the last `WINDOW` of this run, so that compilation at its start is soon forgotten.
"""

import sys
import time
from collections import Counter, deque
from contextlib import ExitStack

from dustpost.catalog.batch import Outcome
from dustpost.progress import bars

EVERY = 60.0  # seconds between lines
WINDOW = 900.0  # seconds


class Meter:
    """Counts outcomes and shows them; a context.

    Parameters
    ----------
    total : int
        Galaxies to do.
    """

    def __init__(self, total: int):
        self.total = total
        self.counts: Counter[str] = Counter()
        self._times: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._said = time.monotonic()
        self._open = ExitStack()

    def __enter__(self) -> "Meter":
        self._advance = None
        if sys.stderr.isatty():
            self._advance = self._open.enter_context(bars())("galaxies", self.total)
        return self

    def __exit__(self, *error) -> None:
        self._open.close()
        print(self.line(), flush=True)

    def tell(self, outcomes: list[Outcome]) -> None:
        """Count the outcomes of a batch; failures are told at once."""
        now = time.monotonic()
        for one in outcomes:
            self.counts[one.state] += 1
            if one.state == "failed":
                print(f"failed: {one.object_id}: {one.reason}", flush=True)
        self._times.append((now, self.counts.total()))
        while len(self._times) > 2 and now - self._times[1][0] > WINDOW:
            self._times.popleft()
        if self._advance is not None:
            self._advance(
                len(outcomes), f"{self.rate():.0f} an hour, {self.counts['failed']} failed"
            )
        elif now - self._said > EVERY:
            self._said = now
            print(self.line(), flush=True)

    def rate(self) -> float:
        """Galaxies an hour."""
        (start, before), (_, after) = self._times[0], self._times[-1]
        end = time.monotonic()  # and not the last landing: a run that stands still is slow
        return 3600 * (after - before) / max(end - start, 1e-9) if after > before else 0.0

    def line(self) -> str:
        """All of it in one line."""
        over, rate = self.counts.total(), self.rate()
        left = f", {duration(3600 * (self.total - over) / rate)} left" if rate else ""
        return f"{over} of {self.total}: {self.counts['failed']} failed, {rate:.1f} an hour{left}"


def duration(seconds: float) -> str:
    """In the unit that a person would choose."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
