import asyncio
from pathlib import Path

import pytest

from undertow.venues.binance.governor import Priority, WeightGovernor


class Hands:
    """A clock that moves only while somebody sleeps."""

    def __init__(self, now_s: float = 600.0) -> None:
        self.now_s = now_s

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        until_s = self.now_s + duration_s
        await asyncio.sleep(0)
        self.now_s = max(self.now_s, until_s)


@pytest.mark.scenario("R3", "another process uses the address: its weight counts, we slow down")
def test_weight_used_by_others_counts() -> None:
    hands = Hands()
    governor = WeightGovernor(100, clock=hands.clock, sleep=hands.sleep)

    async def main() -> None:
        await governor.acquire(10)
        governor.observe(75)
        await governor.acquire(10)

    asyncio.run(main())
    assert hands.now_s == 660.0


@pytest.mark.scenario("R7", "the budget begins anew at the full minute")
def test_the_budget_begins_anew_at_the_minute() -> None:
    hands = Hands(659.0)
    governor = WeightGovernor(100, clock=hands.clock, sleep=hands.sleep)

    async def main() -> None:
        for _ in range(3):
            await governor.acquire(40)

    asyncio.run(main())
    assert hands.now_s == 660.0
    assert governor.used == 40


@pytest.mark.scenario("B8", "hundreds of requests at once: the reserve is kept, what is urgent goes first")
def test_less_urgent_requests_leave_room() -> None:
    hands = Hands()
    governor = WeightGovernor(100, clock=hands.clock, sleep=hands.sleep)
    done: list[tuple[str, float]] = []

    async def ask(name: str, priority: Priority) -> None:
        await governor.acquire(20, priority)
        done.append((name, hands.now_s))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(4):
                group.create_task(ask(f"backfill {n}", Priority.BACKFILL))
            group.create_task(ask("poll", Priority.POLL))
            group.create_task(ask("resync", Priority.RESYNC))
            group.create_task(ask("orders", Priority.ORDER_SAFETY))

    asyncio.run(main())
    first_minute = {name for name, at_s in done if at_s < 660.0}
    assert {"orders", "resync", "poll"} <= first_minute
    assert len(first_minute) <= 5
    assert len(done) == 7


@pytest.mark.scenario("R1", "429 with Retry-After 7: nothing passes for 7 s")
@pytest.mark.scenario("R2", "418 with Retry-After 600: nothing passes for 600 s, also after a restart")
@pytest.mark.parametrize("pause_s", [7.0, 600.0])
def test_a_ban_is_kept_over_a_restart(tmp_path: Path, pause_s: float) -> None:
    hands = Hands()
    memory = tmp_path / "ban.json"
    WeightGovernor(100, clock=hands.clock, sleep=hands.sleep, memory=memory).close(pause_s)
    again = WeightGovernor(100, clock=hands.clock, sleep=hands.sleep, memory=memory)
    asyncio.run(again.acquire(1, Priority.ORDER_SAFETY))
    assert hands.now_s == 600.0 + pause_s


def test_a_memory_that_is_damaged_is_ignored(tmp_path: Path) -> None:
    memory = tmp_path / "ban.json"
    memory.write_bytes(b"{")
    hands = Hands()
    asyncio.run(WeightGovernor(100, clock=hands.clock, sleep=hands.sleep, memory=memory).acquire(1))
    assert hands.now_s == 600.0
