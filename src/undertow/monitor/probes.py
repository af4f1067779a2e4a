"""What this machine is like for collecting: versions, disk, handles, credentials. One finding each."""

import os
import platform
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import msgspec

__all__ = [
    "Finding",
    "Status",
    "probe_credentials",
    "probe_folder",
    "probe_handles",
    "probe_python",
    "probe_requirements",
    "probe_time_zone",
]

_OLDEST_PYTHON = (3, 11)
_CREDENTIALS = (("BINANCE_API_KEY", "BINANCE_API_SECRET"), ("BYBIT_API_KEY", "BYBIT_API_SECRET"))
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")
_HANDLES_NEEDED, _HANDLES_WANTED = 256, 4096
_GIGABYTE = 1_000_000_000
_FREE_NEEDED, _FREE_WANTED = 1 * _GIGABYTE, 20 * _GIGABYTE
"""Bytes: a day of ten busy symbols is some gigabytes."""
_BLOCK_BYTES, _BLOCKS = 1_000_000, 16
_SYNCS = 8
_SLOW_BYTES_PER_S = 20_000_000
_SLOW_SYNC_S = 0.1


class Status(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at, what it is like, and what to do where it is not well."""

    name: str
    status: Status
    found: str
    advice: str = ""


def probe_python(version: tuple[int, int, int] | None = None) -> Finding:
    """Whether the interpreter is new enough."""
    major, minor, patch = version or (int(part) for part in platform.python_version_tuple()[:3])
    machine = f"{platform.system()} {platform.machine()}"
    found = f"{platform.python_implementation()} {major}.{minor}.{patch}, {machine}"
    if (major, minor) >= _OLDEST_PYTHON:
        return Finding("python", Status.OK, found)
    return Finding("python", Status.FAIL, found, "install Python 3.11 or newer")


def probe_requirements(requirements: Iterable[str] | None = None) -> Finding:
    """Whether the libraries that Undertow declares are installed, in versions that it was made for."""
    declared = metadata.requires("undertow") or [] if requirements is None else requirements
    wrong, count = [], 0
    for requirement in declared:
        match = _REQUIREMENT.match(requirement)
        if match is None or "extra ==" in (match[3] or ""):
            continue
        count += 1
        wrong += _wrong_version(match[1], match[2], is_conditional=bool(match[3]))
    if not wrong:
        return Finding("libraries", Status.OK, f"{count} installed in versions that fit")
    return Finding("libraries", Status.FAIL, "; ".join(wrong), "install Undertow anew in a fresh environment")


def _wrong_version(name: str, bounds: str, *, is_conditional: bool) -> list[str]:
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return [] if is_conditional else [f"{name} is missing"]
    return [] if _fits(installed, bounds) else [f"{name} is {installed}, not {bounds.strip()}"]


def _fits(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds; other operators than >= and < are taken as met.

    >>> _fits("3.14.5", ">=3.9,<4"), _fits("4.0", "<4,>=3.9"), _fits("3.8.1", ">=3.9,<4")
    (True, False, False)
    """
    for bound in bounds.split(","):
        text = bound.strip()
        if text.startswith(">=") and _numbers(version) < _numbers(text[2:]):
            return False
        if text.startswith("<") and not text.startswith("<=") and _numbers(version) >= _numbers(text[1:]):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """The release as numbers, without zeros at its end: 4.0 is 4."""
    found = [int(part) for part in re.findall(r"\d+", re.split(r"[^\d.\s]", version.strip())[0])]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def probe_handles() -> Finding:
    """Whether enough files and sockets may be open at once."""
    try:
        import resource
    except ImportError:
        return Finding("open files", Status.OK, "this system sets no limit of its own")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Finding("open files", Status.OK, "no limit")
    return judge_handles(soft)


def judge_handles(soft: int) -> Finding:
    """What a limit on open files means."""
    status = Status.OK if soft >= _HANDLES_WANTED else Status.WARN
    status = Status.FAIL if soft < _HANDLES_NEEDED else status
    advice = (
        f"raise it to {_HANDLES_WANTED} or more: ulimit -n {_HANDLES_WANTED}, or LimitNOFILE= in a service"
    )
    return Finding("open files", status, f"at most {soft:,} at once", "" if status is Status.OK else advice)


def probe_time_zone() -> Finding:
    """The time zone, which changes nothing: said so that nobody needs to wonder."""
    zone = datetime.now().astimezone().strftime("%Z, UTC%z")
    return Finding("time zone", Status.OK, f"{zone}; of no consequence, every stored time is UTC")


def probe_credentials(environment: Mapping[str, str] | None = None) -> Finding:
    """Whether keys are set; what they are is never read out. To collect none are needed."""
    values = os.environ if environment is None else environment
    present = [pair for pair in _CREDENTIALS if all(values.get(name) for name in pair)]
    halves = [pair for pair in _CREDENTIALS if pair not in present and any(values.get(name) for name in pair)]
    found = ", ".join(f"{key} and {secret} are set" for key, secret in present)
    if halves:
        missing = [name for pair in halves for name in pair if not values.get(name)]
        return Finding(
            "credentials",
            Status.WARN,
            f"{', '.join(missing)} is missing beside its other half",
            "set both or neither; to collect none is needed",
        )
    return Finding("credentials", Status.OK, found or "none set; to collect none is needed")


def probe_folder(name: str, folder: Path) -> Finding:
    """Whether a folder can be written to, how much room there is, and how fast the disk confirms a write.

    What is written for it is gone afterwards; a folder that is not there yet is not created.
    """
    place = next((known for known in (folder, *folder.absolute().parents) if known.exists()), Path.cwd())
    if not place.is_dir():
        return Finding(name, Status.FAIL, f"{place} is no folder", "name another, or move that file away")
    try:
        free_bytes = shutil.disk_usage(place).free
        if free_bytes < _FREE_NEEDED:
            return judge_disk(name, folder, free_bytes, 0.0, [])
        bytes_per_s, sync_s = _measure(place)
    except OSError as error:
        return Finding(
            name,
            Status.FAIL,
            f"{folder} cannot be written ({error.strerror or error})",
            "check that the disk is mounted, writable and owned by you, or name another folder",
        )
    return judge_disk(name, folder, free_bytes, bytes_per_s, sync_s)


def _measure(place: Path) -> tuple[float, list[float]]:
    """Bytes a second that reach the disk, and how long small appends take to be confirmed [s]."""
    block = os.urandom(_BLOCK_BYTES)
    with tempfile.TemporaryFile(dir=place, prefix=".undertow-doctor-") as file:
        began_s = time.perf_counter()
        for _ in range(_BLOCKS):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        bytes_per_s = _BLOCKS * _BLOCK_BYTES / (time.perf_counter() - began_s)
        sync_s = []
        for _ in range(_SYNCS):
            began_s = time.perf_counter()
            file.write(block[:4096])
            file.flush()
            os.fsync(file.fileno())
            sync_s.append(time.perf_counter() - began_s)
    return bytes_per_s, sync_s


def judge_disk(
    name: str, folder: Path, free_bytes: int, bytes_per_s: float, sync_s: Sequence[float]
) -> Finding:
    """What room and speed mean for a collection."""
    room = f"{folder}: {free_bytes / _GIGABYTE:,.1f} GB free"
    if free_bytes < _FREE_NEEDED:
        return Finding(name, Status.FAIL, room, "make room: below 1 GB a collection soon stops")
    found = (
        f"{room}, {bytes_per_s / 1e6:,.0f} MB/s, a write is confirmed in "
        f"{statistics.median(sync_s) * 1e3:.1f} ms (at most {max(sync_s) * 1e3:.1f})"
    )
    if bytes_per_s < _SLOW_BYTES_PER_S or statistics.median(sync_s) > _SLOW_SYNC_S:
        return Finding(
            name, Status.WARN, found, "use a local disk: on a slow one frames pile up in busy markets"
        )
    if free_bytes < _FREE_WANTED:
        return Finding(name, Status.WARN, found, "make room: ten busy symbols fill this within days")
    return Finding(name, Status.OK, found)
