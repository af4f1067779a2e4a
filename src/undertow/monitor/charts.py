"""Charts of a session as inline SVG: one column of panels over a common UTC axis, no external resource.

Colours are Okabe and Ito's, told apart without colour vision; shape or position repeats what colour says.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from undertow.market.instruments import Scale
from undertow.market.orders import Fill, Side
from undertow.market.time import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, to_nanoseconds

__all__ = ["NARROW", "WIDE", "Size", "bar_times_ns", "decimate", "gap_spans", "session_chart"]

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, PURPLE, GREY = "#E69F00", "#CC79A7", "#8A8A8A"

TICK_STEPS_NS = (
    *(n * SECOND_NS for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE_NS for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR_NS for n in (1, 2, 3, 6, 12)),
    *(n * DAY_NS for n in (1, 2, 5, 10, 30, 90, 365)),
)
"""Distances between labels of the time axis, smallest first."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Size:
    """How a chart is laid out; the name keeps the ids of two charts on one page apart."""

    name: str
    width: float
    """[inches]"""
    panel_height: float
    """[inches]"""
    points: int
    """About how many points of a line are drawn."""
    ticks: int
    """Labels on the time axis, at most."""
    font_size: float


WIDE = Size("wide", width=10.0, panel_height=1.75, points=1600, ticks=9, font_size=9.5)
NARROW = Size("narrow", width=4.2, panel_height=1.55, points=700, ticks=4, font_size=8.5)


@dataclass(frozen=True, slots=True)
class _Session:
    """What the panels draw from."""

    bars: pl.DataFrame
    times_ns: Integers
    known: NDArray[np.bool_]
    """(T,) false where the bar lies wholly in a gap: its prices are carried, not known."""
    size: Size

    def values(self, name: str) -> Floats:
        """A column as float64 (T,), NaN where null or unknown."""
        column = self.bars[name].cast(pl.Float64).to_numpy()
        return np.where(self.known, column, np.nan)


@dataclass(frozen=True, slots=True)
class _Panel:
    """A title, the columns it can draw (any one suffices) and what draws those that are there."""

    title: str
    columns: tuple[str, ...]
    draw: Callable[[Axes, _Session, tuple[str, ...]], None]


def bar_times_ns(bars: pl.DataFrame) -> Integers:
    """Open times of the bars [ns] from `timestamp`, a datetime or an integer in s, ms, µs or ns."""
    stamps = bars["timestamp"]
    if stamps.dtype.is_temporal():
        return stamps.cast(pl.Datetime("ns")).to_physical().to_numpy()
    counts = stamps.cast(pl.Int64).to_numpy()
    return counts * (to_nanoseconds(int(counts[0])) // int(counts[0])) if len(counts) else counts


def gap_spans(bars: pl.DataFrame) -> list[Span]:
    """Stretches [from, to) in ns of bars that touch a recorded gap, neighbours joined."""
    if "gap_fraction" not in bars.columns or bars.height < 2:
        return []
    times_ns = bar_times_ns(bars)
    length_ns = int(np.diff(times_ns).min())
    spans: list[Span] = []
    for start in times_ns[(bars["gap_fraction"].fill_null(1.0) > 0).to_numpy()].tolist():
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], start + length_ns)
        else:
            spans.append((start, start + length_ns))
    return spans


def decimate(values: Floats, points: int) -> Integers:
    """Indices of at most about `points` rows that keep the lowest and the highest value of every stretch.

    A stretch with a null keeps one of its nulls, so that a break in the line stays visible.
    """
    if len(values) <= points:
        return np.arange(len(values))
    kept: set[int] = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(len(values)), max(1, points // 3)):
        nulls = np.isnan(values[stretch])
        if nulls.any():
            kept.add(int(stretch[np.argmax(nulls)]))
        if not nulls.all():
            kept.add(int(stretch[np.nanargmin(values[stretch])]))
            kept.add(int(stretch[np.nanargmax(values[stretch])]))
    return np.array(sorted(kept))


def session_chart(
    bars: pl.DataFrame, fills: Sequence[Fill], price: Scale, gaps: Sequence[Span], size: Size
) -> str:
    """An `<svg>` of price with fills, CVD, taker volume, book imbalance and spread, as far as they are known.

    `bars` has `timestamp` and any of the columns of `PANELS`; gaps are hatched. Needs at least one bar.
    """
    known = np.ones(bars.height, dtype=np.bool_)
    if "gap_fraction" in bars.columns:
        known = (bars["gap_fraction"].fill_null(1.0) < 1.0).to_numpy()
    session = _Session(bars, bar_times_ns(bars), known, size)
    panels = [panel for panel in PANELS if any(name in bars.columns for name in panel.columns)]
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": size.name,
        "font.size": size.font_size,
        "hatch.linewidth": 0.6,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(size.width, size.panel_height * (len(panels) + 0.8)), layout="constrained")
        ratios = [1.8] + [1.0] * (len(panels) - 1)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
        for axis, panel in zip(axes, panels, strict=True):
            panel.draw(axis, session, tuple(name for name in panel.columns if name in bars.columns))
            _dress(axis, panel.title, gaps)
        _mark_fills(axes[0], fills, price)
        _time_ticks(axes[-1], session.times_ns, size.ticks)
        return _to_svg(figure)


def _line(axis: Axes, session: _Session, name: str, color: str) -> None:
    values = session.values(name)
    rows = decimate(values, session.size.points)
    axis.plot(_dates(session.times_ns[rows]), values[rows], color=color, linewidth=0.9, label=name)


def _draw_price(axis: Axes, session: _Session, columns: tuple[str, ...]) -> None:
    _line(axis, session, columns[0], "#222222")


def _draw_cvd(axis: Axes, session: _Session, columns: tuple[str, ...]) -> None:
    _line(axis, session, columns[0], PURPLE)
    axis.axhline(0, color=GREY, linewidth=0.5)


def _draw_imbalance(axis: Axes, session: _Session, columns: tuple[str, ...]) -> None:
    for name, color in zip(columns, (ORANGE, BLUE), strict=False):
        _line(axis, session, name, color)
    axis.axhline(0, color=GREY, linewidth=0.5)
    axis.set_ylim(-1.05, 1.05)


def _draw_spread(axis: Axes, session: _Session, columns: tuple[str, ...]) -> None:
    _line(axis, session, columns[0], GREEN)
    axis.set_ylim(bottom=0)


def _draw_volume(axis: Axes, session: _Session, columns: tuple[str, ...]) -> None:
    """Taker buys upwards, taker sells downwards, summed to at most a few hundred stretches."""
    count = min(session.bars.height, session.size.points // 5)
    stretches = np.array_split(np.arange(session.bars.height), count)
    starts = _dates(session.times_ns[[stretch[0] for stretch in stretches]])
    for name, color, sign in zip(columns, (BLUE, VERMILLION), (1, -1), strict=False):
        values = session.values(name)
        sums = np.array([sign * np.nansum(values[stretch]) for stretch in stretches])
        axis.fill_between(starts, 0, sums, step="post", color=color, alpha=0.8, linewidth=0, label=name)
    axis.axhline(0, color=GREY, linewidth=0.5)


PANELS: tuple[_Panel, ...] = (
    _Panel("price [quote]", ("mid_price", "close"), _draw_price),
    _Panel("cumulative volume delta [base]", ("cvd",), _draw_cvd),
    _Panel("taker volume [base]: buys up, sells down", ("buy_volume", "sell_volume"), _draw_volume),
    _Panel("book imbalance", ("imbalance_5", "imbalance_20"), _draw_imbalance),
    _Panel("spread, time-weighted [quote]", ("spread_avg",), _draw_spread),
)
"""Panels from top to bottom."""


def _mark_fills(axis: Axes, fills: Sequence[Fill], price: Scale) -> None:
    for side, marker, color in ((Side.BUY, "^", BLUE), (Side.SELL, "v", VERMILLION)):
        mine = [fill for fill in fills if fill.side is side]
        if mine:
            times = _dates(np.array([fill.fill_ns for fill in mine], dtype=np.int64))
            prices = [price.to_float(fill.price_ticks) for fill in mine]
            axis.scatter(
                times, prices, marker=marker, s=34, color=color, edgecolors="white", linewidths=0.6, zorder=3,
                label=f"{side} fill",
            )  # fmt: skip
    if fills:
        axis.legend(loc="best", fontsize="small", frameon=True, framealpha=0.85)


def _dress(axis: Axes, title: str, gaps: Sequence[Span]) -> None:
    axis.set_title(title, loc="left", fontsize="medium", pad=3)
    axis.grid(visible=True, color="#E3E3E3", linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.ticklabel_format(axis="y", style="plain", useOffset=False)
    axis.margins(x=0.01)
    axis.set_axisbelow(True)
    handles, _ = axis.get_legend_handles_labels()
    if len(handles) > 1:
        axis.legend(loc="upper left", ncols=2, fontsize="small", frameon=True, framealpha=0.85)
    for start_ns, end_ns in gaps:
        start, end = _dates(np.array([start_ns, end_ns], dtype=np.int64))
        axis.axvspan(start, end, facecolor="#F2F2F2", edgecolor=GREY, hatch="////", linewidth=0, zorder=0.5)


def _time_ticks(axis: Axes, times_ns: Integers, ticks: int) -> None:
    """At most `ticks` labels at round UTC times, and the dates they lie on."""
    first, last = int(times_ns[0]), int(times_ns[-1])
    step = next((step for step in TICK_STEPS_NS if (last - first) // step < ticks), DAY_NS * ticks)
    places = _dates(np.arange(-(-first // step) * step, last + 1, step, dtype=np.int64))
    unit = "D" if step >= DAY_NS else "m" if step >= MINUTE_NS else "s"
    axis.set_xticks(places, [str(label).rsplit("T", 1)[-1] for label in places.astype(f"datetime64[{unit}]")])
    dates = [str(day) for day in _dates(times_ns[[0, -1]]).astype("datetime64[D]")]
    axis.set_xlabel("UTC, " + " to ".join(dict.fromkeys(dates)))


def _dates(times_ns: Integers) -> NDArray[np.datetime64]:
    return times_ns.astype("datetime64[ns]")


def _to_svg(figure: Figure) -> str:
    """The figure as an `<svg>` that stands in HTML: no prolog, metadata, namespaces or numbered ids."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r' id="[^"]*_\d+"', "", svg)
    return re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r'<svg role="img" \1\2', svg, count=1)
