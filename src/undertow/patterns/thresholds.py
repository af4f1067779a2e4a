"""The settings that the causal thresholds of all patterns share."""

from undertow.patterns.pattern import BARS, BASELINE, QUIET, Setting

__all__ = ["USUAL", "setting", "thresholds"]

USUAL = "the threshold: `factor` × the usual"


def setting(name: str, default: float, meaning: str, unit: str = "share") -> Setting:
    """A setting, by default one that is a share."""
    return Setting(name, default, unit, meaning)


def thresholds(baseline: int, quiet: int, share: float, factor: float) -> tuple[Setting, ...]:
    """What is usual, over how long, how much more makes the pattern, and what parts two episodes.

    `baseline` and `quiet` in bars, `share` the quantile, `factor` a multiple of it.
    """
    return (
        setting(BASELINE, baseline, "bars before, whose quantile is the usual", BARS),
        setting(QUIET, quiet, "bars without the pattern on that side before it counts as new", BARS),
        setting("share", share, "quantile that is called usual"),
        setting("factor", factor, "multiple of the usual that makes the pattern", "ratio"),
    )
