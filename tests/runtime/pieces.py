"""Pieces of work for tests of `runtime.at_once`; as a program it works off two that never end."""

import os
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from undertow.errors import LakeError
from undertow.runtime.at_once import Tell, work_off


@dataclass(frozen=True, slots=True)
class Square:
    """Its own number, squared, and who did it."""

    number: int

    def work(self, tell: Tell) -> tuple[int, int]:
        tell(f"S{self.number}", datetime(2024, 8, 8, tzinfo=UTC))
        if self.number < 0:
            raise LakeError(f"no root: {self.number}")
        return self.number**2, os.getpid()


@dataclass(frozen=True, slots=True)
class Endless:
    """Says who it is in a file, and never ends."""

    file: Path

    def work(self, tell: Tell) -> None:
        whole = self.file.with_suffix(".tmp")
        whole.write_text(str(os.getpid()))
        whole.rename(self.file)
        threading.Event().wait()


if __name__ == "__main__":
    try:
        work_off([Endless(Path(name)) for name in sys.argv[1:]], 2, lambda symbol, newest: None)
    except KeyboardInterrupt:
        sys.exit(130)
