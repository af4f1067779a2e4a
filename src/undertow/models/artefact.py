"""A fitted model on disk with all that is needed to use and to trust it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undertow.errors import LakeError
from undertow.models.base import Model
from undertow.models.catalogue import MODELS

__all__ = ["Artefact", "load_artefact", "save_artefact"]

MODEL_FILE, RECORD_FILE = "model.bin", "model.json"


@dataclass(frozen=True, slots=True)
class Artefact:
    """A fitted model, its catalogue name and its record (label, threshold, class shares, manifest)."""

    name: str
    model: Model
    record: Mapping[str, Any]

    @property
    def version(self) -> str:
        """Hash of the model's bytes, short enough for a log line."""
        return str(self.record["model_sha256"])[:12]


def save_artefact(folder: Path, name: str, model: Model, record: Mapping[str, Any]) -> Artefact:
    """Write the model and its record into `folder`, which is made. Raises LakeError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        model.save(folder / MODEL_FILE)
        full = {**record, "model": name, "model_sha256": _hash(folder / MODEL_FILE)}
        (folder / RECORD_FILE).write_text(json.dumps(full, indent=2, allow_nan=False), encoding="utf-8")
    except OSError as error:
        raise LakeError(f"the model cannot be written to {folder}: {error}; choose another folder") from error
    return Artefact(name, model, full)


def load_artefact(folder: Path) -> Artefact:
    """What `save_artefact` wrote. Raises LakeError where it is missing, unknown or changed since."""
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        name, expected = record["model"], record["model_sha256"]
        found = _hash(folder / MODEL_FILE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{folder} holds no stored model: {error}; run `undertow train`") from error
    if name not in MODELS:
        raise LakeError(
            f"{folder} holds a model of the unknown kind {name!r}; train it again with this version"
        )
    if found != expected:
        raise LakeError(f"{folder / MODEL_FILE} was changed since it was stored; train it again")
    return Artefact(name, MODELS[name].load(folder / MODEL_FILE), record)


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
