"""A market written straight to the lake: the same tables as its capture replayed."""

from pathlib import Path

import pytest

from undertow.errors import InputError
from undertow.frames.sampler import SamplerSettings
from undertow.lake.layout import DATA
from undertow.lake.reader import Lake
from undertow.market.time import HOUR_NS, MINUTE_NS, SECOND_NS
from undertow.runtime.replay import Recording, replay
from undertow.runtime.simulate import LAKE_STREAMS, SimulatedDays, simulate_all, simulate_to_lake
from undertow.venues.simulated.capture import simulate_capture
from undertow.venues.simulated.listings import find_listing

START_NS = 491_000 * HOUR_NS - 4 * MINUTE_NS
"""Four minutes before an hour is full, so that hours are sealed on the way."""
LENGTHS_NS = (SECOND_NS, MINUTE_NS)


def days(seconds: float, lengths_ns: tuple[int, ...] = (), seed: int = 7) -> SimulatedDays:
    return SimulatedDays(start_ms=START_NS // 1_000_000, seconds=seconds, seed=seed, timeframes_ns=lengths_ns)


def data_files(root: Path) -> dict[str, bytes]:
    """Every sealed hour of a lake; a manifest also says by which steps it came about."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob(DATA)}


def replayed(folder: Path, symbol: str, seconds: float) -> Path:
    """The lake of the market's capture."""
    capture, lake = folder / "capture.txt", folder / "replayed"
    with capture.open("wb") as file:
        for line in simulate_capture(
            symbol=symbol, seed=7, seconds=seconds, start_ns=START_NS, streams=LAKE_STREAMS
        ):
            file.write(b"%d %s\n" % line)
    settings = SamplerSettings(timeframes_ns=LENGTHS_NS)
    replay(Recording((capture,), "sim", symbol, "aggtrades"), find_listing(symbol).instrument, settings, lake)
    return lake


@pytest.mark.parametrize("symbol", ["BTCUSDT", "SOLUSDT"])
def test_the_lake_is_that_of_the_capture_replayed(tmp_path: Path, symbol: str) -> None:
    written = simulate_to_lake(symbol, tmp_path / "direct", days(660.0, LENGTHS_NS))
    ours, theirs = data_files(tmp_path / "direct"), data_files(replayed(tmp_path, symbol, 660.0))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    tables = {name.split("/")[1] for name in ours}
    assert tables >= {"trades", "aggtrades", "book_depth", "l2", "features", "mark_price", "coverage"}
    assert written.trades > 1000
    assert written.book_samples > 1000


def test_without_timeframes_no_features_are_written_and_the_rest_is_the_same(tmp_path: Path) -> None:
    simulate_to_lake("BTCUSDT", tmp_path / "with", days(90.0, LENGTHS_NS))
    simulate_to_lake("BTCUSDT", tmp_path / "without", days(90.0))
    full, bare = data_files(tmp_path / "with"), data_files(tmp_path / "without")
    assert {name.split("/")[1] for name in full.keys() - bare.keys()} == {"features"}
    assert all(full[name] == content for name, content in bare.items())


def test_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    simulate_to_lake("BTCUSDT", tmp_path, days(300.0))
    before = data_files(tmp_path)
    simulate_to_lake("BTCUSDT", tmp_path, days(300.0))
    assert data_files(tmp_path) == before


def test_symbols_on_two_processes_are_what_each_is_alone(tmp_path: Path) -> None:
    symbols = ["BTCUSDT", "ETHUSDT"]
    found = list(simulate_all(symbols, tmp_path / "both", days(60.0), processes=2))
    assert [written.symbol for written in found] == symbols
    assert all(written.times_real_time > 0 for written in found)
    for symbol in symbols:
        simulate_to_lake(symbol, tmp_path / "each", days(60.0))
    assert data_files(tmp_path / "both") == data_files(tmp_path / "each")
    assert Lake(tmp_path / "both").symbols("sim", "trades") == symbols


def test_progress_is_told_by_the_hour(tmp_path: Path) -> None:
    told: list[int] = []
    simulate_to_lake("BTCUSDT", tmp_path, days(660.0), told.append)
    assert told == [START_NS // HOUR_NS * HOUR_NS, START_NS // HOUR_NS * HOUR_NS + HOUR_NS]


def test_a_symbol_that_is_not_listed_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NOPE"):
        list(simulate_all(["BTCUSDT", "NOPE"], tmp_path / "lake", days(60.0), processes=1))
    assert not (tmp_path / "lake").exists()
