"""Named feature sets: what they hold is in the catalogues, once, and stays what it was."""

import pytest

from undertow.errors import InputError
from undertow.features.catalogue import FEATURES
from undertow.features.l2 import L2_FEATURES
from undertow.features.sets import SETS, chosen_set, columns_of_set, lines_of, set_of

BARS = {feature.name: feature for feature in FEATURES}
DEEP = {feature.name: feature for feature in L2_FEATURES}


@pytest.mark.parametrize("name", ["debate-2024", "l2-optimized", "all"])
def test_every_column_is_in_a_catalogue_and_there_once(name: str) -> None:
    found = set_of(name)
    assert set(found.bars) <= set(BARS)
    assert {*found.l2, *found.sequence} <= set(DEEP)
    assert len(set(found.columns)) == len(found.columns) > 0
    assert columns_of_set(name) == found.columns
    assert len(found.about) > 40


def test_names_of_sets_are_no_names_of_features_or_families() -> None:
    names = [known.name for known in SETS]
    assert len(set(names)) == len(names)
    assert not set(names) & ({*BARS, *DEEP} | {feature.family for feature in FEATURES})


def test_the_debate_takes_the_lists_of_the_specification() -> None:
    found = [BARS[name] for name in columns_of_set("debate-2024")]
    families = {"ohlcv", "trades", "book", "market", "technical", "volatility"}
    assert {feature.family for feature in found} == families | {"profile", "calendar", "rolling"}
    parts = ("SPEC 5.1", "SPEC 5.2", "SPEC 5.3", "SPEC 5.4", "SPEC 5.6")
    assert all(feature.source.startswith(parts) for feature in found)
    assert len(found) == 126


def test_the_deep_book_has_the_columns_of_the_specification() -> None:
    found = set_of("l2-optimized")
    assert len(found.l2) == 37
    assert len(found.sequence) == 400
    assert found.sequence[0] == "bid_price_norm_1"
    assert found.columns[-1] == "l2_ask_volume_100"


def test_all_is_everything() -> None:
    assert set_of("all").bars == tuple(BARS)
    assert {*set_of("all").l2, *set_of("all").sequence} == set(DEEP)


def test_sets_families_and_features_mix_and_each_column_is_taken_once() -> None:
    found = chosen_set("returns, ohlcv ,l2_net_pressure,l2_bid_volume_7,returns")
    assert found.bars == ("returns", "open", "high", "low", "close", "volume", "log_returns")
    assert found.l2 == ("net_pressure",)
    assert found.sequence == ("bid_volume_7",)
    assert chosen_set("debate-2024,all").bars[:126] == columns_of_set("debate-2024")


def test_a_set_knows_its_lines_of_the_catalogue() -> None:
    chosen = chosen_set("l2-optimized,returns,lead_lag_balance")
    lines = lines_of(chosen)
    assert [line.name for line in lines[:4]] == ["best_bid", "best_ask", "mid_price", "returns"]
    assert {line.family for line in lines} == {"book", "ohlcv", "l2", "lead_lag"}
    assert len(lines) == len(chosen.columns)


def test_features_of_two_markets_are_named_by_family_or_singly() -> None:
    found = chosen_set("returns,spot_perp,lead_lag_balance")
    assert found.bars == ("returns",)
    assert len(found.cross) == 5
    assert found.columns[-1] == "lead_lag_balance"
    assert not any(known.cross for known in SETS)


@pytest.mark.parametrize("text", ["debate", "l2_no_such_column", "returns,debate-2025"])
def test_an_unknown_name_is_answered_with_the_known_ones(text: str) -> None:
    with pytest.raises(InputError, match=r"debate-2024, l2-optimized, all, families ohlcv, trades"):
        chosen_set(text)
    with pytest.raises(InputError, match="choose debate-2024, l2-optimized, all"):
        set_of(text)


def test_no_name_at_all_is_an_error() -> None:
    with pytest.raises(InputError, match="no feature was given"):
        chosen_set(" , ")
