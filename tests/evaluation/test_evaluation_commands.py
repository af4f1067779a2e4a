import json
from pathlib import Path

import polars as pl
import pytest
from tests.evaluation.conftest import Market
from typer.testing import CliRunner, Result

from undertow.cli.main import build
from undertow.errors import InputError, LakeError, UndertowError
from undertow.models.artefact import load_artefact


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(arguments), list(arguments), catch_exceptions=False)


@pytest.fixture(scope="module")
def lake(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    for symbol in market(1200, 1):
        for hour, part in symbol.frame.group_by(pl.col("timestamp") // 3_600_000 % 24):
            at = folder / f"sim/features/{symbol.symbol}/1s/2024/08/09/hour={hour[0]:02d}"
            at.mkdir(parents=True)
            part.write_parquet(at / "data.parquet")
    return folder


def test_walkforward_prints_json_and_counts_trials(lake: Path) -> None:
    options = ("--lake", str(lake), "--symbols", "AUSDT,BUSDT", "--horizon", "5s", "--folds", "1", "--json")
    result = run("walkforward", *options)
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["model"] == "lightgbm"
    assert report["trials"] == 1
    assert report["manifest"]["symbols"] == ["AUSDT", "BUSDT"]
    assert "mid_price" not in report["manifest"]["columns"]


def test_walkforward_prints_a_table_with_given_windows(lake: Path) -> None:
    result = run(
        *(
            "walkforward",
            "--lake",
            str(lake),
            "--symbols",
            "AUSDT",
            "--horizon",
            "3b",
            "--features",
            "flow,x0",
        ),
        *("--train", "600b", "--valid", "100s", "--test", "200s", "--threshold-bps", "1", "--lags", "1,2"),
        *("--model", "logistic"),
    )
    assert result.exit_code == 0
    assert "martingale_null" in result.stdout
    assert "Configurations tried so far: 2" in result.stdout.replace("\n", " ")


def test_train_stores_a_model_that_loads(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    result = run("train", "--lake", str(lake), "--symbols", "AUSDT", "--out", str(out), "--json")
    assert result.exit_code == 0
    stored = load_artefact(out)
    assert json.loads(result.stdout)["version"] == stored.version
    assert stored.record["dataset"]["symbols"] == ["AUSDT"]
    assert len(stored.record["dataset"]["sources"]) == 1
    assert stored.model.feature_names == tuple(stored.record["dataset"]["columns"])


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (("--symbols", "NONE"), LakeError, "undertow features"),
        (("--symbols", ","), InputError, "no symbol"),
        (("--symbols", "AUSDT", "--horizon", "soon"), InputError, "length of time"),
        (("--symbols", "AUSDT", "--train", "5d"), InputError, "both --train and --test"),
        (("--symbols", "AUSDT", "--step", "5d"), InputError, "need --train and --test"),
        (("--symbols", "AUSDT", "--lags", "x"), InputError, "--lags"),
    ],
)
def test_bad_options_are_said(
    lake: Path, options: tuple[str, ...], kind: type[UndertowError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        run("walkforward", "--lake", str(lake), *options)
