"""Figures of one galaxy's posterior, and of simulated suites.

Importing this loads matplotlib (no pyplot, no display).

Every function returns a matplotlib Figure; `save_png` turns it into bytes or a file.
"""

from dustpost.plots.chains import pair_plot, trace_plot
from dustpost.plots.maps import cutout_plot, dust_plot, truth_plot
from dustpost.plots.residuals import residual_plot
from dustpost.plots.spectrum import spectrum_plot
from dustpost.plots.style import save_png
from dustpost.plots.suite import contact_sheet, prior_sheet

__all__ = [
    "contact_sheet",
    "cutout_plot",
    "dust_plot",
    "pair_plot",
    "prior_sheet",
    "residual_plot",
    "save_png",
    "spectrum_plot",
    "trace_plot",
    "truth_plot",
]
