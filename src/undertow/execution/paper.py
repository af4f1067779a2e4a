"""Paper broker: market orders filled by walking the live book after a stated latency."""

from undertow.execution.broker import Execution
from undertow.execution.fees import TakerFee
from undertow.execution.fills import take
from undertow.market.instruments import Instrument
from undertow.market.orders import Fill, OrderRequest, TopOfBook

__all__ = ["PaperBroker"]


class PaperBroker:
    """Fills each order on the first usable book in force at or after its submission + latency.

    Usable: both sides, not crossed, and received no longer than `max_book_age_ns` ago; otherwise the order
    waits. The order takes what the book displays and the rest is cancelled. Liquidity taken once is gone
    until the next book state, told by its event and receive time, so two orders cannot share it.
    """

    def __init__(self, instrument: Instrument, fee: TakerFee, latency_ns: int, max_book_age_ns: int) -> None:
        if latency_ns < 0 or max_book_age_ns < 0:
            raise ValueError("latency and book age must not be negative")
        self._instrument = instrument
        self._fee = fee
        self._latency_ns = latency_ns
        self._max_book_age_ns = max_book_age_ns
        self._pending: list[tuple[int, OrderRequest]] = []
        self._used_ids: set[str] = set()
        self._left: TopOfBook | None = None

    @property
    def pending(self) -> tuple[OrderRequest, ...]:
        """Orders sent and not yet ended, oldest first."""
        return tuple(order for _, order in self._pending)

    def submit(self, order: OrderRequest, now_ns: int) -> None:
        """Queue an order; it meets a book at `now_ns` + latency. Raises ValueError for a used client id."""
        if order.client_id in self._used_ids:
            raise ValueError(f"client id {order.client_id} was used before")
        self._used_ids.add(order.client_id)
        self._pending.append((now_ns + self._latency_ns, order))

    def on_book(self, book: TopOfBook | None, now_ns: int) -> tuple[Execution, ...]:
        """Fill the orders that are due on the book in force at `now_ns`, in the order sent."""
        if book is None or book.fault is not None or now_ns - book.receive_ns > self._max_book_age_ns:
            return ()
        due = [order for due_ns, order in self._pending if due_ns <= now_ns]
        self._pending = [entry for entry in self._pending if entry[0] > now_ns]
        return tuple(self._execute(order, book, now_ns) for order in due)

    def _execute(self, order: OrderRequest, book: TopOfBook, now_ns: int) -> Execution:
        available = self._available(book)
        result, self._left = take(available, order.side, order.quantity_lots)
        fills = tuple(
            self._fill(order, number, price_ticks, lots, book, now_ns)
            for number, (price_ticks, lots) in enumerate(result.taken)
        )
        return Execution(order, fills, result.residual_lots)

    def _available(self, book: TopOfBook) -> TopOfBook:
        left = self._left
        if left is None or (left.event_ns, left.receive_ns) != (book.event_ns, book.receive_ns):
            return book
        return left

    def _fill(
        self, order: OrderRequest, number: int, price_ticks: int, lots: int, book: TopOfBook, now_ns: int
    ) -> Fill:
        return Fill(
            fill_id=f"{order.client_id}-{number}",
            client_id=order.client_id,
            symbol=order.symbol,
            fill_ns=now_ns,
            book_event_ns=book.event_ns,
            side=order.side,
            price_ticks=price_ticks,
            quantity_lots=lots,
            fee_e8=self._fee.fee_e8(self._instrument, price_ticks * lots),
        )
