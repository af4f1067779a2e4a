"""The session's report: one HTML file that needs no other, with every number as it was handed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from undertow.errors import InputError
from undertow.market.instruments import Instrument, Scale
from undertow.market.orders import Fill
from undertow.monitor.charts import NARROW, WIDE, bar_times_ns, gap_spans, session_chart

__all__ = ["QualityRow", "ReportInputs", "format_number", "format_time", "render_report", "write_report"]

LISTED_FILLS = 40
"""Fills listed one by one, the newest."""

FEE_SCALE = Scale(units=1, digits=8)
"""Fees are counted in 10⁻⁸ quote units."""

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class QualityRow:
    """What is known about one stream: rows, first and last time [ns; 0 where there is no row], and faults."""

    stream: str
    rows: int
    from_ns: int
    to_ns: int
    gaps: int
    late: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Everything that the report says.

    `bars` is a feature table with `timestamp` and as many of `mid_price`, `close`, `cvd`, `buy_volume`,
    `sell_volume`, `imbalance_5`, `imbalance_20`, `spread_avg` and `gap_fraction` as there are.
    `walk_forward` is what `WalkForwardReport.to_dict` gives: `rows`, mappings with `name` and measures, and
    `verdict`; a measure {value, low, high}, or `x` with `x_low` and `x_high`, is shown with its interval.
    `paper` is the trader's summary.
    Where one of the two is None, its section says why instead: `no_walk_forward`, `no_paper`.
    """

    title: str
    instrument: Instrument
    bars: pl.DataFrame
    fills: Sequence[Fill] = ()
    gaps: Sequence[tuple[int, int]] | None = None
    """Stretches [from, to) in ns; None takes them from `gap_fraction` of the bars."""
    walk_forward: Mapping[str, Any] | None = None
    no_walk_forward: str = "No model was trained in this session."
    paper: Mapping[str, Any] | None = None
    no_paper: str = "Nothing was traded on paper in this session."
    quality: Sequence[QualityRow] = ()
    files: Sequence[tuple[str, str]] = field(default_factory=tuple)
    """(path, what lies there)."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell: what is read, and the exact value behind it."""

    text: str
    value: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class _Table:
    headings: tuple[str, ...]
    rows: tuple[tuple[_Cell, ...], ...]

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers, to be set flush right."""
        return any(row[column].is_number for row in self.rows)


def write_report(path: Path, inputs: ReportInputs) -> Path:
    """Write the report to `path`, whole or not at all, and return it. Raises InputError if it cannot."""
    page = render_report(inputs)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"report {path}: {error}; choose a directory that can be written") from error
    return path


def render_report(inputs: ReportInputs) -> str:
    """The page. It depends on its inputs alone: the same inputs give the same bytes."""
    environment = Environment(
        loader=PackageLoader("undertow.monitor"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    gaps = list(inputs.gaps) if inputs.gaps is not None else gap_spans(inputs.bars)
    return environment.get_template("report.html.j2").render(
        inputs=inputs,
        facts=_facts(inputs, gaps),
        charts=_charts(inputs, gaps),
        gap_count=len(gaps),
        walk_forward=None if inputs.walk_forward is None else _walk_forward(inputs.walk_forward),
        paper=None if inputs.paper is None else _paper(inputs.paper),
        fills=_fills(inputs),
        listed_fills=LISTED_FILLS,
        quality=_quality(inputs.quality),
    )


def format_number(value: Value) -> str:
    """A value as read by people: grouped whole numbers, six significant digits, a dash for null.

    >>> [format_number(value) for value in (1234567, 0.123456789, 61234.5, -2.5e-7, float("nan"))]
    ['1,234,567', '0.123457', '61,234.5', '-2.5e-07', '–']
    """
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.2f}"


def format_time(time_ns: int) -> str:
    """UTC to the millisecond; a dash for 0.

    >>> format_time(1_723_161_255_030_000_000)
    '2024-08-08 23:54:15.030'
    """
    if time_ns == 0:
        return "–"
    stamp = datetime.fromtimestamp(time_ns // 10**9, UTC)
    return f"{stamp:%Y-%m-%d %H:%M:%S}.{time_ns % 10**9 // 10**6:03d}"


def _cell(value: Value) -> _Cell:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return _Cell(format_number(value), "" if value is None else str(value), is_number)


def _step_cell(count: int, scale: Scale) -> _Cell:
    """A count of steps with all the decimals of the step, so that a column lines up."""
    value = scale.to_float(count)
    return _Cell(f"{value:,.{scale.digits}f}", str(value), is_number=True)


def _time_cell(time_ns: int) -> _Cell:
    return _Cell(format_time(time_ns), str(time_ns), is_number=False)


def _facts(inputs: ReportInputs, gaps: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
    times_ns = bar_times_ns(inputs.bars)
    facts = [("Symbol", inputs.instrument.symbol), ("Venue", inputs.instrument.venue)]
    if len(times_ns):
        facts += [("First bar", format_time(int(times_ns[0]))), ("Last bar", format_time(int(times_ns[-1])))]
    facts += [("Bars", format_number(len(times_ns))), ("Stretches in a gap", format_number(len(gaps)))]
    if inputs.paper is not None:
        facts.append(("Paper result after fees", format_number(inputs.paper["net_quote"])))
    return facts


def _charts(inputs: ReportInputs, gaps: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
    if inputs.bars.height == 0:
        return []
    return [
        (size.name, session_chart(inputs.bars, inputs.fills, inputs.instrument.price, gaps, size))
        for size in (WIDE, NARROW)
    ]


def _walk_forward(result: Mapping[str, Any]) -> dict[str, Any]:
    rows = [_with_intervals_flat(row) for row in result["rows"]]
    keys = dict.fromkeys(key for row in rows for key in row)
    measures = [key for key in keys if not _is_bound(key, keys)]
    table = _Table(
        tuple(key.replace("_", " ") for key in measures),
        tuple(tuple(_measure(row, key) for key in measures) for row in rows),
    )
    verdict = result.get("verdict", "")
    return {
        "table": table,
        "verdict": verdict["text"] if isinstance(verdict, Mapping) else verdict,
        "facts": _walk_forward_facts(result),
    }


def _walk_forward_facts(result: Mapping[str, Any]) -> list[str]:
    facts: list[str] = []
    if folds := result.get("folds"):
        skipped = [str(fold["skipped"]) for fold in folds if fold["skipped"] is not None]
        reasons = f", {len(skipped)} of them left out: {'; '.join(dict.fromkeys(skipped))}" if skipped else ""
        facts.append(f"{len(folds)} folds{reasons}.")
    if "null_macro_f1" in result and "excess_macro_f1" in result:
        null, excess = (format_number(result[key]) for key in ("null_macro_f1", "excess_macro_f1"))
        facts.append(
            f"On a martingale the same model scores macro-F1 {null}; the excess over it is {excess}."
        )
    if suspects := result.get("suspects"):
        facts.append(f"Features that look like copies of the future: {', '.join(suspects)}.")
    return facts


def _with_intervals_flat(row: Mapping[str, Any]) -> dict[str, Value]:
    """A row with each measure of the form {value, low, high} as three of its own."""
    flat: dict[str, Value] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat |= {key: value["value"], f"{key}_low": value["low"], f"{key}_high": value["high"]}
        else:
            flat[key] = value
    return flat


def _is_bound(key: str, keys: Mapping[str, None]) -> bool:
    return key.endswith(("_low", "_high")) and key.rsplit("_", 1)[0] in keys


def _measure(row: Mapping[str, Value], key: str) -> _Cell:
    cell = _cell(row.get(key))
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    if low is None or high is None:
        return cell
    return _Cell(f"{cell.text} [{format_number(low)}, {format_number(high)}]", cell.value, cell.is_number)


def _paper(summary: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in summary.items() if not isinstance(value, Mapping)}
    counted = {key: value for key, value in summary.items() if isinstance(value, Mapping)}
    return {
        "table": _pairs(plain),
        "counts": [(name.replace("_", " "), _pairs(counts)) for name, counts in counted.items() if counts],
        "net": _cell(summary["net_quote"]),
        "gross": _cell(summary["gross_quote"]),
        "fees": _cell(summary["fees_quote"]),
    }


def _pairs(values: Mapping[str, Value]) -> _Table:
    return _Table((), tuple((_cell(key.replace("_", " ")), _cell(value)) for key, value in values.items()))


def _fills(inputs: ReportInputs) -> _Table:
    price, quantity = inputs.instrument.price, inputs.instrument.quantity
    return _Table(
        ("time (UTC)", "order", "side", "price", "quantity", "fee"),
        tuple(
            (
                _time_cell(fill.fill_ns),
                _cell(fill.client_id),
                _cell(str(fill.side)),
                _step_cell(fill.price_ticks, price),
                _step_cell(fill.quantity_lots, quantity),
                _step_cell(fill.fee_e8, FEE_SCALE),
            )
            for fill in inputs.fills[-LISTED_FILLS:]
        ),
    )


def _quality(rows: Sequence[QualityRow]) -> _Table:
    return _Table(
        ("stream", "rows", "from (UTC)", "to (UTC)", "gaps", "late", "duplicates"),
        tuple(
            (
                _cell(row.stream),
                _cell(row.rows),
                _time_cell(row.from_ns),
                _time_cell(row.to_ns),
                _cell(row.gaps),
                _cell(row.late),
                _cell(row.duplicates),
            )
            for row in rows
        ),
    )
