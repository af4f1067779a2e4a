"""L2 features of days and slices, in any number of processes, are those of the whole."""

from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from tests.features.l2_factory import SECOND
from tests.runtime.test_runtime_l2_features import BTC, market, record

from undertow.features.l2_engine import lineage
from undertow.lake.reader import Lake
from undertow.market.time import DAY_NS, HOUR_NS
from undertow.runtime.l2_features import TABLE, deep_histories, open_deep_history, write_l2_features
from undertow.runtime.l2_jobs import L2_LOOKBACK_NS, write_all_l2

MIDNIGHT_NS = 1_723_248_000 * SECOND
ETH = msgspec.structs.replace(BTC, symbol="ETHUSDT")


def recorded(root: Path) -> Path:
    for seed, instrument in enumerate((BTC, ETH)):
        record(root, market(150, MIDNIGHT_NS - 75 * SECOND, seed), instrument)
    return root


def tables(root: Path) -> list[pa.Table]:
    parts = [Lake(root).read_whole(BTC.venue, TABLE, symbol) for symbol in ("BTCUSDT", "ETHUSDT")]
    return [part for part in parts if part is not None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[pa.Table]:
    root = recorded(tmp_path_factory.mktemp("whole"))
    for history in deep_histories(Lake(root), None, ()):
        write_l2_features(history, lambda hour: None)
    return tables(root)


@pytest.mark.parametrize("jobs", [1, 2])
def test_days_of_symbols_are_those_of_the_whole(tmp_path: Path, whole: list[pa.Table], jobs: int) -> None:
    told: list[tuple[str, datetime]] = []
    histories = deep_histories(Lake(recorded(tmp_path)), None, ())
    rows = write_all_l2(histories, None, None, jobs, lambda *what: told.append(what))
    assert rows == {"venue BTCUSDT": 150, "venue ETHUSDT": 150}
    assert all(ours.equals(theirs) for ours, theirs in zip(tables(tmp_path), whole, strict=True))
    assert sorted({symbol for symbol, _ in told}) == ["BTCUSDT", "ETHUSDT"]
    manifests = Lake(tmp_path).manifests("venue", TABLE, "BTCUSDT")
    assert [manifest.extra["lineage"] for manifest in manifests] == [lineage()] * 2


@pytest.mark.parametrize(("from_ns", "to_ns"), [(MIDNIGHT_NS + 5 * SECOND, None), (None, MIDNIGHT_NS)])
def test_a_slice_has_the_hours_that_it_touches(
    tmp_path: Path, whole: list[pa.Table], from_ns: int | None, to_ns: int | None
) -> None:
    history = open_deep_history(Lake(recorded(tmp_path)), "venue", "BTCUSDT")
    assert write_all_l2([history], from_ns, to_ns, 1, lambda *what: None) == {"venue BTCUSDT": 75}
    begin = 0 if from_ns is None else 75
    assert tables(tmp_path)[0].equals(whole[0].slice(begin, 75))


def test_nothing_stored_in_a_slice_is_no_rows(tmp_path: Path) -> None:
    history = open_deep_history(Lake(recorded(tmp_path)), "venue", "BTCUSDT")
    bounds = MIDNIGHT_NS + DAY_NS, MIDNIGHT_NS + DAY_NS + HOUR_NS
    assert write_all_l2([history], *bounds, 1, lambda *what: None) == {"venue BTCUSDT": 0}


def test_half_a_minute_before_a_row_is_all_that_it_needs(whole: list[pa.Table], tmp_path: Path) -> None:
    """Samples before the lookback are others; the rows behind it are the same."""
    samples, others = market(150, MIDNIGHT_NS - 75 * SECOND, 0), market(150, MIDNIGHT_NS - 75 * SECOND, 7)
    first = 60
    for name in ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots"):
        getattr(samples, name)[:first] = getattr(others, name)[:first]
    record(tmp_path, samples)
    write_all_l2(deep_histories(Lake(tmp_path), None, ()), None, None, 1, lambda *what: None)
    behind = first + L2_LOOKBACK_NS // SECOND
    found = tables(tmp_path)[0]
    assert found.slice(behind).equals(whole[0].slice(behind))
    assert not found.slice(first, 1).equals(whole[0].slice(first, 1))
