"""`python -m bench [NAME…]`: measure the claims and print medians and ratios."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("POLARS_MAX_THREADS", "1")  # claims are about one core; read when polars is imported

import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from bench.duel import Claim
from undertow.errors import UndertowError

BENCHES = {
    "book": "the ladder beside SortedDict",
    "replay": "raw lines to book, samples and bars beside cryptofeed, ccxt.pro and orjson + SortedDict",
    "collect": "live collection of ten busy symbols beside cryptofeed: cost and speed",
    "features": "batch features from the lake beside pandas and polars",
    "live_features": "from a bar's close to all its features, ten symbols on one core",
    "simulated_lake": "the simulated market straight into a lake, beside its frames",
    "trade_bars": "trades in memory into 1 s bars beside polars and duckdb",
    "books": "features of 20-level books beside numpy and scipy",
    "technical": "technical indicators of a year of minutes beside TA-Lib",
    "l2": "features of 100-level books beside numpy and pandas",
    "lake_encodings": "Parquet as the lake writes it beside pyarrow's defaults",
}


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Any of: {', '.join(BENCHES)}.")] = None,
    rounds: Annotated[int, typer.Option(min=7, help="Rounds, in random order within each.")] = 7,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Measure claims; all of them if none is named."""
    claims: list[Claim] = []
    for name in names or BENCHES:
        if name not in BENCHES:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(BENCHES)}")
        found = _measure(name)(rounds)
        claims += found
        if not json:
            for claim in found:
                _print(claim)
    if json:
        machine = {"python": platform.python_version(), "cpu_count": os.cpu_count()}
        print(
            msgspec.json.encode({"machine": machine, "claims": [asdict(claim) for claim in claims]}).decode()
        )


def _measure(name: str) -> Callable[[int], list[Claim]]:
    measure: Callable[[int], list[Claim]] = import_module(f"bench.{name}").measure
    return measure


def _print(claim: Claim) -> None:
    table = Table(title=f"{claim.title} ({claim.rounds} rounds)", title_justify="left")
    table.add_column("contender")
    for heading in (claim.unit, "ours is ×", "lowest – highest"):
        table.add_column(heading, justify="right")
    for outcome in claim.outcomes:
        spread = f"{outcome.lowest_ratio:.3g} – {outcome.highest_ratio:.3g}"
        table.add_row(outcome.name, f"{outcome.units_per_second:,.0f}", f"{outcome.ratio:.3g}", spread)
    Console().print(table)


if __name__ == "__main__":
    try:
        typer.run(main)
    except UndertowError as error:
        sys.exit(f"error: {error}")
