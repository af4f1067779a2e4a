from pathlib import Path

import pytest

from undertow.errors import LakeError
from undertow.runtime.disk_guard import DiskGuard


def test_low_and_with_a_margin_no_longer(tmp_path: Path) -> None:
    now, free = [0.0], [100]
    guard = DiskGuard(tmp_path, 80, free_bytes=lambda _: free[0], clock=lambda: now[0])
    seen = []
    for bytes_free in (100, 79, 80, 99, 100, 80, 79):
        free[0] = bytes_free
        now[0] += 1.0
        seen.append(guard.is_low())
    assert seen == [False, True, True, True, False, False, True]


def test_looks_once_a_second(tmp_path: Path) -> None:
    now, looks = [0.0], []

    def free(folder: Path) -> int:
        looks.append(folder)
        return 0

    guard = DiskGuard(tmp_path, 1, free_bytes=free, clock=lambda: now[0])
    for _ in range(12):
        guard.is_low()
        now[0] += 0.25
    assert looks == [tmp_path] * 3


def test_a_real_disk_and_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path / "later" / "lake", 1)
    assert not guard.is_low()
    assert guard.free > 0
    assert DiskGuard(tmp_path, 1 << 62).is_low()


def test_a_disk_that_is_gone_is_named(tmp_path: Path) -> None:
    def fail(_: Path) -> int:
        raise OSError(5, "Input/output error")

    with pytest.raises(LakeError, match=r"cannot be told \(Input/output error\)"):
        DiskGuard(tmp_path, 1, free_bytes=fail).is_low()
