"""What the sampler gives live, and the same samples read back from the lake, have the same L2 features."""

import numpy as np
import pytest
from tests.frames.conftest import INSTRUMENT, make_market

from undertow.features.l2 import VALUE_NAMES
from undertow.frames.sampler import Sampler, SamplerSettings
from undertow.lake.tables import arrow_to_book, book_to_arrow
from undertow.market.columns import BookColumns
from undertow.runtime.l2_features import l2_engine
from undertow.runtime.l2_rows import l2_to_arrow
from undertow.venues.binance.mapper import BinanceMapper

SETTINGS = SamplerSettings()


@pytest.fixture(scope="module")
def samples() -> BookColumns:
    batch = BinanceMapper(INSTRUMENT).map(make_market(3, 100).bytes()).batch
    return Sampler(INSTRUMENT, SETTINGS).feed(batch).l2


def test_live_samples_are_one_stretch_with_known_changes(samples: BookColumns) -> None:
    block = l2_engine(INSTRUMENT, SETTINGS).push(samples)
    assert len(block) > 90
    # The first sample comes some way into its second, the book having been joined there.
    warm = np.isnan(block.column("price_volatility_30sec")).sum()
    assert warm == 30
    assert not np.isnan(block.column("price_change_1sec")[1:]).any()


@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_lake_gives_the_features_that_live_gave(samples: BookColumns, size: int) -> None:
    live = l2_engine(INSTRUMENT, SETTINGS)
    stored = l2_engine(INSTRUMENT, SETTINGS)
    for at in range(0, len(samples), size):
        part = samples.take(slice(at, at + size))
        first = l2_to_arrow(INSTRUMENT, live.push(part))
        read = arrow_to_book(INSTRUMENT, book_to_arrow(INSTRUMENT, part))
        assert l2_to_arrow(INSTRUMENT, stored.push(read)).equals(first)


def test_values_are_those_of_the_stored_samples(samples: BookColumns) -> None:
    """Mid and spread stand in both tables; the volume is of more levels."""
    block, table = l2_engine(INSTRUMENT, SETTINGS).push(samples), book_to_arrow(INSTRUMENT, samples)
    for name in ("mid_price", "spread"):
        assert block.column(name).tolist() == table[name].to_pylist()
    held = INSTRUMENT.quantity.to_floats(samples.bid_lots.sum(axis=1))
    assert block.column("total_bid_volume").tolist() == held.tolist()
    assert (held > np.array(table["bid_vol_20"])).all()
    assert set(block.row(0)) == set(VALUE_NAMES)
