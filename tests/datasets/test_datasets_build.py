from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from undertow.datasets.bars import SymbolBars
from undertow.datasets.build import DatasetSettings, build_dataset, newest_known
from undertow.errors import InputError

S = 1_000_000_000


def bars(seconds: Sequence[int], symbol: str = "A", late_ns: int = S // 4, **columns: Any) -> SymbolBars:
    n = len(seconds)
    opens = np.array(seconds, dtype=np.int64)
    mid = np.array(columns.pop("mid", 100.0 + np.arange(n)), dtype=np.float64)
    return SymbolBars(
        symbol,
        S,
        pl.DataFrame(
            {
                "timestamp": opens * 1000,
                "known_ns": (opens + 1) * S + late_ns,
                "best_bid": mid - 0.5,
                "best_ask": mid + 0.5,
                "mid_price": mid,
                "gap_fraction": np.zeros(n),
                "x": np.arange(n, dtype=np.float64) * 10,
                **columns,
            }
        ),
    )


def test_quotes_and_context_by_hand() -> None:
    made = build_dataset([bars(range(6), ofi_1=[1, -2, 3, None, 5, 6])], ["x"], DatasetSettings(3 * S))
    assert len(made) == 3
    assert made.return_bps[0] == pytest.approx(1e4 * np.log(103 / 100))
    assert made.entry_bid.tolist() == [100.5, 101.5, 102.5]
    assert made.entry_ask.tolist() == [101.5, 102.5, 103.5]
    assert made.exit_bid.tolist() == [102.5, 103.5, 104.5]
    assert made.exit_ask.tolist() == [103.5, 104.5, 105.5]
    assert np.isnan(made.last_return_bps[0])
    assert made.last_return_bps[1] == pytest.approx(1e4 * np.log(101 / 100))
    assert made.order_flow[:, 0].tolist() == [1.0, -2.0, 3.0]
    assert made.slot.tolist() == [0, 1, 2]
    assert set(made.classes.tolist()) == {-1}


def test_a_decision_known_late_enters_later() -> None:
    made = build_dataset([bars(range(8), late_ns=S + S // 4)], ["x"], DatasetSettings(3 * S))
    assert made.entry_bid[0] == 101.5
    assert made.exit_bid[0] == 102.5


def test_horizon_of_one_bar_exits_the_bar_after_entry() -> None:
    made = build_dataset([bars(range(4))], ["x"], DatasetSettings(S))
    assert made.entry_bid[0] == 100.5
    assert made.exit_bid[0] == 101.5


def test_newest_known_label_by_hand() -> None:
    made = build_dataset(
        [bars(range(8), mid=[100, 101, 103, 106, 110, 115, 121, 128])], ["x"], DatasetSettings(2 * S)
    )
    assert np.isnan(made.known_return_bps[:2]).all()
    assert made.known_return_bps[2:].tolist() == made.return_bps[: len(made) - 2].tolist()


def test_newest_known_never_looks_ahead() -> None:
    random = np.random.default_rng(1)
    start = np.sort(random.integers(0, 500, 80)).astype(np.int64)
    end = start + random.integers(0, 60, 80)
    returns = np.arange(80, dtype=np.float64)
    returns[random.integers(0, 80, 10)] = np.nan
    known = newest_known(returns, start, end)
    for row in range(80):
        ends = end[(end <= start[row]) & np.isfinite(returns)]
        if len(ends) == 0:
            assert np.isnan(known[row])
        else:
            assert end[int(known[row])] == ends.max()


def test_lags_are_by_time_and_stop_at_gaps() -> None:
    gap = [0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    seconds = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    made = build_dataset([bars(seconds, gap_fraction=gap)], ["x"], DatasetSettings(S, (1, 2)))
    by_slot = dict(zip(made.slot.tolist(), made.features.tolist(), strict=True))
    assert made.feature_names == ("x", "x_lag_1", "x_lag_2")
    assert by_slot[2] == [20.0, 10.0, 0.0]
    assert by_slot[5][0] == 50.0
    assert np.isnan(by_slot[5][1:]).all()
    assert by_slot[9][:2] == [80.0, 70.0]
    assert np.isnan(by_slot[9][2])


def test_imbalance_from_the_microprice() -> None:
    # 3 lots bid at 99.5, 1 lot asked at 100.5: microprice 100.25, imbalance 1/2
    made = build_dataset([bars(range(3), weighted_mid=[100.25, 101.0, 102.0])], ["x"], DatasetSettings(S))
    assert made.best_imbalance.tolist() == [0.5, 0.0]


def test_infinite_and_null_become_nan() -> None:
    made = build_dataset([bars(range(4), y=[np.inf, None, 1.0, 2.0])], ["y"], DatasetSettings(S))
    assert np.isnan(made.features[:2, 0]).all()
    assert made.features[2, 0] == 1.0


def test_symbols_are_joined_in_time_order() -> None:
    made = build_dataset([bars(range(5), "A"), bars(range(2, 7), "B")], ["x"], DatasetSettings(S))
    assert made.slot.tolist() == [0, 1, 2, 2, 3, 3, 4, 5]
    assert made.group.tolist() == [0, 0, 0, 1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("names", "settings", "words"),
    [
        (["y"], DatasetSettings(S), "no column 'y'"),
        ([], DatasetSettings(S), "no feature"),
        (["x", "x"], DatasetSettings(S), "twice"),
        (["text"], DatasetSettings(S), "must be a number"),
        (["x"], DatasetSettings(S // 2), "whole number"),
        (["x"], DatasetSettings(9 * S), "no bar has a label"),
    ],
)
def test_what_cannot_be_built_is_said(names: list[str], settings: DatasetSettings, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_dataset([bars(range(4), text=list("abcd"))], names, settings)


def test_bad_bars_are_refused() -> None:
    with pytest.raises(InputError, match="no column best_bid"):
        SymbolBars("A", S, bars(range(3)).frame.drop("best_bid"))
    with pytest.raises(InputError, match="sorted"):
        SymbolBars("A", S, bars([1, 0, 2]).frame)
    with pytest.raises(InputError, match="is null"):
        SymbolBars("A", S, bars(range(2)).frame.with_columns(known_ns=pl.Series([None, 1])))
    with pytest.raises(InputError, match="lags"):
        DatasetSettings(S, (0,))
