"""Files of a dataset, each whole or not at all, named as the specification says."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import polars as pl

from undertow.errors import InputError
from undertow.market.time import HOUR_NS, MILLISECOND_NS, SECOND_NS

__all__ = [
    "ExportFormat",
    "all_symbols_name",
    "check_room",
    "dates_of",
    "file_sha256",
    "manifest_path",
    "matrix_name",
    "read_record",
    "symbol_name",
    "whole_file",
    "write_record",
    "write_table",
]


class ExportFormat(StrEnum):
    """What is written."""

    PARQUET = "parquet"
    CSV = "csv"
    NPY = "npy"
    """Sequences as one matrix (samples, timesteps, features), with their rows beside it."""
    WINDOWS = "windows"
    """The same sequences as rows, each stored once, and where each sequence ends; read lazily."""


def dates_of(frame: pl.DataFrame) -> str:
    """First and last day (UTC) of the rows: `20240808`, or `20240808-20240810`.

    >>> dates_of(pl.DataFrame({"timestamp": [0, 86_400_000]}))
    '19700101-19700102'
    """
    first, last = (_day(int(frame["timestamp"][row])) for row in (0, -1))
    return first if first == last else f"{first}-{last}"


def _day(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms * MILLISECOND_NS // SECOND_NS, UTC).strftime("%Y%m%d")


def symbol_name(symbol: str, dates: str, extension: str) -> str:
    """`{symbol}_optimized_dataset_{dates}.csv|parquet`."""
    return f"{symbol}_optimized_dataset_{dates}.{extension}"


def matrix_name(symbol: str, dates: str) -> str:
    """`{symbol}_optimized_lstm_matrix_{dates}.npy`."""
    return f"{symbol}_optimized_lstm_matrix_{dates}.npy"


def all_symbols_name(frame: pl.DataFrame, length_ns: int, extension: str) -> str:
    """`all_symbols_optimized_dataset_{hours}h.csv`: whole hours, rounded up, from first to last bar.

    >>> all_symbols_name(pl.DataFrame({"timestamp": [0, 3_600_000]}), SECOND_NS, "csv")
    'all_symbols_optimized_dataset_2h.csv'
    """
    stamps = frame["timestamp"].to_numpy()
    span_ns = int(stamps.max() - stamps.min()) * MILLISECOND_NS + length_ns
    return f"all_symbols_optimized_dataset_{-(-span_ns // HOUR_NS)}h.{extension}"


def manifest_path(path: Path) -> Path:
    """The manifest that stands beside an exported file."""
    return path.with_name(f"{path.name}.manifest.json")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when all went well and is deleted when not.

    Raises InputError where the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); free the disk or choose another --out"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write rows as CSV or Parquet by the name's ending; floats keep every digit, nulls stay empty."""
    with whole_file(path) as temporary:
        if path.suffix == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_parquet(temporary, compression="snappy")


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a manifest as JSON."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """The manifest of an exported file; raises InputError where it has none."""
    try:
        record: dict[str, Any] = json.loads(manifest_path(path).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(
            f"{manifest_path(path)}: cannot be read ({error}); without it nobody knows what {path.name} is "
            "made of; build the dataset again"
        ) from error
    return record


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raise InputError where a file of that size would not fit on the disk of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise InputError(
            f"{folder}: the sequences take {needed_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; choose "
            "--format windows, which stores each row once, a shorter range or another --out"
        )
