"""Replacing hours of a table in workers of a process that holds the symbol with a `LakeWriter`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from undertow import __version__
from undertow.errors import LakeError
from undertow.lake.files import Manifest, is_newer, merge, read_manifest, replace_file, sha256_of, write_table
from undertow.lake.layout import DATA, MANIFEST, HourKey
from undertow.lake.reader import part_files
from undertow.lake.schemas import SCHEMA_VERSION

__all__ = ["replace_hour"]


def replace_hour(root: Path, key: HourKey, rows: pa.Table, extra: Mapping[str, Any]) -> None:
    """Make `rows`, at least one, all that an hour holds, sealed, as `LakeWriter.replace` does.

    Rows have unique times and no ids. A manifest that cannot be read is kept beside the new one. Raises
    LakeError where a newer version wrote the hour, before anything is written, and where the disk refuses.
    """
    folder = key.folder(root)
    before = _readable(folder / MANIFEST)
    rows = merge(key.table, [rows])
    write_table(folder / DATA, rows)
    digest = sha256_of(folder / DATA)
    described = Manifest(
        rows=rows.num_rows,
        first_timestamp=rows["timestamp"][0].as_py(),
        last_timestamp=rows["timestamp"][-1].as_py(),
        first_id=-1,
        last_id=-1,
        sha256=digest,
        schema_version=SCHEMA_VERSION,
        code_version=__version__,
        version=1 if before is None else before.version + (before.sha256 != digest),
        extra={**(before.extra if before else {}), **extra},
    )
    if described != before:
        replace_file(folder / MANIFEST, lambda file: file.write(msgspec.json.encode(described)))
    for path in part_files(folder):
        path.unlink()


def _readable(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except LakeError:
        if is_newer(path):
            raise
        path.replace(path.with_name(f"{MANIFEST}.damaged"))
        return None
