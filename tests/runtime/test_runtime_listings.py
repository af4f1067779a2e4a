import msgspec
import pytest

from undertow.runtime.listings import ListingChange, changes
from undertow.venues.binance.instruments import ExchangeInfo, Filter, Listing, RateLimit


def info(*listings: Listing, limit: int = 2400) -> ExchangeInfo:
    return ExchangeInfo(listings, (RateLimit("REQUEST_WEIGHT", "MINUTE", 1, limit),))


def listing(
    symbol: str = "BTCUSDT", tick: str = "0.10", lot: str = "0.001", status: str = "TRADING"
) -> Listing:
    return Listing(symbol, status, (Filter("PRICE_FILTER", tick), Filter("LOT_SIZE", None, lot)), "PERPETUAL")


@pytest.mark.scenario("B18", "the tick changes: recorded as an event, and said")
@pytest.mark.scenario("R14", "the request limit changes: recorded and adopted")
def test_what_changes_is_told() -> None:
    before = info(listing(), listing("ETHUSDT"), listing("XRPUSDT"))
    after = info(listing(tick="0.01"), listing("ETHUSDT", status="SETTLING"), limit=1200)
    found = list(changes(before, after, ["BTCUSDT", "ETHUSDT", "XRPUSDT", "DOTUSDT"]))
    assert found == [
        ListingChange("BTCUSDT", "tick", "0.10", "0.01"),
        ListingChange("ETHUSDT", "status", "TRADING", "SETTLING"),
        ListingChange("XRPUSDT", "listing", "TRADING", "absent"),
        ListingChange("BTCUSDT", "weight limit", "2400", "1200"),
    ]
    assert "another tick: 0.01, before 0.10" in str(found[0])


def test_nothing_changed_is_nothing() -> None:
    before = info(listing())
    assert list(changes(before, msgspec.structs.replace(before), ["BTCUSDT"])) == []
