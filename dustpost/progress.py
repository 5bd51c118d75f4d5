"""Progress of long work on the terminal: one bar a stage, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn

Stage = Callable[[str, int], Callable[[int], None]]


def quiet(name: str, total: int) -> Callable[[int], None]:
    """A stage that shows nothing."""
    return lambda done: None


@contextmanager
def bars() -> Iterator[Stage]:
    """Give a function (name, total) -> advance that opens a bar for a stage."""
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeftColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True))

    def stage(name: str, total: int) -> Callable[[int], None]:
        progress.start()  # only now: a fit that fails before it shows no empty bar
        task = progress.add_task(name, total=total)
        return lambda done: progress.advance(task, done)

    try:
        yield stage
    finally:
        if progress.tasks:
            progress.stop()
