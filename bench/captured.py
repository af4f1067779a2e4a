"""The frames that replay benches read: the start of the recorded USD-M capture."""

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

from undertow.errors import InputError

__all__ = ["CAPTURE", "Capture", "read_capture"]

CAPTURE = "captures/usdm-btcusdt_20240808.gz"


@dataclass(frozen=True, slots=True)
class Capture:
    """Journal lines, `<receive time, ns> <frame>` with their line ends, by kind, each in order of arrival."""

    source: str
    depth: list[bytes]
    """Depth updates, with the REST snapshot in its place among them."""
    trades: list[bytes]


def read_capture(depth_frames: int, trade_frames: int) -> Capture:
    """The first frames of the capture below $UNDERTOW_DATA, or ../shared/data.

    Raises InputError if it is not there.
    """
    path = Path(os.environ.get("UNDERTOW_DATA", "../shared/data")) / CAPTURE
    if not path.exists():
        raise InputError(f"{path}: no such capture; set UNDERTOW_DATA to the folder that holds {CAPTURE}")
    depth: list[bytes] = []
    trades: list[bytes] = []
    with gzip.open(path) as lines:
        for line in lines:
            if b"@depth" in line[:80] or b'{"lastUpdateId"' in line[:40]:
                depth.append(line)
            elif b"@trade" in line[:80]:
                trades.append(line)
            if len(depth) >= depth_frames and len(trades) >= trade_frames:
                break
    return Capture(str(path), depth[:depth_frames], trades[:trade_frames])
