"""`undertow dataset` as a user calls it."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.datasets.lake_factory import START_MS, feature_rows, l2_rows, write_rows
from tests.frames.conftest import make_market

from undertow.cli.dataset import parse_horizon, parse_time
from undertow.errors import InputError


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    write_rows(folder, "features", feature_rows(120), timeframe="1s")
    write_rows(folder, "l2_features", l2_rows(121))
    return folder


def dataset(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "undertow", "dataset", "--symbols", "btcusdt"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_rows_classes_and_files_are_printed(lake: Path, tmp_path: Path) -> None:
    done = dataset(
        *("--lake", lake, "--out", tmp_path, "--features", "returns,vol_delta"),
        *(
            "--from",
            "2024-08-09",
            "--to",
            "2024-08-09T00:01",
            "--horizon",
            "3bars",
            "--threshold",
            "1bps",
            "--json",
        ),
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["BTCUSDT rows"] == 57
    assert set(printed["BTCUSDT classes"]) == {"down", "flat", "up"}
    assert float(printed["BTCUSDT effective samples"]) == pytest.approx(57 / 3, rel=0.1)
    assert printed["BTCUSDT coverage"] == {"unknown": 57}
    (path,) = [Path(name) for name in printed["files"] if name.endswith(".parquet")]
    assert pl.read_parquet(path)["timestamp"][0] == START_MS


def test_a_matrix_of_triple_barriers(lake: Path, tmp_path: Path) -> None:
    done = dataset(
        *("--lake", lake, "--out", tmp_path, "--features", "returns", "--label", "triple-barrier"),
        *(
            "--horizon",
            "20s",
            "--threshold",
            "3bps",
            "--stop",
            "2spread",
            "--format",
            "npy",
            "--sequence",
            "10",
        ),
    )
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "BTCUSDT_optimized_lstm_matrix_20240809.npy").shape[1:] == (10, 400)


def test_a_named_set_says_whether_the_deep_book_is_joined(lake: Path, tmp_path: Path) -> None:
    columns = {}
    for name in ("l2-optimized", "returns", "returns --no-l2"):
        out = tmp_path / name.replace(" ", "")
        done = dataset("--lake", lake, "--out", out, "--features", *name.split(), "--horizon", "3bars")
        assert done.returncode == 0, done.stderr
        (path,) = out.glob("*.parquet")
        columns[name] = set(pl.read_parquet_schema(path))
    assert columns["l2-optimized"] >= {"l2_net_pressure", "mid_price"}
    assert "returns" not in columns["l2-optimized"]
    assert columns["returns"] >= {"l2_net_pressure", "returns"}
    assert "l2_net_pressure" not in columns["returns --no-l2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--features", "no-such-set"), "no feature set 'no-such-set'"),
        (("--threshold", "5"), "write 5bps"),
        (("--label", "oracle"), "--label 'oracle': choose horizon, triple-barrier"),
        (("--format", "xlsx"), "choose parquet, csv, npy, windows"),
        (("--coverage", "hope"), "choose strict, flag, ignore"),
        (("--horizon", "soon"), "length of time 'soon'"),
        (("--from", "yesterday"), "write 2024-08-08"),
        (("--timeframe", "7s"), "--timeframe"),
        (("--features", "buy_volume"), "compute the features again"),
        (("--features", "l2_net_pressure"), "name l2-optimized or give --l2"),
        (("--features", "l2-optimized", "--no-l2"), "leave out --no-l2"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    lake: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = dataset("--lake", lake, "--out", tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_times_and_horizons() -> None:
    assert parse_time(None) is None
    assert parse_time("2024-08-09") == START_MS * 1_000_000
    assert parse_time("2024-08-09T02:00+02:00") == START_MS * 1_000_000
    assert (
        parse_horizon("60s", "1s") == parse_horizon("1bar", "1m") == parse_horizon("1b", "1m") == 60 * 10**9
    )
    for text in ("bars", "3 bars ago", "-1bars", "0bars"):
        with pytest.raises(InputError, match="length of time"):
            parse_horizon(text, "1s")


def test_from_recorded_frames_to_a_dataset(tmp_path: Path) -> None:
    capture, lake, out = tmp_path / "market.gz", tmp_path / "lake", tmp_path / "out"
    capture.write_bytes(gzip.compress(make_market(1, 90).bytes()))
    for command in (("replay", capture), ("features", "--l2")):
        arguments = [sys.executable, "-m", "undertow", *map(str, command), "--lake", str(lake)]
        subprocess.run(arguments, capture_output=True, text=True, check=True)
    done = dataset("--lake", lake, "--out", out, "--horizon", "5s", "--threshold", "q0.33", "--json")
    assert done.returncode == 0, done.stderr
    (path,) = [Path(name) for name in json.loads(done.stdout)["files"] if name.endswith(".parquet")]
    frame = pl.read_parquet(path)
    # The deep book's sample that a decision knows is that of the bar's own close: the same mid.
    both = frame.filter(pl.col("l2_mid_price").is_not_null() & pl.col("mid_price").is_not_null())
    assert both.height > 50
    assert (both["l2_mid_price"] - both["mid_price"]).abs().max() == pytest.approx(0.0, abs=1e-9)
    assert "complete" in frame["coverage"].to_list()
