"""Reading an hour that is one sealed file, as fast as the disk gives it."""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from undertow.errors import LakeError
from undertow.lake.layout import DATA, HourKey

__all__ = ["read_sealed"]


def read_sealed(root: Path, key: HourKey, columns: Sequence[str], words: Sequence[str]) -> pa.Table | None:
    """These columns of an hour in their order of rows, those of `words` as dictionaries.

    None where the hour is not one sealed file with all of these columns: `Lake.read` knows what to do then.
    Raises LakeError, naming it, where the file is damaged.
    """
    folder = key.folder(root)
    try:
        names = os.listdir(folder)  # noqa: PTH208 - only names are wanted; three times as quick
        if DATA not in names or any(name.endswith(".open") for name in names):
            return None
        with pa.OSFile(str(folder / DATA)) as data, pq.ParquetFile(data, read_dictionary=list(words)) as file:
            if not set(columns) <= set(file.schema_arrow.names):
                return None
            return file.read(columns=list(columns))
    except (FileNotFoundError, KeyError):  # the latter: no such column of words
        return None
    except (OSError, pa.ArrowException) as error:
        raise LakeError(
            f"{folder / DATA}: cannot be read ({error}); `undertow verify` lists what is damaged"
        ) from error
