import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.labels.volatility import causal_volatility_bps, one_bar_returns

S = 1_000_000_000


def path(bars: int, seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    mid: np.ndarray[tuple[int], np.dtype[np.float64]] = 100 * np.exp(
        np.cumsum(np.random.default_rng(seed).normal(0, 1e-4, bars))
    )
    return mid


def test_by_hand() -> None:
    # The mid goes up and down by a factor e^0.0001: every return is ±1 bps, so is their root mean square.
    mid = np.exp(1e-4 * (np.arange(60) % 2))
    opens = np.arange(60, dtype=np.int64) * S
    made = causal_volatility_bps(opens, mid, np.zeros(60, dtype=np.int64), S, 30)
    assert np.isnan(made[:20]).all()
    assert made[20:] == pytest.approx(np.ones(40), rel=1e-9)


def test_a_jump_over_a_gap_is_no_return() -> None:
    mid = np.where(np.arange(80) < 40, 100.0, 200.0)
    stretch = (np.arange(80) >= 40).astype(np.int64)
    opens = np.arange(80, dtype=np.int64) * S
    assert np.nanmax(causal_volatility_bps(opens, mid, stretch, S, 30)) == 0.0
    assert np.isnan(one_bar_returns(mid, stretch)[[0, 40]]).all()


def test_the_window_is_time_not_rows() -> None:
    opens = np.concatenate([np.arange(40), 100 + np.arange(40)]).astype(np.int64) * S
    stretch = (opens >= 100 * S).astype(np.int64)
    made = causal_volatility_bps(opens, path(80), stretch, S, 30)
    assert np.isnan(made[40:60]).all()
    assert np.isfinite(made[60:]).all()


def test_a_window_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter than"):
        causal_volatility_bps(np.arange(3) * S, np.ones(3), np.zeros(3, dtype=np.int64), S, 19)


@settings(max_examples=40, deadline=None)
@given(start=st.integers(0, 60), cut=st.integers(0, 119))
def test_no_future_and_any_slice_the_same_bits(start: int, cut: int) -> None:
    mid, opens = path(120), np.arange(120, dtype=np.int64) * S
    stretch = np.zeros(120, dtype=np.int64)
    whole = causal_volatility_bps(opens, mid, stretch, S, 30)
    shouted = np.where(np.arange(120) > cut, mid * 1e6, mid)
    changed = causal_volatility_bps(opens, shouted, stretch, S, 30)
    assert np.array_equal(whole[: cut + 1], changed[: cut + 1], equal_nan=True)
    part = causal_volatility_bps(opens[start:], mid[start:], stretch[start:], S, 30)
    assert np.array_equal(part[31:], whole[start + 31 :], equal_nan=True)
