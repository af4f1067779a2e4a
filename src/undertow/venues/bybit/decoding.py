"""Strict decoding that survives what the exchange adds: a field we do not know is counted and passed over."""

from collections import Counter
from typing import Generic, TypeVar

import msgspec

__all__ = ["Reader"]

Shape = TypeVar("Shape", bound=msgspec.Struct)


class Reader(Generic[Shape]):
    """Reads objects of one shape, which forbids unknown fields: `Reader("trade", PublicTrade)`.

    Text is taken for a number where the shape has one. Raises msgspec.DecodeError for what is no JSON, and
    its subclass msgspec.ValidationError where a field is missing or of another type.
    """

    def __init__(self, name: str, shape: type[Shape]) -> None:
        self.name = name
        self._shape = shape
        self._known = frozenset(shape.__struct_fields__)
        self._one = msgspec.json.Decoder(shape, strict=False)
        self._many = msgspec.json.Decoder(list[shape], strict=False)  # type: ignore[valid-type]

    def one(self, raw: bytes | msgspec.Raw, unknown: Counter[str]) -> Shape:
        """An object; fields it should not have are counted in `unknown` as `name.field`."""
        try:
            return self._one.decode(raw)
        except msgspec.ValidationError:
            return self._without_unknown(_object_decoder.decode(raw), unknown)

    def many(self, raw: bytes | msgspec.Raw, unknown: Counter[str]) -> list[Shape]:
        """A list of objects."""
        try:
            found: list[Shape] = self._many.decode(raw)
        except msgspec.ValidationError:
            return [self._without_unknown(fields, unknown) for fields in _list_decoder.decode(raw)]
        return found

    def _without_unknown(self, fields: dict[str, msgspec.Raw], unknown: Counter[str]) -> Shape:
        known = {key: value for key, value in fields.items() if key in self._known}
        found = self._one.decode(msgspec.json.encode(known))
        unknown.update(f"{self.name}.{key}" for key in fields.keys() - self._known)
        return found


_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list_decoder = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
