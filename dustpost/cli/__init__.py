"""The command line: dustpost sample | map | demo | simulate | train | degeneracy | check | ...

Exit codes: 0 all is well; 1 `check` or `doctor` found errors; 2 the input or the options
are wrong (one sentence on standard error, nothing half-written). A file a command, or a few that
go together; what takes long to import is imported where a command needs it.
"""

import sys

import typer

from dustpost.cli import catalog
from dustpost.cli.check import check, doctor
from dustpost.cli.degeneracy import degeneracy
from dustpost.cli.fit import demo, map_, sample
from dustpost.cli.modes import modes
from dustpost.cli.reproduce import reproduce
from dustpost.cli.sensitivity import sensitivity
from dustpost.cli.simulate import simulate
from dustpost.cli.train import train
from dustpost.errors import DustpostError

app = typer.Typer(
    help="Posterior samples of a galaxy's dust map from one multi-band cutout.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(sample)
app.command("map")(map_)
for command in (demo, simulate, train, degeneracy, sensitivity, modes, reproduce, check, doctor):
    app.command()(command)
app.add_typer(catalog.app, name="catalog")


def main() -> None:
    """Entry point of the `dustpost` command."""
    try:
        app()
    except DustpostError as error:
        print(f"dustpost: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("dustpost: interrupted", file=sys.stderr)
        sys.exit(130)
