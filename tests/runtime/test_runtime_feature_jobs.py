"""Any number of processes, and any cut of a history among them, stores the same bytes."""

import shutil
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from tests.runtime.lake_days import (
    FIRST_MIDNIGHT_NS,
    INSTRUMENT,
    LENGTHS_NS,
    SECOND_MIDNIGHT_NS,
    write_days,
)

from undertow.errors import InUseError, LakeError
from undertow.lake.reader import Lake
from undertow.lake.writer import LakeWriter
from undertow.runtime.batch import Span, histories
from undertow.runtime.feature_jobs import Written, hours_asked, write_all

OTHER = msgspec.structs.replace(INSTRUMENT, symbol="ETHUSDT")
NAMES = [f"{one.venue} {one.symbol}" for one in (INSTRUMENT, OTHER)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stored") / "lake"
    for seed, instrument in enumerate((INSTRUMENT, OTHER)):
        write_days(root, instrument, seed)
    return root


@pytest.fixture(scope="module")
def computed(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(shutil.copytree(stored, tmp_path_factory.mktemp("computed") / "lake"))
    write(root, jobs=1)
    return root


def write(
    root: Path, jobs: int, span: Span | None = None, symbols: tuple[str, ...] = ()
) -> dict[str, Written]:
    found = histories(Lake(root), None, symbols)
    return write_all(found, LENGTHS_NS, span or Span(), jobs, lambda symbol, newest: None)


def features(root: Path) -> dict[str, bytes]:
    files = sorted((root / INSTRUMENT.venue / "features").rglob("*.*"))
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_two_symbols_at_once_are_as_one_after_the_other(stored: Path, computed: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(stored, tmp_path / "lake"))
    told: set[str] = set()

    def tell(symbol: str, newest: datetime) -> None:
        told.add(symbol)

    written = write_all(histories(Lake(root), None, ()), LENGTHS_NS, Span(), 2, tell)
    assert features(root) == features(computed)
    assert list(written) == NAMES
    assert written[NAMES[0]].rows == {"5s": 20_159, "1m": 1_680, "45m": 37}
    assert told == {INSTRUMENT.symbol, OTHER.symbol}


def test_days_of_one_symbol_at_once_are_as_one_after_the_other(computed: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(computed, tmp_path / "lake"))
    shutil.rmtree(root / INSTRUMENT.venue / "features")
    written = write(root, 3, symbols=(INSTRUMENT.symbol,))
    ours = {name: content for name, content in features(computed).items() if INSTRUMENT.symbol in name}
    assert features(root) == ours
    assert written[NAMES[0]].rows == {"5s": 20_159, "1m": 1_680, "45m": 37}


def test_what_a_slice_began_with_is_told(computed: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(computed, tmp_path / "lake"))
    later = write(root, 2, Span(SECOND_MIDNIGHT_NS, None))
    assert [one.begin_ns for one in later.values()] == [SECOND_MIDNIGHT_NS] * 2
    assert [one.begin_ns for one in write(root, 1, Span(None, FIRST_MIDNIGHT_NS)).values()] == [None] * 2
    assert features(root) == features(computed)


def test_what_a_worker_cannot_do_reaches_the_user(stored: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(stored, tmp_path / "lake"))
    broken = next((root / OTHER.venue / "book_depth" / OTHER.symbol).rglob("data.parquet"))
    broken.write_bytes(b"nothing")
    with pytest.raises(LakeError, match=r"book_depth/ETHUSDT.*cannot be read"):
        write(root, 2)


def test_a_symbol_that_is_being_written_is_left_alone(stored: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(stored, tmp_path / "lake"))
    writer = LakeWriter(root, OTHER.venue, OTHER.symbol)
    with pytest.raises(InUseError, match="ETHUSDT"):
        write(root, 2)
    writer.close()
    assert features(root) == {}


def test_hours_asked_for_are_those_stored_in_the_span(stored: Path) -> None:
    found = histories(Lake(stored), None, ())
    spans = (Span(), Span(FIRST_MIDNIGHT_NS, None), Span(FIRST_MIDNIGHT_NS - 1, FIRST_MIDNIGHT_NS + 1))
    assert [hours_asked(found, span) for span in spans] == [18, 14, 4]
