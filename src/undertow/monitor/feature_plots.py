"""A sheet of small plots for each family of features, over an hour of the simulated exchange."""

import re
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from undertow.monitor.charts import decimate

__all__ = ["write_sheet"]

Floats = NDArray[np.float64]

BLUE, GREY = "#0072B2", "#8A8A8A"
COLUMNS = 3
POINTS = 160
"""About how many points of a line are drawn."""
PANEL_INCHES = (2.6, 1.15)


def write_sheet(path: Path, plots: Mapping[str, tuple[str, Floats]]) -> None:
    """Draw (title of the abscissa, values (T,)) by feature into one SVG, the same bytes for the same values.

    NaN leaves a hole; a feature without a value is drawn as an empty panel that says so. Raises OSError where
    the file cannot be written.
    """
    rows = -(-len(plots) // COLUMNS)
    settings = {"svg.fonttype": "none", "svg.hashsalt": path.stem, "font.size": 7.0, "path.simplify": True}
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        figure = Figure(figsize=(COLUMNS * PANEL_INCHES[0], rows * PANEL_INCHES[1]), layout="constrained")
        axes: list[Axes] = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
        for axis, (name, (abscissa, values)) in zip(axes, plots.items(), strict=False):
            _draw(axis, name, abscissa, values)
        for axis in axes[len(plots) :]:
            axis.set_axis_off()
        figure.savefig(path, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    path.write_text(_smaller(path.read_text(encoding="utf-8")), encoding="utf-8")


def _smaller(svg: str) -> str:
    """The drawing with tenths of a point in its lines, and without blanks at the ends of its rows."""
    rounded = re.sub(r' d="[^"]*"', lambda line: re.sub(r"(\.\d)\d+", r"\1", line[0]), svg)
    return "\n".join(row.rstrip() for row in rounded.splitlines()) + "\n"


def _draw(axis: Axes, name: str, abscissa: str, values: Floats) -> None:
    axis.set_title(name, loc="left", fontsize=7.0, pad=2, family="monospace")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xticks([])
    axis.set_xlabel(abscissa, fontsize=5.5, color=GREY, labelpad=1)
    axis.tick_params(axis="y", labelsize=5.5, length=2, pad=1)
    if np.isnan(values).all():
        axis.set_yticks([])
        axis.text(0.5, 0.5, "null here", ha="center", va="center", transform=axis.transAxes, color=GREY)
        return
    rows = decimate(values, POINTS)
    drawn = values[rows]
    axis.plot(rows, drawn, color=BLUE, linewidth=0.6)
    holes = np.isnan(np.concatenate([[np.nan], drawn, [np.nan]]))
    alone = holes[:-2] & ~holes[1:-1] & holes[2:]
    axis.plot(rows[alone], drawn[alone], color=BLUE, linestyle="none", marker=".", markersize=1.5)
    axis.locator_params(axis="y", nbins=3)
    axis.margins(x=0.01)
