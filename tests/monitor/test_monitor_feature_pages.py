"""The catalogue's pages: what stands in the repository is what the registry says, and everything is found."""

import re
from pathlib import Path

import numpy as np
import pytest

from undertow.errors import InputError
from undertow.features.catalogue import described, is_shown
from undertow.features.pages import families
from undertow.features.sets import SETS
from undertow.monitor.feature_examples import ExampleMarkets, example_markets
from undertow.monitor.feature_explain import explanation
from undertow.monitor.feature_pages import catalogue_pages, write_pages, write_plots
from undertow.monitor.feature_plots import write_sheet

DOCS = Path(__file__).resolve().parents[2] / "docs"
LINES = {(line.family, line.name): line for line in described()}


@pytest.fixture(scope="module")
def markets() -> ExampleMarkets:
    return example_markets()


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return catalogue_pages()


def test_the_documentation_is_the_catalogue(pages: dict[str, str]) -> None:
    """Run `make docs-catalogue` where it is not."""
    for name, text in pages.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, name
    stray = {f"features/{path.name}" for path in (DOCS / "features").glob("*.md")} - set(pages)
    assert stray == set()


def test_every_link_leads_to_a_page_and_a_heading(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        for target, anchor in re.findall(r"\]\(([\w./-]*)(?:#(\w+))?\)", text):
            path = (Path("/") / name).parent.joinpath(target).resolve() if target else Path("/") / name
            linked = str(path.relative_to("/"))
            assert linked in pages or (DOCS / linked).exists(), f"{name}: {target}"
            if anchor:
                assert f"\n## {anchor}\n" in pages[linked], f"{name}: {target}#{anchor}"


def test_every_feature_is_in_the_index_and_on_the_page_of_its_family(pages: dict[str, str]) -> None:
    for (family, name), line in LINES.items():
        if is_shown(line):
            assert f"(features/{family}.md#{name})" in pages["features.md"], name
            page = pages[f"features/{family}.md"]
            section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
            assert line.unit in section, name
            assert section.count("←") == 10, name


def test_every_set_has_a_section(pages: dict[str, str]) -> None:
    for known in SETS:
        assert f"\n## {known.name}\n\n{known.about}\n" in pages["features/sets.md"]


def test_every_family_has_a_sheet_of_plots_that_shows_each_of_its_features() -> None:
    for family in families():
        sheet = (DOCS / "features" / f"{family}.svg").read_text(encoding="utf-8")
        names = {line.name for line in described() if line.family == family and line.dtype != "single"}
        assert [name for name in sorted(names) if f">{name}</text>" not in sheet] == [], family
        assert len(sheet) < 300_000, family


def test_examples_are_what_a_hand_would_work_out(markets: ExampleMarkets) -> None:
    """Prices 100, 101, 101, 102, …; bought 2, 3, 1, 4, … and sold 1, 1, 2, 1, …"""

    def values(family: str, name: str) -> tuple[str, ...]:
        return markets.example(LINES[family, name]).values

    assert values("ohlcv", "returns")[:4] == ("null", "0.01", "0", "0.00990099")
    assert values("trades", "cvd")[:4] == ("1", "3", "2", "5")
    assert values("trades", "buy_pressure")[:4] == ("0.666667", "0.75", "0.333333", "0.8")
    assert values("book", "mid_price")[:3] == ("99.5", "100.5", "100.5")
    assert values("l2", "spread")[0] == "1"
    assert values("market", "mark_price")[:3] == ("100", "100.5", "101")
    assert values("spot_perp", "spot_perp_basis_bps")[0] == "0"


def test_almost_every_feature_has_a_value_in_its_example(markets: ExampleMarkets) -> None:
    empty = [
        name
        for (_, name), line in LINES.items()
        if is_shown(line) and set(markets.example(line).values) == {"null"}
    ]
    assert set(empty) <= {f"{side}_cost_{size}" for side in ("buy", "sell") for size in ("100k", "1m")}


def test_an_explanation_holds_the_line_and_the_example() -> None:
    told = "\n".join(explanation("vwap"))
    for part in (
        "family   trades",
        "Σ price·quantity",
        "null     before the first trade",
        "←  −1 at 99",
    ):
        assert part in told
    both = "\n".join(explanation("mid_price"))
    assert "family   book" in both
    assert "family   l2" in both


def test_an_unknown_name_is_answered_with_names_like_it() -> None:
    with pytest.raises(InputError, match="did you mean vwap"):
        explanation("vwapp")
    with pytest.raises(InputError, match="features --list"):
        explanation("zzzzzzzz")


def test_pages_and_plots_are_written(tmp_path: Path) -> None:
    assert len(write_pages(tmp_path)) == len(families()) + 2
    chosen = ("ohlcv", "profile", "spot_perp")
    sheets = write_plots(tmp_path, seconds=30.0, chosen=chosen)
    assert [path.name for path in sheets] == [f"{family}.svg" for family in chosen]
    bars, long, pair = (path.read_text(encoding="utf-8") for path in sheets)
    assert bars.count(">an hour<") == 7
    assert long.count(">75 h of the long example<") == 5
    assert pair.count(">400 s of the example<") == 4


def test_a_sheet_is_the_same_each_time_and_says_what_has_no_value(tmp_path: Path) -> None:
    wave = np.sin(np.arange(500) / 9)
    plots = {"wave": ("500 s", wave), "hole": ("500 s", np.where(wave > 0.5, np.nan, wave))}
    plots["nothing"] = ("500 s", np.full(500, np.nan))
    paths = [tmp_path / folder / "sheet.svg" for folder in ("one", "other")]
    for path in paths:
        path.parent.mkdir()
        write_sheet(path, plots)
    first, second = (path.read_text(encoding="utf-8") for path in paths)
    assert first == second
    assert first.count(">null here<") == 1
    assert not re.search(r' d="[^"]*\.\d\d', first)
