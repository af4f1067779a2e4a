"""The trial ledger: every configuration that was tried, for the count that judges the best of them."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from undertow.errors import LakeError

__all__ = ["count_trials", "read_trials", "record_trial"]


def record_trial(
    ledger: Path, settings: Mapping[str, Any], scores: Mapping[str, Any], recorded_ns: int
) -> int:
    """Append one trial to the JSON-lines file and return how many different configurations it now holds.

    Lines are only ever added; a line cut off by a crash is closed first. Raises LakeError where it cannot be
    written.
    """
    trial = {"recorded_ns": recorded_ns, "key": _key(settings), "settings": settings, "scores": scores}
    line = json.dumps(trial, sort_keys=True, default=str) + "\n"
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with ledger.open("ab+") as file:
            file.write(_line_end_if_missing(ledger) + line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise LakeError(f"the trial ledger {ledger} cannot be written: {error}") from error
    return count_trials(ledger)


def read_trials(ledger: Path) -> list[dict[str, Any]]:
    """All whole lines, oldest first; empty where there is no ledger."""
    if not ledger.exists():
        return []
    trials = []
    for line in ledger.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            trials.append(json.loads(line))
        except ValueError:
            continue  # cut off by a crash while it was written
    return [trial for trial in trials if isinstance(trial, dict)]


def count_trials(ledger: Path) -> int:
    """Different configurations tried: repeating one is no new trial."""
    return len({trial.get("key") for trial in read_trials(ledger)})


def _key(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def _line_end_if_missing(ledger: Path) -> bytes:
    with ledger.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() == 0:
            return b""
        file.seek(-1, os.SEEK_END)
        return b"" if file.read(1) == b"\n" else b"\n"
