"""The words of a scenario."""

from pathlib import Path
from typing import Any

import pytest

from undertow.errors import InputError
from undertow.venues.simulated.faults import KINDS, Fault, load_faults, parse_fault


def test_a_scenario_file_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(
        '[[fault]]\nat_s = 5.0\nkind = "drop"\nstream = "btcusdt@aggTrade"\ncount = 2\n'
        '[[fault]]\nat_s = 1\nkind = "close"\nconnection = 0\ncode = 1001\n'
    )
    drop, close = load_faults(path)
    assert drop == Fault(at_s=5.0, kind="drop", stream="btcusdt@aggTrade", count=2)
    assert (close.at_s, close.connection, close.code) == (1.0, 0, 1001)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[fault]]\nkind = "explode"', "fault kind 'explode' is unknown; choose one of drop"),
        ('[[fault]]\nkind = "drop"\nstream = "a@trade"\nwhere = "there"', "`where`"),
        (
            '[[fault]]\nkind = "drop"\nstream = "a@trade"\ntick = "0.1"',
            "'drop' has no field 'tick'; it has at_s",
        ),
        ('[[fault]]\nkind = "drop"\nstream = "a@trade"\ncount = "2"', "Expected `int`"),
        ('[[fault]]\nkind = "silence"\nstream = "a@trade"', "'silence' needs the field 'for_s'"),
        ('[[fault]]\nkind = "drop"', "'drop' needs a target"),
        ('[[fault]]\nkind = "drop"\nstream = "*"\nat_s = -1', "lies before the start"),
        ('[[fault]]\nkind = "garbage"\nstream = "*"\nhex = "0g"', "hex '0g'"),
        ('[[fault]]\nkind = "empty_side"\nsymbol = "BTCUSDT"\nside = "both"', "side 'both'"),
        ('[[fault]]\nkind = "funding_interval"\nsymbol = "BTCUSDT"\nhours = 3', "3 hours"),
        ('speed = 2\n[[fault]]\nkind = "kick"', "`speed`"),
        ("fault = 1", "Expected `array`"),
        ("[[fault", "is no TOML"),
    ],
)
def test_what_cannot_be_understood_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_faults(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml cannot be read"):
        load_faults(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"kind":1}', b"\xff"])
def test_json_that_is_no_fault_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        parse_fault(body)


@pytest.mark.parametrize(
    ("target", "hit", "missed"),
    [
        ({"stream": "btcusdt@trade"}, "btcusdt@trade", "btcusdt@aggTrade"),
        ({"stream": "*@depth@*"}, "ethusdt@depth@100ms", "ethusdt@depth20"),
        ({"symbol": "BTCUSDT", "suffix": "depth@100ms"}, "btcusdt@depth@100ms", "btcusdt@depth@0ms"),
        ({"symbol": "BTCUSDT"}, "btcusdt@anything", "ethusdt@anything"),
    ],
)
def test_streams_are_meant_by_name_or_by_symbol(target: dict[str, str], hit: str, missed: str) -> None:
    fault = Fault(kind="drop", **target)  # type: ignore[arg-type]
    assert fault.targets(hit)
    assert not fault.targets(missed)


@pytest.mark.parametrize(
    ("fields", "hits"),
    [
        ({"kind": "drop", "stream": "*"}, 1),
        ({"kind": "drop", "stream": "*", "count": 3}, 3),
        ({"kind": "drop", "stream": "*", "for_s": 1.0}, None),
        ({"kind": "mute", "connection": 0}, None),
        ({"kind": "status", "code": 500}, 1),
        ({"kind": "freeze", "endpoint": "openInterest"}, None),
    ],
)
def test_a_fault_hits_once_unless_said(fields: dict[str, Any], hits: int | None) -> None:
    assert Fault(**fields).most_hits == hits


def test_every_kind_can_be_written_with_what_it_needs() -> None:
    values: dict[str, Any] = {
        "symbol": "BTCUSDT", "for_s": 1.0, "milliseconds": 5, "field": "p", "side": "ask", "code": 500,
        "levels": 3, "weight": 9, "limit": 100, "tick": "0.01", "status": "SETTLING", "hours": 4,
    }  # fmt: skip
    for name, kind in KINDS.items():
        needed = {field: values[field] for field in kind.required}
        target: dict[str, Any] = {"stream": "btcusdt@trade"} if kind.family == "frame" else {}
        assert Fault(kind=name, **target, **needed).kind == name
