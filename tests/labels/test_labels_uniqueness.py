import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.labels.uniqueness import effective_samples, label_weights


def integers(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def test_by_hand() -> None:
    # Labels over bars 1-2, 2-3 and 4; the fourth row has none. Bar 2 is shared by two.
    returns = np.array([np.nan, 0.01, 0.02, -0.03, 0.04])
    made = label_weights(integers(0, 1, 3, 4, -1), integers(2, 3, 4, -1, -1), returns)
    assert made.concurrency.tolist() == [0, 1, 2, 1, 1]
    assert made.uniqueness[:3].tolist() == pytest.approx([(1 + 1 / 2) / 2, (1 / 2 + 1) / 2, 1.0])
    assert np.isnan(made.uniqueness[3:]).all()
    # Attributed: 0.01 + 0.02/2 = 0.02; 0.02/2 - 0.03 = -0.02; 0.04. They sum to 0.08 and are scaled to 3.
    assert made.attribution[:3].tolist() == pytest.approx([0.75, 0.75, 1.5])
    assert effective_samples(made.uniqueness) == pytest.approx(2.5)


def test_labels_of_sixty_bars_are_worth_a_sixtieth() -> None:
    rows = np.arange(5000, dtype=np.int64)
    made = label_weights(np.where(rows < 4940, rows, -1), np.where(rows < 4940, rows + 60, -1), np.ones(5000))
    assert effective_samples(made.uniqueness) == pytest.approx(4940 / 60, rel=0.06)


def test_labels_of_one_bar_are_their_own() -> None:
    rows = np.arange(9, dtype=np.int64)
    made = label_weights(rows, rows + 1, np.ones(10))
    assert made.uniqueness.tolist() == [1.0] * 9


def test_prices_that_never_move_attribute_nothing() -> None:
    made = label_weights(integers(0, 1), integers(2, 2), np.zeros(3))
    assert np.isnan(made.attribution).all()


@pytest.mark.parametrize(("begin", "end"), [(2, 2), (2, 1), (0, 5)])
def test_a_label_that_cannot_be_is_refused(begin: int, end: int) -> None:
    with pytest.raises(ValueError, match="must end after"):
        label_weights(integers(begin), integers(end), np.zeros(5))


@settings(max_examples=150, deadline=None)
@given(
    spans=st.lists(st.tuples(st.integers(-1, 20), st.integers(1, 8)), max_size=25),
    seed=st.integers(0, 9),
)
def test_agrees_with_sums_bar_by_bar(spans: list[tuple[int, int]], seed: int) -> None:
    returns = np.random.default_rng(seed).normal(size=30)
    begin = np.array([b for b, _ in spans], dtype=np.int64)
    end = np.array([b + length if b >= 0 else -1 for b, length in spans], dtype=np.int64)
    made = label_weights(begin, end, returns)
    bars = [set(range(b + 1, e + 1)) if b >= 0 else set() for b, e in zip(begin, end, strict=True)]
    count = [sum(bar in span for span in bars) for bar in range(30)]
    assert made.concurrency.tolist() == count
    moved = [abs(sum(returns[bar] / count[bar] for bar in span)) for span in bars]
    total, labelled = sum(moved), sum(bool(span) for span in bars)
    for row, span in enumerate(bars):
        if span:
            mean = sum(1 / count[bar] for bar in span) / len(span)
            assert made.uniqueness[row] == pytest.approx(mean, abs=1e-12)
            assert made.attribution[row] == pytest.approx(moved[row] / total * labelled, rel=1e-9, abs=1e-9)
        else:
            assert np.isnan(made.uniqueness[row])
