import random

import pytest

from undertow.runtime.clock_offset import ClockOffset
from undertow.venues.answers import TimeProbe

SECOND, MILLISECOND = 10**9, 10**6
START = 1_770_000_000 * SECOND


def probe(at_ns: int, offset_ns: int, there_ns: int, back_ns: int) -> TimeProbe:
    """What a probe sees whose way takes so long, when the exchange's clock is ahead by `offset_ns`."""
    server_ns = at_ns + there_ns + offset_ns
    return TimeProbe(at_ns, server_ns // MILLISECOND, at_ns + there_ns + back_ns)


@pytest.mark.scenario(
    "R15", "the exchange's clock off by 3 s, answers take 2 s one way: the error bar holds the truth"
)
@pytest.mark.parametrize("offset_s", [-3, 0, 3])
@pytest.mark.parametrize(("there_s", "back_s"), [(2.0, 0.0), (0.0, 2.0), (0.01, 0.02)])
def test_the_error_bar_holds_the_truth(offset_s: int, there_s: float, back_s: float) -> None:
    clock = ClockOffset()
    clock.add(probe(START, offset_s * SECOND, int(there_s * SECOND), int(back_s * SECOND)))
    found = clock.estimate(START + 3 * SECOND)
    assert abs(found.offset_ns - offset_s * SECOND) <= found.error_ns
    assert found.rtt_ns == int(there_s * SECOND) + int(back_s * SECOND)


@pytest.mark.scenario("K2", "clocks drift apart by 50 ppm: the estimate follows within its error bar")
@pytest.mark.parametrize("drift", [-50e-6, 50e-6])
def test_drift_is_followed(drift: float) -> None:
    rng = random.Random(1)
    clock = ClockOffset()
    errors = []
    for step in range(200):
        at_ns = START + step * 30 * SECOND
        offset_ns = int(step * 30 * SECOND * drift)
        way = rng.randint(5, 300) * MILLISECOND
        clock.add(probe(at_ns, offset_ns, way // 3, way - way // 3))
        found = clock.estimate(at_ns + way)
        assert abs(found.offset_ns - offset_ns) <= found.error_ns
        errors.append(found.error_ns)
    assert errors[-1] < 100 * MILLISECOND


@pytest.mark.scenario("K1", "our clock is set by 5 s: what was measured before is forgotten at once")
@pytest.mark.parametrize("step_s", [-5, 5])
def test_a_clock_that_is_set_is_measured_anew(step_s: int) -> None:
    clock = ClockOffset()
    for n in range(5):
        clock.add(probe(START + n * SECOND, 0, 10 * MILLISECOND, 10 * MILLISECOND))
    clock.add(probe(START + (6 + step_s) * SECOND, -step_s * SECOND, 10 * MILLISECOND, 10 * MILLISECOND))
    found = clock.estimate(START + (6 + step_s) * SECOND)
    assert abs(found.offset_ns + step_s * SECOND) <= found.error_ns < 20 * MILLISECOND


def test_the_shortest_way_says_most() -> None:
    clock = ClockOffset()
    clock.add(probe(START, 0, 5 * MILLISECOND, 5 * MILLISECOND))
    clock.add(probe(START + SECOND, 0, 900 * MILLISECOND, 0))
    assert clock.estimate(START + 2 * SECOND).rtt_ns == 10 * MILLISECOND


def test_before_the_first_probe_nothing_is_known() -> None:
    with pytest.raises(ValueError, match="no probe"):
        ClockOffset().estimate(START)
