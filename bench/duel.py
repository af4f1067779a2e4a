"""Contenders measured in turn, so that a busy machine slows all of them alike."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Claim", "Contender", "Outcome", "duel"]


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to measure. `prepare` makes a run, whose call does the work once and counts its units."""

    name: str
    prepare: Callable[[], Callable[[], int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one contender did; `ratio` is our rate over its rate, round by round."""

    name: str
    units_per_second: float
    """Median over the rounds."""
    ratio: float
    """Median over the rounds; 1 for ourselves."""
    lowest_ratio: float
    highest_ratio: float


@dataclass(frozen=True, slots=True)
class Claim:
    """One table of outcomes; the first line is ours."""

    title: str
    unit: str
    rounds: int
    outcomes: tuple[Outcome, ...]


def duel(title: str, unit: str, contenders: Sequence[Contender], rounds: int = 7, seed: int = 1) -> Claim:
    """Run every contender once to warm up, then once a round in random order; the first one is ours.

    Preparing a run and collecting garbage before it are outside its time.
    """
    for contender in contenders:
        contender.prepare()()
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    order = random.Random(seed)
    for _round in range(rounds):
        for contender in order.sample(contenders, len(contenders)):
            rates[contender.name].append(_rate(contender))
    ours = rates[contenders[0].name]
    outcomes = tuple(_outcome(name, ours, theirs) for name, theirs in rates.items())
    return Claim(title, unit, rounds, outcomes)


def _rate(contender: Contender) -> float:
    run = contender.prepare()
    gc.collect()
    begin = time.perf_counter()
    units = run()
    return units / (time.perf_counter() - begin)


def _outcome(name: str, ours: list[float], theirs: list[float]) -> Outcome:
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return Outcome(name, statistics.median(theirs), statistics.median(ratios), min(ratios), max(ratios))
