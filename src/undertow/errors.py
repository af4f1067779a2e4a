"""Errors a user can act on.

UndertowError            base; carries what, where and what to do; the command line exits with 2
├── InputError           a file, frame or option that cannot be used as it is
├── LakeError            the lake or journal cannot be read or written
│   └── InUseError       another process writes there
└── VenueError           the exchange cannot be reached or refuses
"""

__all__ = ["InUseError", "InputError", "LakeError", "UndertowError", "VenueError"]


class UndertowError(Exception):
    """A failure that the user can understand and act on; never a bug of ours."""


class InputError(UndertowError):
    """A file, frame or option that cannot be used as it is."""


class LakeError(UndertowError):
    """The lake or the journal cannot be read or written."""


class InUseError(LakeError):
    """Another process writes there, and only one may."""


class VenueError(UndertowError):
    """The exchange cannot be reached, or refuses what was asked."""
