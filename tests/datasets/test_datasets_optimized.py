import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.datasets.lake_factory import START_MS, S, feature_rows, l2_rows, write_rows
from undertow.datasets.coverage import CoverageRule
from undertow.datasets.exports import ExportFormat
from undertow.datasets.joined import Selection
from undertow.datasets.labelled import LabelKind, LabelSettings
from undertow.datasets.optimized import DatasetReport, DatasetRequest, write_dataset
from undertow.datasets.record import join_exports
from undertow.datasets.sequence_export import open_windows
from undertow.errors import InputError, LakeError
from undertow.features.catalogue import FEATURES
from undertow.frames.coverage import CoverageStatus
from undertow.labels.threshold_rule import parse_threshold

START_NS = START_MS * 1_000_000
CHOSEN = tuple(feature for feature in FEATURES if feature.name in {"returns", "vol_delta"})


def request(lake: Path, *symbols: str, **changes: Any) -> DatasetRequest:
    settings = LabelSettings(LabelKind.HORIZON, 5 * S, parse_threshold("1bps"))
    made = DatasetRequest(Selection(lake, "1s"), symbols or ("BTCUSDT",), CHOSEN, settings, lake / "out")
    return replace(made, **changes)


def write(made: DatasetRequest) -> DatasetReport:
    return write_dataset(made, lambda _: None)


def coverage_rows(*rows: tuple[str, CoverageStatus, float, float]) -> pl.DataFrame:
    """Seconds after the first bar."""
    at = [(START_NS + int(a * S), START_NS + int(b * S)) for _, _, a, b in rows]
    return pl.DataFrame(
        {
            "timestamp": [a // 1_000_000 for a, _ in at],
            "stream": [stream for stream, *_ in rows],
            "status": [status.value for _, status, *_ in rows],
            "from_ns": [a for a, _ in at],
            "to_ns": [b for _, b in at],
        }
    )


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """100 s of bars across an hour, L2 samples from 19 s before, mark prices every 3 s."""
    first = START_MS - 50_000
    write_rows(tmp_path, "features", feature_rows(100, first), timeframe="1s")
    write_rows(tmp_path, "l2_features", l2_rows(120, first - 19_000))
    stamps = first + np.arange(0, 100_000, 3000)
    marks = {"mark_price": np.arange(len(stamps)) * 1.0, "known_ns": (stamps + 100) * 1_000_000}
    write_rows(tmp_path, "mark_price", pl.DataFrame({"timestamp": stamps, **marks}), lineage=None)
    return tmp_path


def only(report: DatasetReport, suffix: str) -> Path:
    (found,) = [path for path in report.files if path.name.endswith(suffix)]
    return found


def test_names_columns_and_values(lake: Path) -> None:
    path = only(write(request(lake)), ".parquet")
    assert path.name == "BTCUSDT_optimized_dataset_20240808-20240809.parquet"
    frame = pl.read_parquet(path)
    assert frame.height == 95
    assert frame["symbol"].unique().to_list() == ["BTCUSDT"]
    stored = feature_rows(100, START_MS - 50_000)
    assert frame["returns"].to_list() == stored["returns"].to_list()[:95]
    mid = stored["mid_price"].to_numpy()
    np.testing.assert_allclose(frame["return_bps"], 1e4 * np.log(mid[5:] / mid[:-5]), atol=1e-9)
    assert frame["label_end_ns"].to_list() == stored["known_ns"].to_list()[5:]
    # Bar i closes with the sample of its end: 20 samples lie before that of the first bar's.
    assert frame["l2_net_pressure"].to_list() == [float(i + 20) for i in range(95)]
    assert frame["market_mark_price"].to_list() == [float((i + 1) // 3) for i in range(95)]
    assert not [name for name in frame.columns if "price_norm" in name]


def test_csv_says_the_same_as_parquet(lake: Path) -> None:
    parquet = only(write(request(lake)), ".parquet")
    csv = only(write(request(lake, format=ExportFormat.CSV)), ".csv")
    assert csv.name == "BTCUSDT_optimized_dataset_20240808-20240809.csv"
    first, second = pl.read_parquet(parquet), pl.read_csv(csv)
    assert first.columns == second.columns
    for name in ("timestamp", "returns", "return_bps", "uniqueness", "l2_net_pressure"):
        assert first[name].to_list() == second[name].to_list()


def test_the_manifest_says_what_it_is_made_of(lake: Path) -> None:
    report = write(request(lake))
    record = json.loads(only(report, ".manifest.json").read_text())
    assert record["rows"] == 95
    assert record["inputs"] == [
        *("returns", "vol_delta", "l2_net_pressure"),
        *("market_mark_price", "market_mark_price_age_s"),
    ]
    assert record["left_out"]["no label"] == 5
    assert record["lineage"] == {"features": "a1", "l2_features": "a1"}
    assert "5 s" in record["label"]["definition"]
    assert "market_mark_price" not in record["nulls"]
    sources = list(record["sources"])
    assert "sim/features/BTCUSDT/1s/2024/08/08/hour=23/data.parquet" in sources
    assert len(sources) == 6
    manifest = lake / "sim/features/BTCUSDT/1s/2024/08/08/hour=23/_manifest.json"
    assert record["sources"][sources[0]] == json.loads(manifest.read_text())["sha256"]
    assert sum(record["label_shares"].values()) == pytest.approx(1.0)
    assert record["effective_samples"] == pytest.approx(report.symbols[0].effective_samples)


def test_the_same_lake_gives_the_same_bytes(lake: Path) -> None:
    first, second = (
        [path.read_bytes() for path in write(request(lake, out=lake / name)).files] for name in ("a", "b")
    )
    assert first == second


def test_a_range_reads_no_other_hour(lake: Path) -> None:
    selection = Selection(lake, "1s", from_ns=START_NS, to_ns=START_NS + 30 * S)
    report = write(request(lake, selection=selection))
    frame = pl.read_parquet(only(report, ".parquet"))
    assert frame["timestamp"].to_list() == [START_MS + 1000 * i for i in range(25)]
    record = json.loads(only(report, ".manifest.json").read_text())
    assert not [name for name in record["sources"] if "features/BTCUSDT/1s/2024/08/08" in name]
    with pytest.raises(LakeError, match="choose another --from"):
        write(request(lake, selection=Selection(lake, "1s", from_ns=0, to_ns=S)))


def test_hours_of_different_code_do_not_mix(lake: Path) -> None:
    write_rows(lake, "features", feature_rows(50, START_MS), timeframe="1s", lineage="b2")
    with pytest.raises(InputError, match=r"hour=23.*computed by a1.*hour=00.* by b2"):
        write(request(lake))
    assert not (lake / "out").exists()


def test_l2_hours_of_different_code_do_not_mix(lake: Path) -> None:
    write_rows(lake, "l2_features", l2_rows(60, START_MS), lineage="b2")
    with pytest.raises(InputError, match=r"a1.*b2"):
        write(request(lake))


def test_symbols_of_different_code_do_not_mix(lake: Path) -> None:
    first = START_MS - 50_000
    write_rows(lake, "features", feature_rows(100, first), "ETHUSDT", "1s", lineage=None)
    with pytest.raises(InputError, match=r"a1.*unrecorded, code 0\.1\.0"):
        write(request(lake, "BTCUSDT", "ETHUSDT"))


def test_symbols_together_are_sorted_by_time(lake: Path) -> None:
    first = START_MS - 50_000
    write_rows(lake, "features", feature_rows(100, first, seed=2), "ETHUSDT", "1s")
    selection = Selection(lake, "1s", with_l2=False, with_market=False)
    made = request(lake, "BTCUSDT", "ETHUSDT", selection=selection, format=ExportFormat.CSV)
    path = only(write(made), "all_symbols_optimized_dataset_1h.csv")
    frame = pl.read_csv(path)
    assert frame.height == 190
    assert frame["symbol"].to_list() == ["BTCUSDT", "ETHUSDT"] * 95
    parts = [made.out / f"{name}_optimized_dataset_20240808-20240809.csv" for name in made.symbols]
    assert join_exports(parts).equals(frame)


def test_symbols_with_other_columns_are_not_put_together(lake: Path) -> None:
    write_rows(lake, "features", feature_rows(100, START_MS - 50_000), "ETHUSDT", "1s")
    with pytest.raises(InputError, match="differ in columns"):
        write(request(lake, "BTCUSDT", "ETHUSDT"))


def test_exports_that_differ_do_not_join(lake: Path) -> None:
    first = only(write(request(lake, out=lake / "a")), ".parquet")
    settings = LabelSettings(LabelKind.HORIZON, 3 * S, parse_threshold("1bps"))
    second = only(write(request(lake, out=lake / "b", labels=settings)), ".parquet")
    with pytest.raises(InputError, match=r"differ in label .*5 s.*3 s"):
        join_exports([first, second])
    write_rows(lake, "features", feature_rows(100, START_MS - 50_000), timeframe="1s", lineage="b2")
    third = only(write(request(lake, out=lake / "c")), ".parquet")
    with pytest.raises(InputError, match=r"computed by a1.* by b2"):
        join_exports([first, third])
    first.write_bytes(third.read_bytes() + b" ")
    with pytest.raises(InputError, match="not the file that its manifest describes"):
        join_exports([first])
    with pytest.raises(InputError, match="build the dataset again"):
        join_exports([lake / "nothing.csv"])


def test_the_matrix_holds_the_sequence_known_at_each_decision(lake: Path) -> None:
    made = request(lake, format=ExportFormat.NPY, sequence_steps=30)
    report = write(made)
    path = only(report, ".npy")
    assert path.name == "BTCUSDT_optimized_lstm_matrix_20240808-20240809.npy"
    matrix, samples = np.load(path), pl.read_parquet(only(report, ".parquet"))
    # The sample of the first bar's close is the 21st, so the tenth bar is the first with 30 samples.
    assert matrix.shape == (86, 30, 400)
    assert samples["timestamp"][0] == START_MS - 50_000 + 9000
    assert matrix.dtype == np.float32
    pressure = samples["l2_net_pressure"].to_numpy()
    assert matrix[:, -1, 0].tolist() == pressure.tolist()
    assert matrix[:, 0, 0].tolist() == (pressure - 29).tolist()
    assert matrix[0, 0, 399] == np.float32(399 / 1000)
    assert sorted(path.name for path in made.out.iterdir()) == sorted(path.name for path in report.files)
    record = json.loads(only(report, ".manifest.json").read_text())
    assert record["left_out"]["no sequence"] == 9
    assert record["sequence"]["steps"] == 30


def test_windows_are_the_matrix_without_its_copies(lake: Path) -> None:
    matrix = np.load(only(write(request(lake, format=ExportFormat.NPY)), ".npy"))
    made = write(request(lake, format=ExportFormat.WINDOWS, out=lake / "lazy"))
    windows, samples = open_windows(only(made, ".parquet"))
    assert isinstance(windows.rows, np.memmap)
    assert windows.shape == matrix.shape
    assert samples.height == len(windows)
    assert all(np.array_equal(windows[i], matrix[i]) for i in range(len(matrix)))
    only(made, ".npy").unlink()
    with pytest.raises(InputError, match="--format windows"):
        open_windows(only(made, ".parquet"))


def test_a_gap_of_the_book_breaks_sequences(lake: Path) -> None:
    gap = {"from_ns": [START_NS + S // 2], "to_ns": [START_NS + S // 2 + 1], "stream": ["depth"]}
    row = pl.DataFrame({"timestamp": [START_MS + 500], **gap, "cause": ["sequence"]})
    write_rows(lake, "gaps", row)
    report = write(request(lake, format=ExportFormat.NPY))
    closes = pl.read_parquet(only(report, ".parquet"))["timestamp"] + 1000
    # The sample at 1 s after the hour is the first of a new stretch; 29 more must follow.
    assert closes.filter((closes > START_MS) & (closes < START_MS + 30_000)).len() == 0
    assert START_MS + 30_000 in closes.to_list()


def test_sequences_need_l2_features(tmp_path: Path) -> None:
    write_rows(tmp_path, "features", feature_rows(50), timeframe="1s")
    with pytest.raises(InputError, match="undertow features --l2"):
        write(request(tmp_path, format=ExportFormat.NPY))


def test_a_sequence_longer_than_the_data_leaves_no_row_and_no_file(lake: Path) -> None:
    made = request(lake, format=ExportFormat.NPY, sequence_steps=500)
    with pytest.raises(InputError, match="no whole sequence"):
        write(made)
    assert list(made.out.iterdir()) == []


def test_coverage_flags_drops_or_is_not_asked(lake: Path) -> None:
    ledger = coverage_rows(
        ("aggtrades", CoverageStatus.BY_IDS, -60, 10),
        ("aggtrades", CoverageStatus.GAP, 10, 13.5),
        ("aggtrades", CoverageStatus.BY_IDS, 13.5, 60),
        ("depth", CoverageStatus.BY_IDS, -60, 30),
        ("depth", CoverageStatus.BY_IDS, 31, 60),
        ("liquidations", CoverageStatus.UNPROVABLE, -60, 60),
    )
    write_rows(lake, "coverage", ledger)
    flagged = write(request(lake))
    frame = pl.read_parquet(only(flagged, ".parquet"))
    assert frame.height == 95
    odd = frame.filter(pl.col("coverage") != "complete")
    seconds = (odd["timestamp"] - START_MS) // 1000
    words = dict(zip(seconds.to_list(), odd["coverage"].to_list(), strict=True))
    assert words == {10: "gap", 11: "gap", 12: "gap", 13: "gap", 30: "unknown"}
    assert flagged.symbols[0].coverage == {"complete": 90, "unknown": 1, "unprovable": 0, "gap": 4}
    strict = write(request(lake, coverage=CoverageRule.STRICT, out=lake / "strict"))
    assert strict.symbols[0].rows == 90
    kept = pl.read_parquet(only(strict, ".parquet"))
    assert kept["coverage"].unique().to_list() == ["complete"]
    # The label decided at 9 s spans bars 10 to 14. Each is shared by the five labels decided up to 5 s before
    # its end, of which those of 10 to 13 s are gone: 5, 4, 3, 2 and 1 are left.
    at_nine = pl.col("timestamp") == START_MS + 9000
    assert frame.filter(at_nine)["uniqueness"].to_list() == pytest.approx([1 / 5])
    assert kept.filter(at_nine)["uniqueness"].to_list() == pytest.approx(
        [(1 / 5 + 1 / 4 + 1 / 3 + 1 / 2 + 1) / 5]
    )
    ignored = write(request(lake, coverage=CoverageRule.IGNORE, out=lake / "ignore"))
    assert "coverage" not in pl.read_parquet(only(ignored, ".parquet")).columns


def test_without_a_ledger_nothing_is_proved(lake: Path) -> None:
    assert write(request(lake)).symbols[0].coverage["unknown"] == 95
    with pytest.raises(InputError, match="not proved whole"):
        write(request(lake, coverage=CoverageRule.STRICT))


def test_barrier_labels_have_their_columns(lake: Path) -> None:
    settings = LabelSettings(LabelKind.TRIPLE_BARRIER, 20 * S, parse_threshold("3bps"))
    frame = pl.read_parquet(only(write(request(lake, labels=settings)), ".parquet"))
    assert "return_bps" not in frame.columns
    touched = frame.filter(pl.col("long_outcome") == 1)
    assert touched.height > 0
    assert touched["long_return_bps"].min() >= 3  # type: ignore[operator]
    assert (touched["long_end_ns"] > touched["known_ns"]).all()
    up = frame.filter(pl.col("label") == 2)
    assert (up["label_end_ns"] == up["long_end_ns"]).all()


def test_a_fitted_threshold_is_recorded(lake: Path) -> None:
    settings = LabelSettings(LabelKind.HORIZON, 5 * S, parse_threshold("q0.33"))
    report = write(request(lake, labels=settings))
    fitted = json.loads(only(report, ".manifest.json").read_text())["label"]["fitted"]
    frame = pl.read_parquet(only(report, ".parquet"))
    assert frame["threshold_bps"].unique().to_list() == [fitted["threshold_bps"]]
    training = frame.filter(pl.col("label_end_ns") < fitted["training_end_ns"])["return_bps"].abs()
    assert float(np.quantile(training.to_numpy(), 0.33)) == fitted["threshold_bps"]


def test_a_request_that_cannot_be_met_is_said(lake: Path) -> None:
    for changes, words in (
        ({"symbols": ()}, "no symbol"),
        ({"symbols": ("A", "A")}, "named twice"),
        ({"features": ()}, "no feature"),
        ({"sequence_steps": 0}, "--sequence"),
    ):
        with pytest.raises(InputError, match=words):
            replace(request(lake), **changes)
    with pytest.raises(LakeError, match="no table features of XRPUSDT"):
        write(request(lake, "XRPUSDT"))
    with pytest.raises(InputError, match="--timeframe"):
        write(request(lake, selection=Selection(lake, "7s")))
    volume = tuple(feature for feature in FEATURES if feature.name == "buy_volume")
    with pytest.raises(InputError, match="no column 'buy_volume'"):
        write(request(lake, features=volume))


def test_a_folder_that_cannot_be_written_is_said(lake: Path) -> None:
    (lake / "file").write_text("")
    with pytest.raises(InputError, match="another --out"):
        write(request(lake, out=lake / "file" / "out"))


def test_a_disk_too_small_is_said_before(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    monkeypatch.setattr("undertow.datasets.exports.shutil.disk_usage", lambda _: Full)
    with pytest.raises(InputError, match="--format windows"):
        write(request(lake, format=ExportFormat.NPY))
