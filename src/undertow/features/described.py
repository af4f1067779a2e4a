"""What every line of a catalogue tells, whichever table its column is of, in words for people."""

from typing import Protocol

from undertow.features.feature import Range

__all__ = ["Described", "range_text", "schema_row"]


class Described(Protocol):
    """A line of a catalogue: of bars, of the deep book, or of two markets."""

    @property
    def name(self) -> str:
        """Name of the column."""

    @property
    def family(self) -> str:
        """The group that it is shown in."""

    @property
    def formula(self) -> str:
        """One line."""

    @property
    def unit(self) -> str:
        """Unit of the value."""

    @property
    def range(self) -> Range:
        """Bounds of every value that is not null."""

    @property
    def null(self) -> str:
        """When the value is null."""

    @property
    def inputs(self) -> str:
        """What it is computed from."""

    @property
    def source(self) -> str:
        """Where the formula comes from."""

    @property
    def warm_up(self) -> int:
        """Rows with known inputs, from the first on, whose value is null."""

    @property
    def dtype(self) -> str:
        """`float`, `single` for 32 bits, or `int`: how it is stored."""

    @property
    def mirror(self) -> str:
        """What becomes of the value in a mirrored market."""


_STORED = {"float": "float64", "single": "float32", "int": "int64"}


def range_text(line: Described) -> str:
    """The bounds, `0 … ∞`."""
    low, high = (f"{bound:g}".replace("inf", "∞").replace("-", "−") for bound in line.range)
    return f"{low} … {high}"


def schema_row(line: Described) -> dict[str, str]:
    """Name, stored type, unit, when it is null and family of a column, for programs."""
    return {
        "name": line.name,
        "type": _STORED[line.dtype],
        "unit": line.unit,
        "null": line.null,
        "family": line.family,
    }
