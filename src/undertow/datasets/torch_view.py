"""Sequences as a torch `Dataset`. The only file here that imports torch, and only when it is called."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.datasets.sequences import SequenceWindows
from undertow.errors import InputError

__all__ = ["torch_dataset"]


def torch_dataset(
    windows: SequenceWindows, classes: NDArray[np.int64], weights: NDArray[np.float64] | None = None
) -> Any:
    """A `torch.utils.data.Dataset` of (sequence float32 (steps, k), class int64, weight float32).

    `classes`, `weights` (m,) belong to the m windows; the weight is 1 where none are given. Sequences are
    read from the memory map when they are asked for. Raises InputError where torch is not installed or the
    lengths differ.
    """
    if len(classes) != len(windows) or (weights is not None and len(weights) != len(windows)):
        raise InputError(f"{len(classes)} classes for {len(windows)} sequences; give one for each")
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise InputError("torch is not installed; install the package with its extra `deep`") from error
    chosen = np.ones(len(windows)) if weights is None else weights

    class Sequences(torch.utils.data.Dataset):  # type: ignore[misc, name-defined]
        """m samples."""

        def __len__(self) -> int:
            return len(windows)

        def __getitem__(self, at: int) -> tuple[Any, Any, Any]:
            sequence = torch.from_numpy(np.array(windows[at], dtype=np.float32))
            return sequence, torch.tensor(int(classes[at])), torch.tensor(float(chosen[at]))

    return Sequences()
