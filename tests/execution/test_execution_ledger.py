from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.execution.fees import TakerFee
from undertow.execution.ledger import Ledger, OpenLots
from undertow.market.instruments import Instrument
from undertow.market.orders import Fill, Side, tick_lot_value

BTC = Instrument("binance", "BTCUSDT", "0.1", "0.001")
FEE = TakerFee(Decimal("5"))


def fill(
    side: Side, lots: int, price_ticks: int, at_ns: int = 1, fee_e8: int = 0, symbol: str = "BTCUSDT"
) -> Fill:
    return Fill("a-1-0", "a-1", symbol, at_ns, at_ns, side, price_ticks, lots, fee_e8)


def run(*fills: Fill) -> Ledger:
    ledger = Ledger(BTC)
    for one in fills:
        ledger = ledger.after(one)
    return ledger


def test_a_round_trip_worked_by_hand() -> None:
    # buy 0.002 at 60,000.0, sell at 60,010.0: profit 0.02; fees 5 bps of 120 and of 120.02
    ledger = run(
        fill(Side.BUY, 2, 600_000, fee_e8=FEE.fee_e8(BTC, 1_200_000)),
        fill(Side.SELL, 2, 600_100, fee_e8=FEE.fee_e8(BTC, 1_200_200)),
    )
    assert ledger.position.lots == 0
    assert ledger.gross_quote(0) == Fraction(2, 100)
    assert ledger.fees_quote == Fraction("0.06") + Fraction("0.06001")
    assert ledger.net_quote(0) == Fraction("0.02") - Fraction("0.12001")


def test_the_oldest_lots_are_closed_first() -> None:
    ledger = run(fill(Side.BUY, 3, 100, 1), fill(Side.BUY, 2, 110, 2), fill(Side.SELL, 4, 120, 3))
    assert ledger.realised == 3 * 20 + 1 * 10
    assert ledger.open_lots == (OpenLots(110, 1, 2),)
    assert (ledger.position.cost, ledger.position.opened_ns) == (110, 2)


def test_a_fill_through_zero_closes_and_opens() -> None:
    ledger = run(fill(Side.BUY, 3, 100, 1), fill(Side.SELL, 5, 90, 7))
    assert ledger.realised == -30
    assert ledger.open_lots == (OpenLots(90, -2, 7),)
    assert ledger.unrealised(80) == 20


def test_a_flat_ledger_has_no_opening_time() -> None:
    assert run(fill(Side.SELL, 1, 100), fill(Side.BUY, 1, 100)).position.opened_ns == 0


def test_another_symbols_fill_is_refused() -> None:
    with pytest.raises(ValueError, match="ETHUSDT"):
        run(fill(Side.BUY, 1, 100, symbol="ETHUSDT"))


trade = st.tuples(st.sampled_from(Side), st.integers(1, 30), st.integers(1, 10**6), st.integers(0, 10**6))


@given(st.lists(trade, max_size=30), st.integers(1, 10**6))
def test_money_is_conserved(trades: list[tuple[Side, int, int, int]], mark: int) -> None:
    """Profit equals cash flows plus the position's worth, less fees, at every step and exactly."""
    ledger, cash, lots, fees = Ledger(BTC), 0, 0, 0
    for side, quantity, price, fee in trades:
        ledger = ledger.after(fill(side, quantity, price, fee_e8=fee))
        cash -= side.sign * quantity * price
        lots += side.sign * quantity
        fees += fee
        assert ledger.position.lots == lots
        assert ledger.cash == cash
        assert ledger.realised + ledger.unrealised(mark) == cash + lots * mark
        assert ledger.net_quote(mark) == (cash + lots * mark) * tick_lot_value(BTC) - Fraction(fees, 10**8)
        assert len({entry.lots > 0 for entry in ledger.open_lots}) <= 1


def test_fee_is_rounded_up_to_the_unit_that_the_exchange_books() -> None:
    tiny = Instrument("binance", "ETHBTC", "0.00001", "0.0001")  # a tick on a lot is worth 1e-9
    assert TakerFee(Decimal(10)).fee_e8(tiny, 1) == 1
    assert TakerFee(Decimal(10)).fee_e8(tiny, 10_000) == 1
    assert TakerFee(Decimal(10)).fee_e8(tiny, 10_001) == 2
    assert TakerFee(Decimal(0)).fee_e8(tiny, 10_001) == 0


@given(st.integers(0, 10**12), st.decimals(0, 100, places=4))
def test_fee_is_never_less_than_exact_nor_a_unit_more(notional: int, bps: Decimal) -> None:
    exact = notional * tick_lot_value(BTC) * Fraction(bps) / 10_000 * 10**8
    assert exact <= TakerFee(bps).fee_e8(BTC, notional) < exact + 1


@pytest.mark.parametrize("bps", ["-1", "NaN", "Infinity"])
def test_a_fee_that_is_no_cost_is_refused(bps: str) -> None:
    with pytest.raises(ValueError, match="taker fee"):
        TakerFee(Decimal(bps))
