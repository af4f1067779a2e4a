"""Reading and replacing single files, each whole or not at all."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from undertow.errors import LakeError
from undertow.lake.market_schemas import MARKET_SCHEMAS, MARKET_SORT_KEYS, MARKET_UNIQUE_KEYS
from undertow.lake.schemas import SORT_KEYS, UNIQUE_KEYS, parquet_options

__all__ = [
    "Manifest",
    "join",
    "merge",
    "read_manifest",
    "read_table",
    "replace_file",
    "sha256_of",
    "write_table",
]


class Manifest(msgspec.Struct, frozen=True):
    """What a sealed hour holds."""

    rows: int
    first_timestamp: int
    last_timestamp: int
    first_id: int
    """Smallest trade or update id, -1 where the table has none."""
    last_id: int
    sha256: str
    schema_version: str
    code_version: str
    version: int
    """How many times the hour has been sealed with different content."""
    extra: dict[str, Any]


def replace_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a temporary name, sync it and rename it; LakeError where the disk refuses."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise LakeError(
            f"{path}: cannot be written ({reason}); free the disk or choose another --lake"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_table(path: Path, table: pa.Table) -> None:
    """Write rows as Parquet, whole or not at all."""
    replace_file(path, lambda file: pq.write_table(table, file, **parquet_options(table.schema)))


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file of ours; LakeError, naming it, where it is damaged."""
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            return file.read(columns=columns)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise LakeError(
            f"{path}: cannot be read ({error}); `undertow verify` lists what is damaged"
        ) from error


def read_manifest(path: Path) -> Manifest | None:
    """A manifest, or None where it is missing or no manifest of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def join(parts: list[pa.Table]) -> pa.Table:
    """Parts one behind the other, with the newest one's columns and metadata; what others lack is null."""
    newest = parts[-1].schema
    alike = [part.replace_schema_metadata(newest.metadata) for part in parts]
    return pa.concat_tables([newest.empty_table(), *alike], promote_options="default")


def merge(table: str, parts: list[pa.Table]) -> pa.Table:
    """Parts as one table, each row once, in order of time.

    The newest wins; of market tables the first, for a value was known since it came first.
    """
    rows = join(parts)
    unique = list({**UNIQUE_KEYS, **MARKET_UNIQUE_KEYS}.get(table, ("timestamp",)))
    ordered = list({**SORT_KEYS, **MARKET_SORT_KEYS}.get(table, ("timestamp",)))
    keys = pl.from_arrow(rows.select(list(dict.fromkeys([*unique, *ordered]))))
    wins: Literal["first", "last"] = "first" if table in MARKET_SCHEMAS else "last"
    kept = pl.DataFrame(keys).with_row_index("row").unique(subset=unique, keep=wins).sort(ordered)
    places = kept["row"].to_numpy()
    already = len(places) == rows.num_rows and bool((places[1:] > places[:-1]).all())
    return rows.combine_chunks() if already else rows.take(places).combine_chunks()
