from pathlib import Path

import pytest

from undertow.errors import LakeError
from undertow.evaluation.trials import count_trials, read_trials, record_trial


def test_each_configuration_counts_once(tmp_path: Path) -> None:
    ledger = tmp_path / "lake" / "trials.jsonl"
    assert count_trials(ledger) == 0
    assert record_trial(ledger, {"a": 1, "b": 2}, {"mcc": 0.1}, 10) == 1
    assert record_trial(ledger, {"b": 2, "a": 1}, {"mcc": 0.1}, 11) == 1
    assert record_trial(ledger, {"a": 2, "b": 2}, {"mcc": 0.2}, 12) == 2
    assert [trial["recorded_ns"] for trial in read_trials(ledger)] == [10, 11, 12]


def test_lines_are_only_added_and_a_torn_one_is_survived(tmp_path: Path) -> None:
    ledger = tmp_path / "trials.jsonl"
    record_trial(ledger, {"a": 1}, {}, 1)
    first = ledger.read_bytes()
    ledger.write_bytes(first + b'{"key": "to')
    assert record_trial(ledger, {"a": 2}, {}, 2) == 2
    assert ledger.read_bytes().startswith(first)
    assert len(read_trials(ledger)) == 2


def test_a_ledger_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LakeError, match="cannot be written"):
        record_trial(tmp_path / "file" / "trials.jsonl", {}, {}, 1)
