"""The ladder figure from its tables: python docs/figures/ladder.py TABLE OUT [--beside TABLE].

    docs/figures/ladder.py benchmarks/degeneracy.ecsv docs/figures/degeneracy.png
    docs/figures/ladder.py benchmarks/degeneracy_networks.ecsv \\
        docs/figures/degeneracy_networks.png --beside benchmarks/degeneracy.ecsv

The cliff is taken from cliff.ecsv beside an analytic TABLE.
"""

import argparse
from pathlib import Path

from astropy.table import Table

from dustpost.ladder.study import CLIFF
from dustpost.plots.ladder import ladder_plot
from dustpost.plots.style import save_png

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--beside", type=Path)
    options = parser.parse_args()
    table, cliff = Table.read(options.table), None
    if table.meta["prior"] == "analytic":
        cliff = Table.read(options.table.parent / CLIFF)
    beside = None if options.beside is None else Table.read(options.beside)
    options.out.write_bytes(save_png(ladder_plot(table, cliff, beside)))
