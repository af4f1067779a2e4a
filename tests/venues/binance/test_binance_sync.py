import pytest

from undertow.venues.binance.sync import BREAK, NEXT, SPOT, STALE, USDM, follow, join


@pytest.mark.scenario("B4", "spot: the first update has U = L + 1: accepted")
@pytest.mark.scenario("B3", "USD-M: the first update continues with pu = L and U > L: accepted")
@pytest.mark.parametrize(
    ("rule", "first", "last", "previous", "expected"),
    [
        (USDM, 80, 99, 70, STALE),  # u < L
        (USDM, 95, 100, 90, NEXT),  # U <= L <= u, at the upper end
        (USDM, 100, 120, 90, NEXT),
        (USDM, 105, 120, 100, NEXT),  # pu == L continues exactly
        (USDM, 105, 120, 101, BREAK),
        (SPOT, 90, 100, -1, STALE),  # u <= L
        (SPOT, 95, 105, -1, NEXT),
        (SPOT, 101, 105, -1, NEXT),  # U == L+1
        (SPOT, 102, 105, -1, BREAK),
    ],
)
def test_joining_a_snapshot(rule: int, first: int, last: int, previous: int, expected: int) -> None:
    assert join(rule, first, last, previous, 100) == expected


@pytest.mark.parametrize(
    ("rule", "first", "last", "previous", "expected"),
    [
        (USDM, 150, 160, 100, NEXT),  # sparse ids: U > pu+1 is no gap
        (USDM, 101, 160, 99, BREAK),
        (USDM, 101, 160, 104, BREAK),
        (USDM, 90, 100, 80, STALE),
        (SPOT, 101, 110, -1, NEXT),
        (SPOT, 100, 110, -1, NEXT),
        (SPOT, 102, 110, -1, BREAK),
        (SPOT, 90, 100, -1, STALE),
    ],
)
def test_following_a_delta(rule: int, first: int, last: int, previous: int, expected: int) -> None:
    assert follow(rule, first, last, previous, 100) == expected


@pytest.mark.scenario("B11", "a fall of ids by more than a million is a new epoch")
def test_a_numbering_that_starts_anew_is_a_break_not_a_duplicate() -> None:
    assert follow(USDM, 1, 9, 0, 5_000_000) == BREAK
    assert follow(SPOT, 1, 9, -1, 5_000_000) == BREAK
