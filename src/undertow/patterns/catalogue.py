"""Every pattern, registered once."""

from undertow.errors import InputError
from undertow.patterns import book, flow
from undertow.patterns.pattern import Pattern

__all__ = ["PATTERNS", "pattern_named", "patterns_markdown"]

PATTERNS: tuple[Pattern, ...] = (*flow.LINES, *book.LINES)
"""In the order in which events of one time are listed."""


def pattern_named(name: str) -> Pattern:
    """The pattern of that name. Raises InputError where there is none."""
    for pattern in PATTERNS:
        if pattern.name == name:
            return pattern
    raise InputError(f"no pattern {name!r}; choose from {', '.join(pattern.name for pattern in PATTERNS)}")


def patterns_markdown() -> str:
    """The catalogue as sections of a page of the documentation, one a pattern."""
    return "\n".join(line for pattern in PATTERNS for line in _section(pattern))


def _section(pattern: Pattern) -> list[str]:
    settings = [
        f"| `{setting.name}` | {setting.default:g} | {setting.unit} | {setting.meaning} |"
        for setting in pattern.settings
    ]
    numbers = [f"| `{number.name}` | {number.unit} | {number.meaning} |" for number in pattern.numbers]
    return [
        f"### {pattern.name}",
        "",
        pattern.definition,
        "",
        f"- Side +1: {pattern.reads}. Side −1 is the mirror image.",
        f"- Strength: {pattern.strength}.",
        f"- Inputs: {', '.join(f'`{name}`' for name in (*pattern.inputs, 'gap_fraction'))}.",
        f"- Nulls: {pattern.null}.",
        f"- Lookback: {pattern.lookback_bars():,} bars.",
        f"- On a simulated martingale: at most {pattern.false_alarms:g} events an hour, both sides together.",
        f"- Source: {pattern.source}.",
        f"- Example: {pattern.example}",
        "",
        "| setting | default | unit | meaning |",
        "| --- | --- | --- | --- |",
        *settings,
        "",
        "| number | unit | meaning, for side +1 |",
        "| --- | --- | --- |",
        *numbers,
        "",
    ]
