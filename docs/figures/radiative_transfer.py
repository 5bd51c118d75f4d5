"""Figures 2 and 3 of Siegel & Melchior (2024) from the RADMC-3D views fitted so far.

python -m benchmarks.covers_radiative_transfer_truth --data DATA --out OUT ...
python docs/figures/radiative_transfer.py DATA OUT [--noise 30] [--config TOML]

Of the views whose MAP and posterior are kept in OUT with these settings, fiducial.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from dustpost.reproduce import fig2, fig3, trial
from dustpost.reproduce.sources import find_views
from dustpost.settings import read_settings

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--noise", type=float, default=30.0)
    parser.add_argument("--config", type=Path)
    options = parser.parse_args()
    settings = read_settings(options.config, {})
    source = options.data.resolve().name
    plan = trial.Plan(options.out / "fits", settings, options.noise, source)
    views, fits = [], {}
    for view in find_views(options.data, 1000, 3, settings.seed):
        given = view, fig2.VARIANT, plan
        best, posterior = (trial.kept(*given, method) for method in ("map", "posterior"))
        if best is not None and posterior is not None:
            views.append(view)
            fits[view.name, fig2.VARIANT] = trial.keep(*given, "truth"), best, posterior
    print(f"{len(views)} views: {', '.join(view.name for view in views)}")
    with tempfile.TemporaryDirectory() as folder:
        fig2.write(Path(folder), fig2.choose(views), fits)
        fig3.write(Path(folder), views, (fig2.VARIANT,), fits, options.noise)
        for name in ("fig2.png", "fig3_posterior.png"):
            shutil.copy(Path(folder) / name, HERE / name)


if __name__ == "__main__":
    main()
