"""One gzip member that can be ended from any place up to which it was flushed."""

import struct
import zlib

from isal import isal_zlib

__all__ = ["Member", "ending"]

_LEVEL = 1
"""580 MB/s at a ratio of 6.3 on recorded frames flushed every 256 lines; zlib's level 3: 118 MB/s at 5.9."""
_GZIP_WINDOW = 31
_FINAL_BLOCK = b"\x03\x00"
"""An empty block that says it is the last (RFC 1951, 3.2.6)."""


class Member:
    """The encoder of one member, with the checksum and size of what it was given."""

    def __init__(self) -> None:
        self._encoder = isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        self.checksum = 0
        self.size = 0
        self._flushed = 0

    def compress(self, data: bytes) -> bytes:
        """What is to be written for `data`; perhaps nothing yet."""
        self.checksum = isal_zlib.crc32(data, self.checksum)
        self.size += len(data)
        return self._encoder.compress(data)

    def flush(self) -> bytes:
        """What is to be written so that everything so far can be read; ends on a byte."""
        if self.size == self._flushed:
            return b""
        self._flushed = self.size
        return self._encoder.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """What is to be written at last."""
        return self._encoder.flush()


def ending(checksum: int, size: int) -> bytes:
    """What completes a member behind a flush, when it held `size` bytes of this CRC-32 (RFC 1952, 2.3.1)."""
    return _FINAL_BLOCK + struct.pack("<II", checksum, size & 0xFFFFFFFF)
