"""Progress of long work on the terminal: one bar a stage, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn

Stage = Callable[[str, int], Callable[..., None]]


def quiet(name: str, total: int) -> Callable[..., None]:
    """A stage that shows nothing."""
    return lambda done, note="": None


@contextmanager
def bars() -> Iterator[Stage]:
    """Give a function (name, total) -> advance that opens a bar for a stage.

    ``advance(done, note)`` moves the bar by `done` and writes a note beside it.
    """
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeftColumn(),
        TextColumn("{task.fields[note]}"),
    )
    progress = Progress(*columns, console=Console(stderr=True))

    def stage(name: str, total: int) -> Callable[..., None]:
        progress.start()  # only now: a fit that fails before it shows no empty bar
        task = progress.add_task(name, total=total, note="")
        return lambda done, note="": progress.update(task, advance=done, note=note)

    try:
        yield stage
    finally:
        if progress.tasks:
            progress.stop()
