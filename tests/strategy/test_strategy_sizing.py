from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.market.instruments import Instrument
from undertow.strategy.sizing import FixedFraction, FixedLots, size_lots

BTC = Instrument("binance", "BTCUSDT", "0.1", "0.001")


def test_fixed_lots() -> None:
    assert size_lots(FixedLots(7), BTC, Fraction(0), 0) == 7


def test_fixed_fraction_rounds_down_to_whole_lots() -> None:
    # 5 % of 10,000 = 500; a lot at 60,000 is worth 60: 8.33 lots
    assert size_lots(FixedFraction(Decimal("0.05")), BTC, Fraction(10_000), 600_000) == 8


@pytest.mark.parametrize(("equity", "price_ticks"), [(0, 600_000), (-5, 600_000), (1, 600_000), (10_000, 0)])
def test_no_equity_or_price_means_no_size(equity: int, price_ticks: int) -> None:
    assert size_lots(FixedFraction(Decimal("0.05")), BTC, Fraction(equity), price_ticks) == 0


@given(st.decimals("0.001", "1", places=3), st.integers(0, 10**9), st.integers(1, 10**7))
def test_a_position_never_costs_more_than_its_share(share: Decimal, equity: int, price_ticks: int) -> None:
    lots = size_lots(FixedFraction(share), BTC, Fraction(equity), price_ticks)
    assert lots * price_ticks * Fraction(1, 10_000) <= Fraction(share) * equity


@pytest.mark.parametrize("share", ["0", "-0.1", "5", "1.01"])
def test_a_share_that_could_be_meant_as_percent_is_refused(share: str) -> None:
    with pytest.raises(ValueError, match="share of equity"):
        FixedFraction(Decimal(share))


def test_negative_lots_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        FixedLots(-1)
