"""The hybrid signal: technical score and model probability joined, for both sides alike."""

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from undertow.market.orders import Side
from undertow.strategy.technical import TechnicalScores

__all__ = ["TOLERANCE", "HybridSettings", "Reason", "SideScore", "Signal", "decide"]

TOLERANCE = 1e-9
"""A confidence this near to the threshold counts as equal to it, and equal does not act."""


class Reason(StrEnum):
    """Why a signal acts or abstains."""

    ACT = "above_threshold"
    BELOW = "not_above_threshold"
    TIE = "sides_tie"
    MODEL_MISSING = "model_missing"
    MODEL_INVALID = "model_invalid"
    TECHNICAL_INVALID = "technical_invalid"


@dataclass(frozen=True, slots=True)
class HybridSettings:
    """Weights (not negative, together 1) and the threshold in [0, 1] that a confidence must exceed."""

    technical_weight: float = 0.6
    model_weight: float = 0.4
    threshold: float = 0.7

    def __post_init__(self) -> None:
        if not (self.technical_weight >= 0 and self.model_weight >= 0):
            raise ValueError("hybrid weights must not be negative")
        if not abs(self.technical_weight + self.model_weight - 1.0) <= TOLERANCE:
            raise ValueError("hybrid weights must add up to 1")
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError("hybrid threshold must lie in [0, 1]")


@dataclass(frozen=True, slots=True)
class SideScore:
    """Both scores of one side and their weighted sum, all in [0, 1]."""

    technical: float
    model: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Signal:
    """What the hybrid rule says. `side` is None where it abstains; then the scores say how near it came.

    `long` and `short` are None where an input was missing or not a number in [0, 1].
    """

    side: Side | None
    confidence: float
    reason: Reason
    long: SideScore | None
    short: SideScore | None


def decide(
    technical: TechnicalScores, model_up: float | None, model_down: float | None, settings: HybridSettings
) -> Signal:
    """Confidence of each side, and the side to act on if one is above the threshold.

        confidence = w_t · technical + w_m · model      long: model = P(up), short: model = P(down)

    Acts on the larger confidence when it exceeds the threshold by more than `TOLERANCE`; at exactly the
    threshold it abstains, whichever way the sum was rounded. Equal sides abstain. A model that is absent
    or says anything but a number in [0, 1] abstains: a technical score never acts alone.
    """
    fault = _fault(technical, model_up, model_down)
    if fault is not None or model_up is None or model_down is None:
        return Signal(None, 0.0, fault or Reason.MODEL_MISSING, None, None)
    long = _join(technical.long, model_up, settings)
    short = _join(technical.short, model_down, settings)
    side, best = (Side.BUY, long) if long.confidence >= short.confidence else (Side.SELL, short)
    if not best.confidence > settings.threshold + TOLERANCE:
        return Signal(None, best.confidence, Reason.BELOW, long, short)
    if abs(long.confidence - short.confidence) <= TOLERANCE:
        return Signal(None, best.confidence, Reason.TIE, long, short)
    return Signal(side, best.confidence, Reason.ACT, long, short)


def _fault(technical: TechnicalScores, model_up: float | None, model_down: float | None) -> Reason | None:
    if model_up is None or model_down is None:
        return Reason.MODEL_MISSING
    if not (_is_share(model_up) and _is_share(model_down)):
        return Reason.MODEL_INVALID
    if not (_is_share(technical.long) and _is_share(technical.short)):
        return Reason.TECHNICAL_INVALID
    return None


def _join(technical: float, model: float, settings: HybridSettings) -> SideScore:
    confidence = settings.technical_weight * technical + settings.model_weight * model
    return SideScore(technical, model, confidence)


def _is_share(value: float) -> bool:
    return isfinite(value) and 0.0 <= value <= 1.0
