"""A state is used only for the past, the code and the settings that it was made with."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.lake_days import (
    END_NS,
    FIRST_MIDNIGHT_NS,
    HOURS_NS,
    INSTRUMENT,
    LENGTHS_NS,
    SECOND_MIDNIGHT_NS,
    write_days,
)

from undertow.lake.layout import MANIFEST, HourKey
from undertow.lake.reader import Lake
from undertow.lake.writer import LakeWriter
from undertow.market.time import HOUR_NS, MINUTE_NS
from undertow.runtime import feature_states
from undertow.runtime.batch import Span, StoredHistory, open_history, settings_for, write_features
from undertow.runtime.feature_states import FeatureStates
from undertow.runtime.history import Place

VENUE, SYMBOL = INSTRUMENT.venue, INSTRUMENT.symbol
BOTH = [FIRST_MIDNIGHT_NS, SECOND_MIDNIGHT_NS]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with features and their states."""
    root = tmp_path_factory.mktemp("computed") / "lake"
    write_days(root)
    write_features(open_history(Lake(root), VENUE, SYMBOL), LENGTHS_NS, lambda hour: None)
    return root


@pytest.fixture
def lake(computed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(computed, tmp_path / "lake"))


def midnights(root: Path, lengths_ns: tuple[int, ...] = LENGTHS_NS) -> list[int]:
    history = open_history(Lake(root), VENUE, SYMBOL)
    return FeatureStates(history, settings_for(history, lengths_ns)).midnights()


def replace_with_less(root: Path, table: str, hour_ns: int) -> None:
    rows = Lake(root).read_whole(VENUE, table, SYMBOL, hour_ns, hour_ns + HOUR_NS)
    assert rows is not None
    writer = LakeWriter(root, VENUE, SYMBOL)
    writer.replace(HourKey(VENUE, table, SYMBOL, "", hour_ns), rows.slice(0, rows.num_rows - 1))
    writer.close()


def test_states_of_an_untouched_lake_are_good(lake: Path) -> None:
    assert midnights(lake) == BOTH


@pytest.mark.parametrize("table", ["aggtrades", "book_depth", "mark_price", "liquidations"])
def test_an_input_row_that_changes_spoils_the_states_behind_it(lake: Path, table: str) -> None:
    replace_with_less(lake, table, SECOND_MIDNIGHT_NS)
    assert midnights(lake) == BOTH
    replace_with_less(lake, table, FIRST_MIDNIGHT_NS)
    assert midnights(lake) == BOTH[:1]
    replace_with_less(lake, table, FIRST_MIDNIGHT_NS - 2 * HOUR_NS)
    assert midnights(lake) == []


def test_an_hour_that_comes_later_spoils_the_states_behind_it(lake: Path) -> None:
    hour_ns = FIRST_MIDNIGHT_NS + 5 * HOUR_NS
    rows = Lake(lake).read_whole(VENUE, "funding_rate", SYMBOL, FIRST_MIDNIGHT_NS, FIRST_MIDNIGHT_NS + 1)
    assert rows is not None
    stamps = np.full(rows.num_rows, hour_ns // 10**6)
    writer = LakeWriter(lake, VENUE, SYMBOL)
    writer.append("funding_rate", rows.set_column(0, "timestamp", [stamps]), is_history=True)
    writer.flush()
    assert midnights(lake) == BOTH[:1]
    writer.seal(None)
    writer.close()
    assert midnights(lake) == BOTH[:1]


def test_other_timeframes_have_states_of_their_own(lake: Path) -> None:
    assert midnights(lake, LENGTHS_NS[:2]) == []
    assert midnights(lake, LENGTHS_NS[::-1]) == BOTH


def test_states_of_other_code_are_not_used(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_states, "_code", lambda: "another")
    assert midnights(lake) == []


def test_a_damaged_state_is_as_good_as_absent(lake: Path) -> None:
    first, second = sorted((lake / VENUE / "_states").rglob("*.state"))
    content = bytearray(second.read_bytes())
    content[-200:-100] = bytes(100)
    second.write_bytes(content)
    first.write_bytes(first.read_bytes()[:50])
    history = open_history(Lake(lake), VENUE, SYMBOL)
    states = FeatureStates(history, settings_for(history, LENGTHS_NS))
    assert states.load(FIRST_MIDNIGHT_NS) is None
    assert states.load(SECOND_MIDNIGHT_NS) is None


def test_what_may_still_change_gives_no_state(lake: Path) -> None:
    shutil.rmtree(lake / VENUE / "_states")
    day = HourKey(VENUE, "book_depth", SYMBOL, "", FIRST_MIDNIGHT_NS)
    (day.folder(lake) / MANIFEST).unlink()
    history = open_history(Lake(lake), VENUE, SYMBOL)
    states = FeatureStates(history, settings_for(history, LENGTHS_NS))
    place = Place(SECOND_MIDNIGHT_NS, SECOND_MIDNIGHT_NS - 10**9)
    assert not states.save(SECOND_MIDNIGHT_NS, place, {"a": np.zeros(3)})
    assert states.save(FIRST_MIDNIGHT_NS, place, {"a": np.arange(3.0), "b": np.zeros((0, 2), np.int64)})
    kept = states.load(FIRST_MIDNIGHT_NS)
    assert kept is not None
    assert kept.place == place
    assert kept.arrays["a"].tolist() == [0.0, 1.0, 2.0]
    assert kept.arrays["b"].shape == (0, 2)


def describe(history: StoredHistory) -> dict[str, bytes]:
    root = history.lake.root / VENUE / "features"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.parquet"))}


def test_a_slice_replaces_its_hours_and_no_others(lake: Path) -> None:
    history = open_history(Lake(lake), VENUE, SYMBOL)
    before = describe(history)
    touched = {name for name in before if "/10/hour=00" in name}
    for name in touched:
        (lake / VENUE / "features" / name).write_bytes(b"broken")
    span = Span(SECOND_MIDNIGHT_NS + 7 * MINUTE_NS, SECOND_MIDNIGHT_NS + 9 * MINUTE_NS)
    rows = write_features(history, LENGTHS_NS, lambda hour: None, span)
    assert rows == {"5s": 720, "1m": 60, "45m": 2}
    assert describe(history) == before


def test_rows_stored_behind_the_end_of_the_recording_stay(lake: Path) -> None:
    """Live has gone on in an hour of which the recording tells the end only when it is sealed."""
    key = HourKey(VENUE, "features", SYMBOL, "5s", HOURS_NS[-1])
    rows = Lake(lake).read_whole(VENUE, "features", SYMBOL, key.hour_ns, key.end_ns, timeframe="5s")
    assert rows is not None
    later = rows.slice(rows.num_rows - 1).set_column(0, "timestamp", [[END_NS // 10**6 + 1_999]])
    writer = LakeWriter(lake, VENUE, SYMBOL)
    writer.append("features", later, timeframe="5s")
    writer.flush()
    writer.close()
    write_features(open_history(Lake(lake), VENUE, SYMBOL), LENGTHS_NS, lambda hour: None)
    again = Lake(lake).read_whole(VENUE, "features", SYMBOL, key.hour_ns, key.end_ns, timeframe="5s")
    assert again is not None
    assert again.slice(0, rows.num_rows).equals(rows)
    assert again.slice(rows.num_rows).equals(later)
