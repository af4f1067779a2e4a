"""Joining a REST snapshot and a diff stream into one exact book: the rules, pure.

Binance's documents, "How to manage a local order book correctly", for spot (U/u) and USD-M futures (U/u/pu).
"""

from undertow.compiled import kernel

__all__ = ["BREAK", "NEXT", "SPOT", "STALE", "USDM", "follow", "join"]

SPOT, USDM = 0, 1
"""Which rule a venue follows."""

STALE, NEXT, BREAK = 0, 1, 2
"""Already contained in the book · to be applied now · something is missing before it."""

_REBASE = 1_000_000
"""A drop of ids by more than this is a new numbering after maintenance, not a stale duplicate."""


@kernel
def join(rule: int, first_id: int, last_id: int, previous_id: int, snapshot_id: int) -> int:
    """What a delta is to a book that is a bare snapshot.

    USD-M: drop u < L; the first applied has U <= L <= u, or continues exactly with pu == L.
    Spot: drop u <= L; the first applied has U <= L+1 <= u.
    """
    if rule == USDM:
        if previous_id == snapshot_id:
            return NEXT
        if last_id < snapshot_id:
            return STALE
        return NEXT if first_id <= snapshot_id else BREAK
    if last_id <= snapshot_id:
        return STALE
    return NEXT if first_id <= snapshot_id + 1 else BREAK


@kernel
def follow(rule: int, first_id: int, last_id: int, previous_id: int, book_id: int) -> int:
    """What a delta is to a book whose newest applied delta ended with `book_id`.

    USD-M: pu must equal the previous u (ids are sparse, U says nothing). Spot: U must not exceed u+1.
    """
    if last_id <= book_id:
        return BREAK if book_id - last_id > _REBASE else STALE
    if rule == USDM:
        return NEXT if previous_id == book_id else BREAK
    return NEXT if first_id <= book_id + 1 else BREAK
