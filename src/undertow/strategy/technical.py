"""Technical selector: five set-ups over a feature row, joined into one score in [0, 1] a side.

A set-up returns its strength in [-1, 1]: positive speaks for a long, negative for a short, 0 is no set-up.
A null input (NaN, or a name that the row lacks) is no set-up. Prices enter only in units of the ATR, so
that the strengths mean the same for every symbol. Every set-up is odd: mirrored prices give the mirrored
strength, which makes the long and the short side alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, nan

__all__ = [
    "SETUPS",
    "TECHNICAL_INPUTS",
    "TechnicalScores",
    "bollinger_reversal",
    "keltner_breakout",
    "macd_momentum",
    "rsi_reversal",
    "score",
    "trend",
]

TECHNICAL_INPUTS = (
    "ema_12",
    "ema_26",
    "macd",
    "macd_signal",
    "rsi_14",
    "bollinger_position",
    "keltner_position",
    "atr_14",
)
"""Features that the set-ups read. The positions are (close - lower) / (upper - lower) of their bands."""


@dataclass(frozen=True, slots=True)
class TechnicalScores:
    """Scores in [0, 1] of both sides, and the strength of every set-up that spoke."""

    long: float
    short: float
    setups: tuple[tuple[str, float], ...]


def trend(ema_12: float, ema_26: float, atr_14: float) -> float:
    """Fast average above the slow one speaks for a long; full strength at a distance of one ATR."""
    return _strength(ema_12 - ema_26, atr_14)


def macd_momentum(macd: float, macd_signal: float, atr_14: float) -> float:
    """MACD above its signal line speaks for a long; full strength at a quarter of an ATR."""
    return _strength(macd - macd_signal, 0.25 * atr_14)


def rsi_reversal(rsi_14: float) -> float:
    """Oversold below 30 speaks for a long, overbought above 70 for a short; full strength at 10 and 90."""
    return _outside(50.0 - rsi_14, inner=20.0, full=40.0)


def bollinger_reversal(bollinger_position: float, keltner_position: float) -> float:
    """Outside the Bollinger band but inside the Keltner channel: stretched, not broken out; back to the mean.

    Below the lower band speaks for a long. Full strength a quarter of the band's width outside.
    """
    if not 0.0 <= keltner_position <= 1.0:
        return 0.0
    return _outside(0.5 - bollinger_position, inner=0.5, full=0.75)


def keltner_breakout(keltner_position: float) -> float:
    """Above the Keltner channel speaks for a long, below for a short; full strength half a width outside."""
    return _outside(keltner_position - 0.5, inner=0.5, full=1.0)


Row = Mapping[str, float]

SETUPS: tuple[tuple[str, Callable[[Row], float]], ...] = (
    ("trend", lambda row: trend(_of(row, "ema_12"), _of(row, "ema_26"), _of(row, "atr_14"))),
    (
        "macd_momentum",
        lambda row: macd_momentum(_of(row, "macd"), _of(row, "macd_signal"), _of(row, "atr_14")),
    ),
    ("rsi_reversal", lambda row: rsi_reversal(_of(row, "rsi_14"))),
    (
        "bollinger_reversal",
        lambda row: bollinger_reversal(_of(row, "bollinger_position"), _of(row, "keltner_position")),
    ),
    ("keltner_breakout", lambda row: keltner_breakout(_of(row, "keltner_position"))),
)
"""Name of a set-up and how it reads a row."""


def score(row: Row) -> TechnicalScores:
    """Scores of both sides from all set-ups.

        long = L · (1 - S)      L = 1 - Π(1 - strength) over set-ups for a long, S the same for a short

    Agreement adds up without passing 1; set-ups that contradict each other weaken both sides.
    """
    spoke = tuple((name, strength) for name, setup in SETUPS if (strength := setup(row)) != 0.0)
    long_evidence = _joint([strength for _, strength in spoke if strength > 0])
    short_evidence = _joint([-strength for _, strength in spoke if strength < 0])
    return TechnicalScores(
        long=long_evidence * (1.0 - short_evidence),
        short=short_evidence * (1.0 - long_evidence),
        setups=spoke,
    )


def _joint(strengths: list[float]) -> float:
    doubt = 1.0
    for strength in strengths:
        doubt *= 1.0 - strength
    return 1.0 - doubt


def _of(row: Row, name: str) -> float:
    return row.get(name, nan)


def _strength(distance: float, full: float) -> float:
    """Distance as a share of `full`, clipped to [-1, 1]; 0 for a null or a `full` not positive."""
    if not (isfinite(distance) and isfinite(full) and full > 0):
        return 0.0
    return max(-1.0, min(1.0, distance / full))


def _outside(distance: float, *, inner: float, full: float) -> float:
    """Signed share of the way from `inner` to `full`; 0 within `inner` and where the distance is null."""
    beyond = abs(distance) - inner
    if not isfinite(distance) or beyond <= 0:
        return 0.0
    return _strength(beyond if distance > 0 else -beyond, full - inner)
