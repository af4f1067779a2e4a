"""`undertow features` as a user calls it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.runtime.lake_days import INSTRUMENT, write_days


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stored") / "lake"
    write_days(root)
    return root


def features(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "undertow", "features", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def contents(root: Path) -> dict[str, bytes]:
    folder = root / INSTRUMENT.venue / "features"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("data.parquet")}


def test_slices_make_up_the_whole_and_say_what_they_began_with(stored: Path, tmp_path: Path) -> None:
    whole, sliced = (Path(shutil.copytree(stored, tmp_path / name)) for name in ("whole", "sliced"))
    options = ("--timeframes", "1m,45m", "--json")
    done = features("--lake", whole, *options, "--jobs", "1")
    assert json.loads(done.stdout) == {"binance-usdm BTCUSDT": {"1m": 1680, "45m": 37}}
    first = features("--lake", sliced, *options, "--to", "2024-08-09")
    assert first.stderr == ""
    then = features("--lake", sliced, *options, "--from", "2024-08-09T00:00", "--to", "2024-08-09T14:20")
    assert "computed from the state kept at 2024-08-09 00:00 UTC" in then.stderr
    last = features("--lake", sliced, *options, "--from", "2024-08-09T15:00", "--jobs", "2")
    assert json.loads(last.stdout) == {"binance-usdm BTCUSDT": {"1m": 659, "45m": 14}}
    assert contents(sliced) == contents(whole)


def test_a_slice_of_a_history_without_states_says_so(stored: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(stored, tmp_path / "lake"))
    done = features("--lake", root, "--timeframes", "45m", "--from", "2024-08-10", "--json")
    assert "computed from the first bar, as no state" in done.stderr
    assert json.loads(done.stdout) == {"binance-usdm BTCUSDT": {"45m": 2}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "yesterday"), "write 2024-08-08"),
        (("--from", "2024-08-09", "--to", "2024-08-09"), "nothing lies between"),
        (("--symbols", "NONE"), "no trades of NONE"),
        (("--timeframes", "7s"), "does not divide a day"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    stored: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = features("--lake", stored, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("name", "reach"), [("kyle_lambda_60", "60 bars"), ("ema_12", "back to the first bar")]
)
def test_explain_says_how_far_a_value_reaches_back(name: str, reach: str) -> None:
    assert f"lookback {reach}" in features("--explain", name).stdout
