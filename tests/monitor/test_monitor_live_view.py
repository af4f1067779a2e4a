import io
from dataclasses import dataclass

import pytest
from rich.cells import cell_len
from rich.console import Console

from undertow.monitor.live_view import render
from undertow.runtime.health import ConnectionReport, Health, StreamExpectation

MS = 1_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "1000SHIBUSDT")


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def collected(*symbols: str, quiet: str = "", seconds: int = 90) -> Health:
    """Twenty trades, ten depth frames and a mark price a second and symbol; `quiet` ends after 40 s."""
    clock = Clock()
    health = Health("binance-usdm", clock=clock, wall_clock=lambda: 1_770_000_000 * 1000 * MS)
    kinds = {"trades": ("aggTrade", 20), "depth": ("depth@100ms", 10), "mark": ("markPrice@1s", 1)}
    streams = [
        (f"{symbol.lower()}@{suffix}".encode(), symbol, kind, count)
        for symbol in symbols
        for kind, (suffix, count) in kinds.items()
    ]
    for stream, symbol, kind, _ in streams:
        health.expect(stream, symbol, StreamExpectation(kind, 10.0))
    for second in range(seconds):
        clock.now_s += 1.0
        for stream, symbol, _, count in streams:
            for _frame in range(0 if symbol == quiet and second > 40 else count):
                health.note(stream, 1_000_090 * MS, 1_000_000, 300)
        health.tick()
    for symbol in symbols:
        state = health.symbol(symbol)
        state.book, state.is_book_synced = "synced", True
    return health


def seen(health: Health, width: int, height: int = 50) -> str:
    """What a terminal of this size shows, without colours."""
    console = Console(width=width, height=height, file=io.StringIO())
    with console.capture() as capture:
        console.print(render(health.snapshot()))
    return capture.get()


def row(text: str, symbol: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith(symbol)).split()


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_off_or_wider_than_the_terminal(width: int) -> None:
    health = collected(*SYMBOLS, quiet="ETHUSDT")
    health.symbol("ETHUSDT").book, health.symbol("ETHUSDT").is_book_synced = "no snapshot", False
    for symbol, price in zip(SYMBOLS, (123456.78, 0.00001234, 4321.123456789), strict=True):
        health.symbol(symbol).last_price = price
        health.symbol(symbol).gaps = 1234
        health.symbol(symbol).resyncs = 98_765
    health.alarm("wss://fstream.binance.com/market/stream: " + "words " * 40)
    text = seen(health, width)
    assert "…" not in text
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "no snapshot" in text
    assert " 123456.78 " in text
    assert " 0.00001234 " in text
    assert " 4321.1235 " in text


def test_a_row_tells_rates_lags_and_the_book() -> None:
    health = collected(*SYMBOLS)
    health.symbol("BTCUSDT").last_price = 65000.5
    health.symbol("BTCUSDT").gaps = 2
    health.symbol("BTCUSDT").resyncs = 3
    narrow = row(seen(health, 80), "BTCUSDT")
    assert narrow == ["BTCUSDT", "65000.5", "20.0", "10.0", "88", "100", "2", "3", "synced"]


def test_a_wide_terminal_shows_more() -> None:
    health = collected(*SYMBOLS)
    health.symbol("BTCUSDT").note_audit(2000, 1999)
    health.symbol("BTCUSDT").note_written(3 * MS)
    cells = row(seen(health, 120), "BTCUSDT")
    assert cells == ["BTCUSDT", "-", "20.0", "10.0", "1.0", "88", "100", "3.0", "0", "0", "99.9%", "synced"]
    assert row(seen(health, 120), "ETHUSDT")[-2:] == ["-", "synced"]


def test_totals() -> None:
    health = collected(*SYMBOLS)
    health.set_clock(1_200_000, 800_000)
    health.journal_bytes = 3_450_000_000
    health.rest_weight_used, health.rest_weight_limit = 220, 2400
    known = ConnectionReport(0, "market", "ws://x", 0.0, is_open=True, streams=frozenset(), last_seen_s={})
    health.set_connections([known])
    text = " ".join(seen(health, 80).replace("\N{NO-BREAK SPACE}", " ").split())
    for part in (
        "binance-usdm · up 1m 30s · 93 frames/s",
        "journal 3.5 GB",
        "sockets 1/1",
        "drops 0",
        "REST weight 220/2,400",
        "clock +1.2 ± 0.8 ms",
    ):
        assert part in text
    assert "REST closed" not in text
    health.note_ban(600)
    closed = " ".join(seen(health, 200).replace("\N{NO-BREAK SPACE}", " ").split())
    assert "REST closed for 10m 00s" in closed


def test_an_unmeasured_clock() -> None:
    assert "clock not measured" in seen(collected("BTCUSDT"), 200).replace("\N{NO-BREAK SPACE}", " ")


def test_troubles_stand_at_the_bottom() -> None:
    health = collected(*SYMBOLS, quiet="ETHUSDT")
    health.alarm("the first")
    health.alarm("the second")
    health.alarm("the second")
    lines = seen(health, 120).splitlines()
    assert "02:40:00 UTC  the first" in lines[-2]
    assert lines[-1].rstrip() == "02:40:00 UTC  the second (2 times)"
    assert any("ethusdt@aggTrade: silent for 49.0 s" in line for line in lines)


def test_a_low_terminal_shows_those_in_trouble() -> None:
    symbols = [f"S{number}USDT" for number in range(40)]
    health = collected(*symbols, quiet="S33USDT")
    health.symbol("S35USDT").is_book_synced = False
    text = seen(health, 120, height=20)
    assert len(text.splitlines()) <= 20
    assert row(text, "S33USDT")
    assert row(text, "S35USDT")
    assert row(text, "S0USDT")
    hidden = 40 - sum(line.startswith("S") for line in text.splitlines())
    assert f"and {hidden} symbols more" in text


def test_before_anything_came() -> None:
    text = seen(Health("sim"), 80)
    assert "symbol" in text
    assert "sim" in text
