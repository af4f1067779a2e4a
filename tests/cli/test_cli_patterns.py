"""`undertow patterns` on a lake of hand-made bars with one planted event of each kind."""

import json
from pathlib import Path

import polars as pl
import pytest
from tests.patterns.markets import random_market
from typer.testing import CliRunner, Result

from undertow.cli.main import build
from undertow.errors import InputError, LakeError
from undertow.patterns.catalogue import PATTERNS
from undertow.runtime.pattern_rows import EVENT_SCHEMA

BARS = 14_400
SYMBOLS = ("AUSDT", "BUSDT")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(arguments), list(arguments), catch_exceptions=False)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four hours of noise of each of two symbols, with quotes around its price."""
    folder = tmp_path_factory.mktemp("lake")
    for seed, symbol in enumerate(SYMBOLS):
        market = random_market(BARS, seed)
        mid = market.columns["mid_price"]
        frame = pl.DataFrame(
            {
                "timestamp": market.open_ns // 1_000_000,
                "known_ns": market.known_ns,
                "best_bid": mid - 0.25,
                "best_ask": mid + 0.25,
                **market.columns,
            }
        )
        for hour, part in frame.group_by(pl.col("timestamp") // 3_600_000 % 24):
            at = folder / f"sim/features/{symbol}/1s/2023/11/14/hour={hour[0]:02d}"
            at.mkdir(parents=True)
            part.write_parquet(at / "data.parquet")
    return folder


def test_events_are_counted_listed_and_kept(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "events.parquet"
    result = run("patterns", "--lake", str(lake), "--out", str(out))
    assert result.exit_code == 0
    assert "Events in 8.00 hours of bars of AUSDT, BUSDT" in result.stdout
    events = pl.read_parquet(out)
    assert events.schema == EVENT_SCHEMA
    assert set(events["symbol"]) == set(SYMBOLS)
    assert events["time_ns"].is_sorted()
    assert f"of {events.height:,} events; all are in {out}" in result.stdout
    for name, count in events["pattern"].value_counts().iter_rows():
        assert f"{count / 8:.2f}" in next(line for line in result.stdout.splitlines() if name in line)


def test_json_is_one_object_with_the_study(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "events.parquet"
    options = ("--lake", str(lake), "--symbols", "busdt", "--venue", "sim", "--study", "--json")
    result = run("patterns", *options, "--out", str(out))
    told = json.loads(result.stdout)
    events = pl.read_parquet(out)
    assert [event["time_ns"] for event in told["events"]] == events["time_ns"].to_list()
    assert {event["symbol"] for event in told["events"]} == {"BUSDT"}
    first, stored = told["events"][0]["numbers"], events["numbers"][0]
    assert list(first.items()) == [(number["name"], number["value"]) for number in stored]
    assert len(told["study"]) == 5 * len(PATTERNS)
    assert {row["horizon_s"] for row in told["study"]} == {1.0, 5.0, 10.0, 30.0, 60.0}
    often = max(told["study"], key=lambda row: row["events"])
    found = [event["time_ns"] for event in told["events"] if event["pattern"] == often["pattern"]]
    assert 10 < often["events"] <= len(found)
    assert often["excess_bps"]["low"] <= often["excess_bps"]["value"] <= often["excess_bps"]["high"]


def test_the_study_is_a_table(lake: Path) -> None:
    result = run("patterns", "--lake", str(lake), "--symbols", "AUSDT", "--study")
    assert result.exit_code == 0
    _, _, table = result.stdout.partition("What followed")
    told = {line.split()[0] for line in table.splitlines() if " s " in line}
    assert "imbalance_extreme" in told
    assert told <= {pattern.name for pattern in PATTERNS}


def test_list_and_explain_need_no_lake() -> None:
    listed = run("patterns", "--list").stdout
    for pattern in PATTERNS:
        assert any(line.startswith(pattern.name) and pattern.reads in line for line in listed.splitlines())
        told = run("patterns", "--explain", pattern.name).stdout
        for text in (pattern.definition, pattern.example, pattern.source, pattern.strength):
            assert text in told
        for setting in pattern.settings:
            assert any(
                line.split()[:2] == [setting.name, f"{setting.default:g}"] for line in told.splitlines()
            )


def test_what_is_missing_is_said(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pattern 'wolf'; choose from absorption"):
        run("patterns", "--explain", "wolf")
    with pytest.raises(LakeError, match="run `undertow features --lake"):
        run("patterns", "--lake", str(tmp_path))
    with pytest.raises(LakeError, match="no feature table at"):
        run("patterns", "--lake", str(lake), "--symbols", "CUSDT")
    with pytest.raises(LakeError, match="no feature table of 5m bars"):
        run("patterns", "--lake", str(lake), "--timeframe", "5m")
