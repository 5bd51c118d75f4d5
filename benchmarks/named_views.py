"""Views that a benchmark is told to take, by name."""

import argparse

from dustpost.reproduce.sources import View


def named(views: list[View], options: argparse.Namespace, parser: argparse.ArgumentParser):
    """Those of `views` that `options.only` names, or all; an unknown name ends the command."""
    if not options.only:
        return views
    if unknown := set(options.only) - {view.name for view in views}:
        parser.error(f"--only {' '.join(sorted(unknown))}: no such view in {options.data}")
    return [view for view in views if view.name in options.only]
