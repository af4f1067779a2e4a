"""Features of two markets from a lake: the same rows as from one pass, in time, and errors that help."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from tests.datasets.lake_factory import START_MS, feature_rows, write_rows

from undertow.datasets.cross_join import CROSS_TABLE
from undertow.errors import InputError
from undertow.features.cross import CROSS_FEATURES, CrossEngine, PairBars
from undertow.lake.reader import Lake
from undertow.runtime.cross_features import (
    CrossRequest,
    Place,
    compute_cross_features,
    cross_requests,
    write_cross_features,
)

SECOND = 10**9
FOLLOWER, LEADER = Place("sim", "ETHUSDT"), Place("sim", "BTCUSDT")
FIRST_MS = START_MS + 3_600_000 - 400_000
"""400 s before a full hour, so that a table of 1000 s has two files."""


def bars(seed: int, count: int = 1000) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    flows = [pl.Series(name, random.integers(0, 9, count) * 1.0) for name in ("buy_volume", "sell_volume")]
    return feature_rows(count, FIRST_MS, seed=seed).with_columns(flows)


def lake_of(folder: Path, follower: pl.DataFrame, leader: pl.DataFrame, lineage: str = "a1") -> Lake:
    write_rows(folder, "features", follower, "ETHUSDT", "1s")
    write_rows(folder, "features", leader, "BTCUSDT", "1s", lineage)
    return Lake(folder)


def whole(follower: pl.DataFrame, leader: pl.DataFrame) -> dict[str, np.ndarray]:
    """All features of bars without a hole, in one block."""
    columns = [side["known_ns"].to_numpy() for side in (follower, leader)]
    pair = PairBars(
        SECOND,
        follower["timestamp"].to_numpy() * 1_000_000,
        follower["mid_price"].to_numpy(),
        leader["mid_price"].to_numpy(),
        leader["buy_volume"].to_numpy(),
        leader["sell_volume"].to_numpy(),
        *columns,
    )
    block = CrossEngine(SECOND).push(pair)
    return dict(zip(block.names, block.values, strict=True))


def computed(request: CrossRequest) -> pl.DataFrame:
    rows = pl.from_arrow(pa.concat_tables([table for _, table in compute_cross_features(request)]))
    assert isinstance(rows, pl.DataFrame)
    return rows


def test_stored_hours_give_the_rows_of_one_block(tmp_path: Path) -> None:
    follower, leader = bars(1), bars(2)
    lake = lake_of(tmp_path, follower, leader)
    request = CrossRequest(lake, FOLLOWER, "1s", leader=LEADER, spot=LEADER)
    seen: list[int] = []
    assert write_cross_features(request, lambda hour: seen.append(hour.hour)) == 1000
    assert seen == [0, 1]
    stored = pl.read_parquet(tmp_path / "sim" / CROSS_TABLE / "ETHUSDT" / "1s" / "**" / "data.parquet")
    stored = stored.sort("timestamp")
    assert stored.columns == ["timestamp", *(feature.name for feature in CROSS_FEATURES), "known_ns"]
    assert stored["timestamp"].to_list() == follower["timestamp"].to_list()
    assert stored["known_ns"].to_list() == follower["known_ns"].to_list()
    for name, values in whole(follower, leader).items():
        np.testing.assert_array_equal(stored[name].fill_null(np.nan).to_numpy(), values, err_msg=name)
    (manifest, _) = lake.manifests("sim", CROSS_TABLE, "ETHUSDT", "1s")
    assert manifest.extra["others"] == {"lead_lag": "sim BTCUSDT", "spot_perp": "sim BTCUSDT"}


def test_only_the_families_that_have_a_market_are_computed(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, bars(1), bars(2))
    led = computed(CrossRequest(lake, FOLLOWER, "1s", leader=LEADER))
    beside = computed(CrossRequest(lake, FOLLOWER, "1s", spot=LEADER))
    assert "leader_beta_60" in led.columns
    assert "spot_perp_basis_bps" not in led.columns
    assert set(beside.columns) == {"timestamp", "known_ns"} | {
        feature.name for feature in CROSS_FEATURES if feature.family == "spot_perp"
    }


def test_bars_that_a_market_lacks_are_unknown_and_time_goes_on(tmp_path: Path) -> None:
    """Holes within the follower's hours, across its hours and in the leader's table."""
    follower, leader = bars(1), bars(2)
    at = pl.Series(np.arange(1000))
    holed = follower.filter(~at.is_between(390, 409) & (at != 700))
    rows = computed(CrossRequest(lake_of(tmp_path, holed, leader.filter(at != 800)), FOLLOWER, "1s", LEADER))
    assert rows["timestamp"].to_list() == holed["timestamp"].to_list()
    by_time = dict(zip(rows["timestamp"].to_list(), rows["leader_return_5s"].to_list(), strict=True))
    full = whole(follower, leader)["leader_return_5s"]
    first = FIRST_MS
    assert by_time[first + 389_000] == full[389]
    assert by_time[first + 412_000] is None, "what the leader was in the hole was not followed"
    assert by_time[first + 415_000] == full[415]
    assert by_time[first + 800_000] is None
    assert by_time[first + 805_000] is None
    assert by_time[first + 806_000] == full[806]


def test_a_leader_that_is_known_later_is_not_used(tmp_path: Path) -> None:
    follower, leader = bars(1), bars(2)
    late = leader.with_columns(known_ns=pl.col("known_ns") + 1)
    rows = computed(CrossRequest(lake_of(tmp_path, follower, late), FOLLOWER, "1s", LEADER, LEADER))
    for feature in CROSS_FEATURES:
        assert rows[feature.name].null_count() == 1000, feature.name


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, bars(1), bars(2), lineage="b2")
    with pytest.raises(InputError, match="name a leader, a spot market or both"):
        CrossRequest(lake, FOLLOWER, "1s")
    with pytest.raises(InputError, match="cannot lead itself"):
        CrossRequest(lake, FOLLOWER, "1s", FOLLOWER)
    with pytest.raises(InputError, match="undertow features --timeframes 1s"):
        computed(CrossRequest(lake, FOLLOWER, "1s", Place("sim", "SOLUSDT")))
    with pytest.raises(InputError, match="timeframe '7s'"):
        computed(CrossRequest(lake, FOLLOWER, "7s", LEADER))
    with pytest.raises(InputError, match="lineages do not mix"):
        computed(CrossRequest(lake, FOLLOWER, "1s", LEADER))


def test_everything_that_can_follow_is_asked_for(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, bars(1, 20), bars(2, 20))
    spot = tmp_path / "sim-spot" / "features" / "ETHUSDT"
    spot.mkdir(parents=True)
    found = cross_requests(lake, None, (), ("1s", "1m"), "BTCUSDT", "sim-spot")
    assert [(one.follower, one.timeframe, one.leader, one.spot) for one in found] == [
        (FOLLOWER, timeframe, LEADER, Place("sim-spot", "ETHUSDT")) for timeframe in ("1s", "1m")
    ]
    both = cross_requests(lake, "sim", ("BTCUSDT", "ETHUSDT"), ("1s",), "ETHUSDT", None)
    assert [(one.follower, one.leader) for one in both] == [(LEADER, FOLLOWER)]
    for symbols, leader in ((("BTCUSDT",), "BTCUSDT"), ((), None)):
        with pytest.raises(InputError, match="--leader names a symbol"):
            cross_requests(lake, None, symbols, ("1s",), leader, None)
