"""dustpost check | doctor: is a posterior, is this machine, to be trusted?"""

from pathlib import Path
from typing import Annotated

import typer


def check(
    path: Annotated[Path, typer.Argument(metavar="POSTERIOR", help="posterior.nc of `sample`.")],
) -> None:
    """Have the chains converged? Exit code 1 and advice where they have not."""
    from dustpost.diagnostics import convergence
    from dustpost.findings import format_findings
    from dustpost.io.netcdf import open_posterior

    findings = convergence.check(open_posterior(path))
    print("\n".join(format_findings(findings)))
    raise typer.Exit(0 if convergence.converged(findings) else 1)


def doctor() -> None:
    """Devices, versions, weights and the numerics canary of this machine."""
    from dustpost.doctor import examine
    from dustpost.findings import format_findings, worst

    findings = examine()
    print("\n".join(format_findings(findings)))
    raise typer.Exit(1 if worst(findings) == "error" else 0)
