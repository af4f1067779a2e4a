"""From trades and book samples to frames of every timeframe: the one path of batch and live."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from undertow.frames import bars, flow_fold, trade_fold
from undertow.frames.frames import BOOK_LEVELS, FLOW_COLUMNS, OFI_LEVELS, FlowFrames, Frames
from undertow.frames.gaps import covered_ns
from undertow.market.columns import BookColumns, TradeColumns
from undertow.market.events import Gap
from undertow.market.instruments import Instrument
from undertow.market.time import SECOND_NS

__all__ = ["TRADE_STREAMS", "FrameFold"]

Integers = NDArray[np.int64]

TRADE_STREAMS = ("trades", "aggtrades", "aggtrades singles")
"""Streams whose gaps make trade features unknown."""


class FrameFold:
    """Folds the flow of one symbol into frames of several lengths.

    `advance` may be called with any cut of the same history; the frames are the same to the last bit.
    """

    def __init__(
        self,
        instrument: Instrument,
        lengths_ns: Sequence[int],
        lateness_ns: int,
        large: trade_fold.LargeTradeRule,
    ) -> None:
        self.instrument = instrument
        self.lengths_ns = tuple(lengths_ns)
        self._lateness_ns = lateness_ns
        self._large = large
        self._trades = trade_fold.new_trade_state()
        self._flow = flow_fold.new_flow_state()
        self._bars = {length: bars.new_bar_state() for length in self.lengths_ns}
        self._flow_bars = {length: flow_fold.new_flow_bar() for length in self.lengths_ns}
        self._late = {length: np.empty(0, np.int64) for length in self.lengths_ns}
        self._started = False

    def note_late(self, event_ns: Integers, closed_ns: Integers) -> None:
        """Count trades that came too late in the bars that were still open when they came.

        `closed_ns`: the boundary up to which bars were closed at their arrival.
        """
        for length, held in self._late.items():
            still_open = event_ns // length * length + length > closed_ns
            self._late[length] = np.concatenate([held, event_ns[still_open]])

    def advance(
        self,
        trades: TradeColumns,
        samples: BookColumns,
        gaps: Sequence[Gap],
        until_ns: int,
    ) -> dict[int, Frames]:
        """Close every second up to `until_ns`, a whole second; the frames closed thereby, by length.

        `trades` are the flow trades before `until_ns` that were not folded yet, sorted by (event time, id);
        `samples` the book samples up to `until_ns` not given yet; `gaps` all gaps that may touch these
        seconds.
        """
        if not self._started:
            starts = [int(trades.event_ns[0])] if len(trades) else []
            starts += [int(samples.grid_ns[0]) - 1] if len(samples) else []
            if not starts:
                return {}
            trade_fold.start_grid(self._trades, min(starts))
            flow_fold.start_flow(self._flow, min(starts))
            self._started = True
        seconds = self._fold_seconds(trades, until_ns)
        if not len(seconds):
            return {}
        extras = _extras(gaps, int(seconds[0, 0]), len(seconds))
        integers = _sample_rows(samples)
        flow = self._fold_flow(trades, samples, extras)
        return {
            length: self._fold_bars(length, seconds, extras, (integers, samples), flow)
            for length in self.lengths_ns
        }

    def _fold_seconds(self, trades: TradeColumns, until_ns: int) -> Integers:
        count = max(0, (until_ns - int(self._trades.row[0])) // SECOND_NS)
        out = np.empty((count, len(trade_fold.SECOND_COLUMNS)), np.int64)
        at, written = 0, 0
        while True:
            at, rows = trade_fold.fold_trades(
                trades.event_ns,
                trades.price_ticks,
                trades.quantity_lots,
                trades.is_buyer_maker,
                at,
                until_ns,
                self._large.factor,
                self._large.window_ns,
                self._trades,
                out[written:],
            )
            written += rows
            if at == len(trades):
                return out[:written]
            self._trades = trade_fold.grow_window(self._trades)

    def _fold_flow(
        self, trades: TradeColumns, samples: BookColumns, extras: Integers
    ) -> tuple[Integers, NDArray[np.float64]]:
        """What single trades say of each second: rows and decaying counts."""
        sided = (samples.bid_lots[:, 0] > 0) & (samples.ask_lots[:, 0] > 0)
        rows = np.empty((len(extras), flow_fold.WIDTH), np.int64)
        levels = np.empty((len(extras), 2, 3), np.float64)
        flow_fold.fold_flow(
            trades.event_ns,
            trades.price_ticks,
            trades.quantity_lots,
            trades.is_buyer_maker,
            samples.grid_ns,
            np.where(sided, samples.bid_ticks[:, 0] + samples.ask_ticks[:, 0], 0),
            np.ascontiguousarray(extras[:, 0]),
            self._flow,
            rows,
            levels,
        )
        return rows, levels

    def _merge_flow(
        self, length_ns: int, start_ns: int, count: int, flow: tuple[Integers, NDArray[np.float64]]
    ) -> FlowFrames:
        """The seconds of `flow`, the first from `start_ns`, as `count` bars."""
        rows, levels = flow
        if length_ns != SECOND_NS:
            rows, levels = np.empty((count, flow_fold.WIDTH), np.int64), np.empty((count, 2, 3), np.float64)
            flow_fold.merge_flow(start_ns, *flow, length_ns, self._flow_bars[length_ns], rows, levels)
        columns = dict(zip(FLOW_COLUMNS, np.ascontiguousarray(rows.T), strict=True))
        return FlowFrames(**columns, buy_levels=levels[:, 0].copy(), sell_levels=levels[:, 1].copy())

    def _fold_bars(
        self,
        length_ns: int,
        seconds: Integers,
        extras: Integers,
        sampled: tuple[Integers, BookColumns],
        flow: tuple[Integers, NDArray[np.float64]],
    ) -> Frames:
        capacity = len(seconds) * SECOND_NS // length_ns + 1
        integers = np.empty((capacity, bars.WIDTH), np.int64)
        imbalances = np.empty((capacity, 3), np.float64)
        tops = np.empty((4, capacity, BOOK_LEVELS), np.int64)
        rows, samples = sampled
        sides = (samples.bid_ticks, samples.bid_lots, samples.ask_ticks, samples.ask_lots)
        count = bars.fold_bars(
            seconds, extras, rows, *sides, length_ns, self._bars[length_ns], integers, imbalances, tops
        )
        if count:
            self._count_late(length_ns, integers[:count])
        return bars.to_frames(
            integers[:count],
            imbalances[:count],
            tops[:, :count],
            self._merge_flow(length_ns, int(seconds[0, 0]), count, flow),
            self.instrument,
            length_ns,
            self._lateness_ns,
        )

    def _count_late(self, length_ns: int, closed: Integers) -> None:
        """Put the late trades of bars that are closed now into their rows."""
        late = self._late[length_ns]
        if not len(late):
            return
        place = (late - closed[0, 0]) // length_ns
        inside = (place >= 0) & (place < len(closed))
        closed[:, bars.LATE] += np.bincount(place[inside], minlength=len(closed))
        self._late[length_ns] = late[place >= len(closed)]

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything carried, as arrays; `restore` takes it back."""
        arrays: dict[str, NDArray[np.generic]] = {
            f"trades.{k}": v.copy() for k, v in self._trades._asdict().items()
        }
        arrays.update({f"flow.{k}": v.copy() for k, v in self._flow._asdict().items()})
        for length, bar in self._bars.items():
            arrays[f"flow bar.{length}"] = self._flow_bars[length].copy()
            arrays.update({f"bars.{length}.{k}": v.copy() for k, v in bar._asdict().items()})
            arrays[f"late.{length}"] = self._late[length]
        arrays["started"] = np.array([self._started])
        return arrays

    def restore(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Go on from a `to_arrays()`."""
        fields = trade_fold.TradeState._fields
        self._trades = trade_fold.TradeState(*(arrays[f"trades.{k}"].copy() for k in fields))  # type: ignore[arg-type]
        parts = (arrays[f"flow.{k}"].copy() for k in flow_fold.FlowState._fields)
        self._flow = flow_fold.FlowState(*parts)  # type: ignore[arg-type]
        for length in self.lengths_ns:
            self._flow_bars[length] = arrays[f"flow bar.{length}"].astype(np.int64)
            parts = (arrays[f"bars.{length}.{k}"].copy() for k in bars.BarState._fields)
            self._bars[length] = bars.BarState(*parts)  # type: ignore[arg-type]
            self._late[length] = arrays[f"late.{length}"].astype(np.int64)
        self._started = bool(arrays["started"][0])


def _extras(gaps: Sequence[Gap], start_ns: int, count: int) -> Integers:
    """(count, 2): ns in a trade gap and ns in any gap, for each second."""
    extras = np.zeros((count, 2), np.int64)
    if gaps:
        flow = [gap for gap in gaps if gap.stream in TRADE_STREAMS]
        extras[:, 0] = covered_ns(flow, start_ns, count)
        extras[:, 1] = covered_ns(gaps, start_ns, count)
    return extras


def _sample_rows(samples: BookColumns) -> Integers:
    """What `fold_bars` reads of samples beside their levels."""
    integers = np.empty((len(samples), 23), np.int64)
    columns = (
        samples.grid_ns,
        samples.last_update_id,
        samples.last_update_ns,
        samples.receive_ns,
        samples.spread_integral,
        samples.spread_square_integral,
        samples.spread_time_us,
        samples.ofi_1,
        samples.ofi_10,
        samples.update_count,
        samples.added_bids,
        samples.removed_bids,
        samples.added_asks,
        samples.removed_asks,
        *(getattr(samples, f"ofi_level_{level}") for level in range(2, OFI_LEVELS + 1)),
    )
    for i, column in enumerate(columns):
        integers[:, i] = column
    return integers
