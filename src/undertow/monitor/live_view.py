"""What a running collection looks like on a terminal: a line for each symbol, the totals, what is wrong."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from undertow.market.time import SECOND_NS
from undertow.runtime.health_snapshot import HealthSnapshot, StreamState, SymbolState, Totals, quantile

__all__ = ["render"]

_TRADES = ("trades", "single_trades")
"""Kinds whose rate is shown as trades, the first that there is."""
_DEPTH = ("depth", "fast_depth")
_WIDE_COLUMNS = 100
_TROUBLES_SHOWN = 5
_OTHER_LINES = 7
"""Of the view, besides symbols and troubles."""
_PRICE_WIDTH = 10
_NOTHING = "-"


def render(snapshot: HealthSnapshot) -> RenderableType:
    """The live view of one venue; it fits itself to the width and height of the terminal that shows it."""
    return _View(snapshot)


class _View:
    """Rendered when the terminal's size is known."""

    def __init__(self, snapshot: HealthSnapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        snapshot = self._snapshot
        troubles = _troubles(snapshot)
        used = sum(len(trouble.wrap(console, options.max_width)) for trouble in troubles)
        room = (options.height or console.size.height) - _OTHER_LINES - used
        rows = _rows(snapshot)
        shown = _worth_showing(rows, max(3, room))
        yield _table(shown, is_wide=options.max_width >= _WIDE_COLUMNS)
        if len(shown) < len(rows):
            yield Text(
                f"and {len(rows) - len(shown)} symbols more; those in trouble are shown",
                style="dim",
            )
        yield Text()
        yield _totals_line(snapshot)
        yield from troubles


class _Row:
    """A symbol with its streams."""

    def __init__(self, symbol: str, streams: Sequence[StreamState], state: SymbolState | None) -> None:
        self.symbol = symbol
        self.streams = streams
        self.state = state
        self.is_suspicious = False

    def rate(self, kinds: Sequence[str]) -> str:
        """Frames a second of the first of these kinds that is collected."""
        for kind in kinds:
            found = [stream.rate_per_s for stream in self.streams if stream.kind == kind]
            if found:
                return f"{sum(found):,.1f}"
        return _NOTHING

    def other_rate(self) -> str:
        """Frames a second of the kinds that have no column."""
        found = [stream.rate_per_s for stream in self.streams if stream.kind not in _TRADES + _DEPTH]
        return f"{sum(found):,.1f}" if found else _NOTHING

    def lag(self, share: float) -> str:
        """Lag of the last minute from the exchange to us [ms], over all streams."""
        counts = [
            sum(column) for column in zip(*(stream.recent_lag_counts for stream in self.streams), strict=True)
        ]
        return _milliseconds(quantile(counts, share))


def _rows(snapshot: HealthSnapshot) -> list[_Row]:
    """One for each symbol, in the order in which they were expected."""
    states = {state.symbol: state for state in snapshot.symbols}
    streams: dict[str, list[StreamState]] = {symbol: [] for symbol in states}
    for stream in snapshot.streams:
        streams.setdefault(stream.symbol, []).append(stream)
    suspicious = {silent.stream for silent in snapshot.silent}
    rows = [_Row(symbol, found, states.get(symbol)) for symbol, found in streams.items()]
    for row in rows:
        row.is_suspicious = not suspicious.isdisjoint(stream.stream for stream in row.streams)
    return rows


def _worth_showing(rows: Sequence[_Row], most: int) -> list[_Row]:
    """As many rows as there is room for: those with trouble before those without, in the same order."""
    if len(rows) <= most:
        return list(rows)
    unwell = [row for row in rows if row.is_suspicious or (row.state and row.state.is_book_synced is False)]
    well = [row for row in rows if row not in unwell]
    chosen = (unwell + well)[:most]
    return [row for row in rows if row in chosen]


def _table(rows: Sequence[_Row], *, is_wide: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("symbol", no_wrap=True)
    headings = ["price", "trades/s", "depth/s", *(["other/s"] if is_wide else []), "p50 ms", "p99 ms"]
    headings += ["disk p99", "gaps", "resyncs", "match"] if is_wide else ["gaps", "resyncs"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("book", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row, is_wide=is_wide))
    return table


def _cells(row: _Row, *, is_wide: bool) -> list[Text]:
    state = row.state
    cells = [Text(row.symbol, style="yellow" if row.is_suspicious else "bold"), Text(_price(state))]
    cells += [Text(row.rate(_TRADES)), Text(row.rate(_DEPTH))]
    if is_wide:
        cells.append(Text(row.other_rate()))
    cells += [Text(row.lag(0.5)), Text(row.lag(0.99))]
    if is_wide:
        cells.append(Text(_milliseconds(quantile(state.disk_lag_counts, 0.99)) if state else _NOTHING))
    cells += [_count(state.gaps if state else 0), _count(state.resyncs if state else 0)]
    if is_wide:
        share = state.match_share if state else None
        cells.append(Text(_NOTHING if share is None else f"{math.floor(share * 1000) / 10:.1f}%"))
    return [*cells, _book(state)]


def _price(state: SymbolState | None) -> str:
    if state is None or state.last_price is None:
        return _NOTHING
    exact = f"{state.last_price:.8f}".rstrip("0").rstrip(".")
    return exact if len(exact) <= _PRICE_WIDTH else f"{state.last_price:.{_PRICE_WIDTH - 2}g}"


def _count(number: int) -> Text:
    return Text(f"{number:,}", style="yellow" if number else "dim")


def _book(state: SymbolState | None) -> Text:
    if state is None or state.is_book_synced is None:
        return Text(_NOTHING, style="dim")
    return Text(state.book, style="green" if state.is_book_synced else "red")


def _milliseconds(lag_ms: float | None) -> str:
    if lag_ms is None:
        return _NOTHING
    return f"{lag_ms:.1f}" if lag_ms < 10 else f"{lag_ms:,.0f}"


def _totals_line(snapshot: HealthSnapshot) -> Text:
    """Words in groups that a narrow terminal breaks between, never within."""
    totals = snapshot.totals
    opened = sum(known.is_open for known in snapshot.connections)
    groups = [
        snapshot.venue,
        f"up {_duration(snapshot.uptime_s)}",
        f"{sum(stream.rate_per_s for stream in snapshot.streams):,.0f} frames/s",
        f"{sum(stream.frames for stream in snapshot.streams):,} frames",
        f"journal {_size(totals.journal_bytes)}",
        f"memory {_size(totals.memory_bytes)}",
        f"sockets {opened}/{len(snapshot.connections)}",
        f"reconnects {totals.reconnects}",
        f"queue {totals.queue_frames:,}",
        f"spill {_size(totals.spill_bytes)}",
        f"drops {totals.drops}",
        f"REST weight {totals.rest_weight_used:,}/{totals.rest_weight_limit:,}",
        f"clock {_clock(totals)}",
    ]
    if totals.banned_s:
        groups.append(f"REST closed for {_duration(totals.banned_s)}")
    return Text(" · ").join(Text(group.replace(" ", "\N{NO-BREAK SPACE}")) for group in groups)


def _clock(totals: Totals) -> str:
    if math.isinf(totals.clock_error_s):
        return "not measured"
    return f"{totals.clock_offset_s * 1e3:+.1f} ± {totals.clock_error_s * 1e3:.1f} ms"


def _duration(seconds: float) -> str:
    """Two units at most.

    >>> [_duration(seconds) for seconds in (5, 65, 3700, 90_000)]
    ['5s', '1m 05s', '1h 01m', '1d 01h']
    """
    whole = int(seconds)
    for unit, length, part, part_length in (
        ("d", 86_400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= length:
            return f"{whole // length}{unit} {whole % length // part_length:02}{part}"
    return f"{whole}s"


def _size(size_bytes: int) -> str:
    """In the unit that leaves one to three digits before the point.

    >>> [_size(size) for size in (0, 999, 1500, 2_340_000, 5_600_000_000)]
    ['0 B', '999 B', '1.5 kB', '2.3 MB', '5.6 GB']
    """
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.95:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _troubles(snapshot: HealthSnapshot) -> list[Text]:
    """What is silent now, then the newest alarms, each on as many lines as it needs."""
    lines = []
    if snapshot.stalled_s > 2.0:
        lines.append(Text(f"the event loop has stood still for {snapshot.stalled_s:.0f} s", style="red"))
    lines += [Text(str(silent), style="yellow") for silent in snapshot.silent[:_TROUBLES_SHOWN]]
    if len(snapshot.silent) > _TROUBLES_SHOWN:
        lines.append(
            Text(f"and {len(snapshot.silent) - _TROUBLES_SHOWN} silent streams more", style="yellow")
        )
    for alarm in snapshot.alarms[-_TROUBLES_SHOWN:]:
        at = datetime.fromtimestamp(alarm.at_ns / SECOND_NS, UTC)
        times = f" ({alarm.times} times)" if alarm.times > 1 else ""
        lines.append(Text(f"{at:%H:%M:%S} UTC  {alarm.message}{times}", style="red"))
    return lines
