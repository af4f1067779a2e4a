import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from math import nan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from undertow.errors import InputError
from undertow.evaluation.bootstrap import Estimate
from undertow.evaluation.report import FoldRecord, Kind, ReportRow, Verdict, WalkForwardReport
from undertow.market.instruments import Instrument
from undertow.market.orders import Fill, Side
from undertow.monitor.charts import bar_times_ns, decimate, gap_spans
from undertow.monitor.report import QualityRow, ReportInputs, format_number, render_report, write_report

BTC = Instrument("simulated", "BTCUSDT", "0.1", "0.001")
START_MS = 1_723_161_255_000
VOID = {"meta", "br", "hr", "img", "input", "link"}


def bars(count: int = 300) -> pl.DataFrame:
    wave = np.sin(np.arange(count) / 20)
    return pl.DataFrame(
        {
            "timestamp": START_MS + 1000 * np.arange(count),
            "close": 60_000 + 10 * wave,
            "cvd": np.cumsum(wave),
            "buy_volume": 1 + wave,
            "sell_volume": 1 - wave,
            "imbalance_5": wave,
            "imbalance_20": wave / 2,
            "spread_avg": 0.1 + wave**2,
            "gap_fraction": np.where((np.arange(count) >= 100) & (np.arange(count) < 120), 1.0, 0.0),
        }
    )


FILLS = [
    Fill("paper-4-0", "paper-4", "BTCUSDT", (START_MS + 5000) * 10**6, 0, Side.BUY, 600_012, 3, 9_000_180),
    Fill("paper-9-0", "paper-9", "BTCUSDT", (START_MS + 9000) * 10**6, 0, Side.SELL, 600_050, 3, 9_000_750),
]
WALK_FORWARD = {
    "verdict": "It beats the baselines and loses after fees.",
    "rows": [
        {
            "name": "lightgbm",
            "macro_f1": 0.451234567,
            "macro_f1_low": 0.431,
            "macro_f1_high": 0.472,
            "net_bps": -1.93,
        },
        {"name": "majority class", "macro_f1": 0.2212, "net_bps": nan},
    ],
}
PAPER = {
    "decisions": 5400,
    "refusals": {"stale_book": 2},
    "abstentions": {},
    "gross_quote": 1.2345678,
    "fees_quote": 5.49006,
    "net_quote": -4.2554922,
    "halted": False,
    "mark_price": None,
}
INPUTS = ReportInputs(
    title="A session",
    instrument=BTC,
    bars=bars(),
    fills=FILLS,
    walk_forward=WALK_FORWARD,
    paper=PAPER,
    quality=[
        QualityRow("trades", 21_313, START_MS * 10**6, (START_MS + 299_000) * 10**6, 1, 3, 0),
        QualityRow("mark_price", 0, 0, 0, 0, 0, 0),
    ],
    files=[("demo/lake", "the tables")],
)


class Page(HTMLParser):
    """Reads a page, insisting that every tag is closed in its turn; keeps text by section, values and ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.section = ""
        self.text: dict[str, str] = {}
        self.values: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"] or ""
        if tag == "data":
            self.values.append((dict(attrs)["value"] or "", ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self.section] = self.text.get(self.section, "") + data + " "
        if self.open and self.open[-1] == "data":
            self.values[-1] = (self.values[-1][0], data)

    def words(self, section: str) -> str:
        return " ".join(self.text[section].split())

    def attributes(self, name: str) -> Iterator[str]:
        return (str(attrs[name]) for _, attrs in self.tags if name in attrs)


@pytest.fixture(scope="module")
def source() -> str:
    return render_report(INPUTS)


def test_every_section_is_there_and_every_tag_closed(source: str) -> None:
    page = Page(source)
    assert list(page.attributes("id"))[:1] == ["market"]
    assert {"market", "walk-forward", "paper", "quality", "files"} <= set(page.attributes("id"))
    assert source.count("<svg") == 2


def test_numbers_on_the_page_are_the_numbers_handed_in(source: str) -> None:
    values = dict(Page(source).values)
    assert values["0.451234567"] == "0.451235 [0.431, 0.472]"
    assert values["-1.93"] == "-1.93"
    assert values["nan"] == "–"
    assert values["-4.2554922"] == "-4.25549"
    assert values["5400"] == "5,400"
    assert values["21313"] == "21,313"
    assert values["60001.2"] == "60,001.2"
    assert values["0.0900018"] == "0.09000180"


def test_what_the_sections_say(source: str) -> None:
    page = Page(source)
    assert "It beats the baselines and loses after fees." in page.words("walk-forward")
    assert "stale book 2" in page.words("paper")
    assert "halted no" in page.words("paper")
    assert "2024-08-08 23:54:20.000 paper-4 buy 60,001.2 0.003 0.09000180" in page.words("paper")
    assert "trades 21,313 2024-08-08 23:54:15.000 2024-08-08 23:59:14.000 1 3 0" in page.words("quality")
    assert "mark_price 0 – – 0 0 0" in page.words("quality")
    assert "demo/lake the tables" in page.words("files")
    assert "Hatched" in page.words("market")


def test_nothing_is_fetched_from_anywhere(source: str) -> None:
    assert not re.search(r"(https?:)?//[a-z]", source)
    page = Page(source)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed"}
    for name in ("href", "xlink:href", "src"):
        assert all(target.startswith("#") for target in page.attributes(name))
    assert all(target.startswith("url(#") for target in page.attributes("clip-path"))


def test_ids_are_unique_and_every_reference_resolves(source: str) -> None:
    page = Page(source)
    ids = list(page.attributes("id"))
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', source))
    assert used
    assert used <= set(ids)


def test_the_report_of_a_walk_forward_is_shown_as_it_is() -> None:
    better, none = Estimate(0.15, 0.05, 0.25), Estimate(0.0, -0.02, 0.02)
    row = ReportRow(
        name="lightgbm",
        kind=Kind.MODEL,
        rows=900,
        effective_rows=90.0,
        macro_f1=better,
        mcc=none,
        balanced_accuracy=0.4,
        direction=none,
        compared_with="majority",
        mcc_difference=better,
        gross_bps=None,
        net_bps=none,
        fee_frontier_bps=None,
        turnover=1.5,
    )
    fold = FoldRecord(0, 1, 10, 5, 5, 2, None, None, None)
    result = WalkForwardReport(
        settings={},
        model="lightgbm",
        rows=(row,),
        folds=(fold, replace(fold, skipped="one class only")),
        against={},
        null_macro_f1=0.33,
        excess_macro_f1=-0.27,
        block_slots=10,
        blocks=9,
        suspects=("next_close",),
        manifest={},
        verdict=Verdict(has_edge=False, earns=False, text="No edge."),
    )
    page = Page(render_report(replace(INPUTS, walk_forward=result.to_dict())))
    words = page.words("walk-forward")
    assert "No edge." in words
    assert "lightgbm model 900 90 0.15 [0.05, 0.25] 0 [-0.02, 0.02] 0.4" in words
    assert "0.15 [0.05, 0.25] – 0 [-0.02, 0.02] – 1.5" in words
    assert "2 folds, 1 of them left out: one class only." in words
    assert "macro-F1 0.33; the excess over it is -0.27." in words
    assert "copies of the future: next_close." in words


def test_hostile_names_are_text() -> None:
    evil = "<script>alert(1)</script>\"'&$\\frac$"
    hostile = replace(
        INPUTS,
        title=evil,
        instrument=Instrument(evil, evil, "0.1", "0.001"),
        fills=[named(FILLS[0], evil)],
        walk_forward={"verdict": evil, "rows": [{"name": evil, evil: 1.5}]},
        paper=PAPER | {"symbol": evil, "refusals": {evil: 1}},
        quality=[QualityRow(evil, 1, 0, 0, 0, 0, 0)],
        files=[(evil, evil)],
    )
    page = Page(render_report(hostile))
    assert "script" not in {tag for tag, _ in page.tags}
    for section in ("walk-forward", "paper", "quality", "files"):
        assert evil in page.words(section)


def named(fill: Fill, client_id: str) -> Fill:
    return msgspec.structs.replace(fill, client_id=client_id)


def test_sections_without_content_say_why_in_a_sentence() -> None:
    capture = ReportInputs(
        title="A capture",
        instrument=BTC,
        bars=bars(50).select("timestamp", "close"),
        no_walk_forward="Too short to learn from.",
        no_paper="Recorded frames are not traded on.",
    )
    page = Page(render_report(capture))
    assert page.words("walk-forward") == "Walk-forward Too short to learn from."
    assert page.words("paper") == "Paper trading Recorded frames are not traded on."
    assert "No stream was recorded." in page.words("quality")
    assert "No gap was recorded" in page.words("market")


@pytest.mark.parametrize(("count", "drawn"), [(0, "There is no bar to draw."), (1, "price"), (2, "price")])
def test_hardly_any_bars(count: int, drawn: str) -> None:
    inputs = ReportInputs(title="Short", instrument=BTC, bars=bars(300).head(count))
    assert drawn in Page(render_report(inputs)).words("market")


def test_a_column_of_nulls_draws_an_empty_panel() -> None:
    empty = bars(50).with_columns(pl.lit(None, pl.Float64).alias("cvd"))
    assert "cumulative volume delta" in Page(render_report(replace(INPUTS, bars=empty))).words("market")


def test_long_sessions_stay_small_and_list_the_last_fills() -> None:
    many = [named(FILLS[0], f"paper-{number}") for number in range(100)]
    page = render_report(replace(INPUTS, bars=bars(20_000), fills=many))
    assert len(page) < 600_000
    assert "The last 40 of 100" in page
    assert "paper-99" in page
    assert "paper-59<" not in page


def test_the_same_inputs_give_the_same_page(source: str) -> None:
    assert render_report(INPUTS) == source


def test_write_report_writes_the_page_whole(tmp_path: Path, source: str) -> None:
    path = write_report(tmp_path / "deep" / "report.html", INPUTS)
    assert path.read_text(encoding="utf-8") == source
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="report"):
        write_report(tmp_path / "file" / "report.html", INPUTS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (99_999.96, "100,000"),
        (1234567.891, "1,234,567.89"),
        (0.00001234, "1.234e-05"),
        (-0.0, "0"),
        (True, "yes"),
        (None, "–"),
        (float("-inf"), "–"),
        (-12345, "-12,345"),
    ],
)
def test_numbers_are_readable(value: Any, text: str) -> None:
    assert format_number(value) == text


def test_gap_spans_join_neighbours_and_take_null_as_unknown() -> None:
    table = pl.DataFrame(
        {"timestamp": [0, 1, 2, 3, 4, 5, 6], "gap_fraction": [0.0, 0.2, 1.0, 0.0, None, 0.0, 0.5]}
    ).with_columns(pl.col("timestamp") * 1000 + START_MS)
    spans = [((start // 10**6) - START_MS, (end // 10**6) - START_MS) for start, end in gap_spans(table)]
    assert spans == [(1000, 3000), (4000, 5000), (6000, 7000)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_come_from_datetimes_and_from_integers(unit: Any) -> None:
    expected = (START_MS + 1000 * np.arange(3)) * 10**6
    table = bars(3)
    np.testing.assert_array_equal(bar_times_ns(table), expected)
    stamps = table.with_columns(pl.from_epoch("timestamp", time_unit="ms").cast(pl.Datetime(unit, "UTC")))
    np.testing.assert_array_equal(bar_times_ns(stamps), expected)


def test_decimation_keeps_extremes_and_breaks() -> None:
    values = np.zeros(10_000)
    values[1234], values[5678], values[9000] = 5.0, -5.0, np.nan
    rows = decimate(values, 600)
    assert len(rows) <= 700
    assert {0, 1234, 5678, 9000, 9999} <= set(rows.tolist())
    assert (np.diff(rows) > 0).all()
