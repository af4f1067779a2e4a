"""Market features of a recording: live and batch alike, however it was cut and whatever our clock said."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.frames import conftest
from tests.frames.conftest import INSTRUMENT, frame_line, make_market

from undertow.features.catalogue import feature_set
from undertow.frames.sampler import SamplerSettings
from undertow.lake.reader import Lake
from undertow.lake.writer import LakeWriter
from undertow.runtime.batch import open_history, verify_features, write_features
from undertow.runtime.market_readings import readings_of
from undertow.runtime.pipeline import Pipeline

SETTINGS = SamplerSettings(timeframes_ns=(10**9, 60 * 10**9))
VENUE, SYMBOL = INSTRUMENT.venue, INSTRUMENT.symbol
SECONDS = 150
START_MS = conftest.START_MS // 3_600_000 * 3_600_000 + 3_530_000
"""Seventy seconds before an hour ends."""
MARKET = [feature.name for feature in feature_set("market")]


def mark(event_ms: int, price: float) -> dict[str, Any]:
    data: dict[str, Any] = {
        "e": "markPriceUpdate",
        "E": event_ms,
        "s": SYMBOL,
        "p": f"{price:.2f}",
        "i": "1000.00",
    }
    data |= {"P": "1000.00", "r": f"{price / 1e6:.8f}", "T": START_MS + 10**7}
    return {"stream": "btcusdt@markPrice@1s", "data": data}


def interest(event_ms: int, amount: float) -> dict[str, Any]:
    data = {"openInterest": f"{amount:.3f}", "symbol": SYMBOL, "time": event_ms}
    return {"stream": "btcusdt@openInterest", "data": data}


def settlements(*hours: int) -> dict[str, Any]:
    rows = [
        {
            "symbol": SYMBOL,
            "fundingRate": f"0.000{hour}",
            "fundingTime": START_MS - hour * 3_600_000,
            "markPrice": "",
        }
        for hour in hours
    ]
    return {"stream": "btcusdt@fundingRate", "data": rows}


def forced(event_ms: int, side: str, lots: int) -> dict[str, Any]:
    order: dict[str, Any] = {
        "s": SYMBOL,
        "S": side,
        "o": "LIMIT",
        "f": "IOC",
        "q": f"0.{lots:03}",
        "p": "1000.00",
    }
    order |= {"ap": "1000.00", "X": "FILLED", "l": f"0.{lots:03}", "z": f"0.{lots:03}", "T": event_ms}
    return {"stream": "btcusdt@forceOrder", "data": {"e": "forceOrder", "E": event_ms + 3, "o": order}}


def recording(seed: int = 5) -> list[bytes]:
    """A small market with all four tables; some rows come after their bars were closed, and some twice."""
    rng = random.Random(seed)
    told: list[tuple[int, dict[str, Any]]] = [(START_MS + 900, settlements(16, 8))]
    told.append((START_MS + 70_000, settlements(24, 8, 0)))
    for second in range(SECONDS):
        now = START_MS + second * 1000
        told.append((now + rng.choice((9, 200, 900, 2_500)), mark(now, 1000 + rng.randint(-9, 9))))
        if second % 7 == 0:
            told.append((now + rng.choice((100, 4_000)), interest(now - 2_000, 500 + rng.randint(0, 40))))
        if second % 10 == 0:
            told += [(now + 700, forced(now + 600, side, rng.randint(1, 99))) for side in ("SELL", "BUY")]
        if second % 5 == 0:
            order = forced(now + 500, rng.choice(("SELL", "BUY")), rng.randint(1, 99))
            told += [(now + 510 + later, order) for later in rng.choice(((0,), (0, 0), (0, 2_000), (3_000,)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "START_MS", START_MS)
        lines = make_market(seed, SECONDS).lines + [frame_line(*entry) for entry in told]
    return sorted(lines, key=lambda line: int(line.partition(b" ")[0]))


LINES = recording()


def record(lake: Path, blocks: list[bytes], *, restarts: bool = False) -> dict[str, pa.Table]:
    """The feature tables, by timeframe, and `mark_price` of a recording that comes in blocks."""
    writer = LakeWriter(lake, VENUE, SYMBOL)
    pipeline = Pipeline(INSTRUMENT, SETTINGS, writer)
    for block in blocks:
        assert pipeline.fold(block) == []
        if restarts:
            arrays, pipeline = pipeline.to_arrays(), Pipeline(INSTRUMENT, SETTINGS, writer)
            pipeline.restore(arrays)
    pipeline.finish()
    writer.seal(None, extra=pipeline.provenance())
    writer.close()
    return stored(lake)


def stored(lake: Path) -> dict[str, pa.Table]:
    tables = {name: Lake(lake).read_whole(VENUE, "features", SYMBOL, timeframe=name) for name in ("1s", "1m")}
    marks = Lake(lake).read_whole(VENUE, "mark_price", SYMBOL)
    assert marks is not None
    return {**tables, "marks": marks.drop_columns(["received_ns"])}


def cut(seed: int) -> list[bytes]:
    rng, at, blocks = random.Random(seed), 0, []
    while at < len(LINES):
        size = rng.choice((1, 3, 60, 400))
        blocks.append(b"".join(LINES[at : at + size]))
        at += size
    return blocks


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("recorded") / "lake"
    record(lake, [b"".join(LINES)])
    return lake


def test_every_market_feature_is_known_somewhere_and_changes(recorded: Path) -> None:
    rows = stored(recorded)["1s"]
    for name in MARKET:
        values = rows[name].drop_null().to_numpy()
        assert len(values) > 5, name
        assert len(np.unique(values)) > 1 or name in ("index_price", "high_funding_pressure"), name


def test_features_computed_again_are_those_that_were_recorded(recorded: Path) -> None:
    compared, differences = verify_features(Lake(recorded))
    assert (compared > SECONDS - 10, differences) == (True, [])


def test_features_of_a_lake_that_has_none_are_those_that_are_recorded(recorded: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    record(lake, cut(3))
    (lake / VENUE / "features").rename(tmp_path / "features")
    write_features(open_history(Lake(lake), VENUE, SYMBOL), SETTINGS.timeframes_ns, lambda hour: None)
    again, ours = stored(lake), stored(recorded)
    for name, rows in ours.items():
        assert again[name].equals(rows), name


@pytest.mark.parametrize("seed", [1, 2])
def test_any_cut_and_restart_gives_the_same_rows(recorded: Path, tmp_path: Path, seed: int) -> None:
    again = record(tmp_path / "lake", cut(seed), restarts=True)
    for name, rows in stored(recorded).items():
        assert again[name].equals(rows), name


@pytest.mark.parametrize("shift_ns", [-5 * 10**9, 5 * 10**9])
def test_our_clock_is_in_no_feature(recorded: Path, tmp_path: Path, shift_ns: int) -> None:
    shifted = []
    for line in LINES:
        stamp, _, frame = line.partition(b" ")
        shifted.append(b"%d %s" % (int(stamp) + shift_ns, frame))
    again = record(tmp_path / "lake", [b"".join(shifted)])
    for name, rows in stored(recorded).items():
        assert again[name].equals(rows), name


def test_what_comes_later_changes_nothing_before_it(recorded: Path, tmp_path: Path) -> None:
    """Prices and quantities of the market tables from a place in the stream on are others."""
    place = len(LINES) // 2
    changed = [*LINES[:place]]
    for line in LINES[place:]:
        stamp, _, frame = line.partition(b" ")
        content = json.loads(frame)
        if "stream" in content and isinstance(content["data"], dict):
            data = content["data"]
            data |= {name: "7.50" for name in ("p", "i", "r", "openInterest") if name in data}
            if "o" in data:
                data["o"] |= {"q": "0.999", "S": "SELL"}
            frame = json.dumps(content, separators=(",", ":")).encode() + b"\n"
        changed.append(stamp + b" " + frame)
    closed: list[int] = []
    for number, lines in enumerate((LINES[:place], LINES, changed)):
        record(tmp_path / str(number), [b"".join(lines)])
        rows = stored(tmp_path / str(number))["1s"]
        closed.append(rows.num_rows)
    before, after = (stored(tmp_path / str(number))["1s"] for number in (1, 2))
    assert before.slice(0, closed[0]).equals(after.slice(0, closed[0]))
    assert not before.select(MARKET).equals(after.select(MARKET))


def test_rows_of_older_files_are_known_when_they_had_come() -> None:
    stamps, came_ns = [1_000, 2_000], [1_500_000_000, 1_900_000_000]
    table = pa.table(
        {
            "timestamp": stamps,
            "open_interest": [5.0, None],
            "received_ns": came_ns,
            "known_ns": pa.nulls(2, pa.int64()),
        }
    )
    for rows in (table, table.drop_columns(["known_ns"])):
        found = readings_of(INSTRUMENT, {"open_interest": rows})["open_interest"]
        assert found.known_ns.tolist() == [1_500_000_000, 2_000_000_000]
        np.testing.assert_equal(found.floats[:, 0], [5.0, np.nan])
