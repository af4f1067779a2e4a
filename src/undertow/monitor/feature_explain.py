"""What `undertow features --explain NAME` says of a feature: its line of the catalogue and an example."""

import inspect
from difflib import get_close_matches

from undertow.errors import InputError
from undertow.features.catalogue import described
from undertow.features.described import Described, range_text
from undertow.features.feature import Feature
from undertow.features.pages import lookback_facts
from undertow.monitor.feature_examples import example_markets

__all__ = ["explanation"]


def explanation(name: str) -> list[str]:
    """Lines about every feature of that name: formula, unit, range, nulls, warm-up, inputs, source, example.

    A name may be of bars and of the deep book at once. Raises InputError with names like it where there is
    none.
    """
    found = [line for line in described() if line.name == name]
    if not found:
        near = get_close_matches(name, [line.name for line in described()], n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "`undertow features --list` shows them all"
        raise InputError(f"no feature {name!r}; {hint}")
    markets = example_markets()
    told: list[str] = []
    for line in found:
        told += [*([""] if told else []), *_facts(line), ""]
        title, *rows = markets.example(line).lines()
        told += [f"example: {title}", *rows]
    return told


def _facts(line: Described) -> list[str]:
    text = inspect.getdoc(line.function) if isinstance(line, Feature) else None
    facts = {
        "name": line.name,
        "family": line.family,
        "unit": line.unit,
        "range": range_text(line),
        "null": line.null,
        "warm-up": f"{line.warm_up} rows",
        **lookback_facts(line),
        "inputs": line.inputs,
        "source": line.source,
    }
    rows = [f"{key:8} {value}" for key, value in facts.items()]
    return [*rows, "", *(text or line.formula).splitlines()]
