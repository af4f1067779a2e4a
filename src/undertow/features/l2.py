"""Catalogue of the L2 features: what each is, in the order of the columns of `l2_features`.

They are computed together, one pass a book, by `l2_kernel`; a line here says what its value is.
"""

from dataclasses import dataclass
from math import inf

from undertow.features.feature import ANY, POSITIVE, SHARE, SIGNED, Range
from undertow.features.l2_kernel import DEPTH_BPS, LEVELS, NOTIONALS

__all__ = ["L2_FEATURES", "SEQUENCE_NAMES", "VALUE_NAMES", "L2Feature", "l2_markdown"]


@dataclass(frozen=True, slots=True)
class L2Feature:
    """One column of `l2_features`; attributes as of `features.feature.Feature`."""

    name: str
    formula: str
    unit: str
    range: Range
    null: str
    source: str
    mirror: str
    """What becomes of the value when each book is mirrored at its own mid.

    `odd`: its sign flips; `even`: nothing; `inverse`: 1 / value; `swap:OTHER`: it becomes the other's value;
    `odd:OTHER`: the other's with its sign flipped; `price:OTHER`: the other's, mirrored at the mid.
    """
    warm_up: int = 0
    """Samples of a gap-free stretch, from its first on, whose value is null."""
    dtype: str = "float"
    """`float`, or `single` for 32 bits."""
    family: str = "l2"
    inputs: str = "l2"


_NO_SIDE = "a side without levels"
_NO_LEVEL = "no level on that side"
_NO_BOOK = "no level on either side"
_CUT = "the book was not known all the time since"
_UNKNOWN = "the distance lies beyond the last of the levels kept, or beyond the trusted price"
_NOT_HELD = "the levels do not hold the size, or hold it only beyond the trusted price"
_SPEC = "SPEC 5.5"
_BRACKETS = {"quote": " [quote]", "base": " [base]", "percent": " [%]", "share": ""}

_QUOTES = (
    L2Feature("mid_price", "(b + a) / 2 [quote]", "quote", POSITIVE, _NO_SIDE, _SPEC, "even"),
    L2Feature("spread", "a − b [quote]", "quote", POSITIVE, _NO_SIDE, _SPEC, "even"),
    L2Feature("spread_percent", "(a − b) / mid · 100 [%]", "percent", (0.0, 200.0), _NO_SIDE, _SPEC, "even"),
)
_TERM = "qᵢ / (i + 1) · max(0, 1 − |pᵢ − mid| / mid)"
_PRESSURES = (
    L2Feature(
        "buy_pressure", f"Σ {_TERM} over bids [base]", "base", POSITIVE, _NO_SIDE, _SPEC, "swap:sell_pressure"
    ),
    L2Feature(
        "sell_pressure", f"Σ {_TERM} over asks [base]", "base", POSITIVE, _NO_SIDE, _SPEC, "swap:buy_pressure"
    ),
    L2Feature("net_pressure", "buy_pressure − sell_pressure [base]", "base", ANY, _NO_SIDE, _SPEC, "odd"),
    L2Feature(
        "pressure_ratio", "buy_pressure / sell_pressure", "ratio", POSITIVE, _NO_SIDE, _SPEC, "inverse"
    ),
    L2Feature(
        "total_pressure", "buy_pressure + sell_pressure [base]", "base", POSITIVE, _NO_SIDE, _SPEC, "even"
    ),
)


def _other(side: str) -> str:
    return "ask" if side == "bid" else "bid"


def _totals() -> tuple[L2Feature, ...]:
    totals = [
        L2Feature(
            f"total_{side}_volume",
            f"Σ quantity of the {side}s [base]",
            "base",
            POSITIVE,
            "never",
            _SPEC,
            f"swap:total_{_other(side)}_volume",
        )
        for side in ("bid", "ask")
    ]
    imbalance = L2Feature(
        "volume_imbalance", "(B − A) / (B + A) over all levels", "share", SIGNED, _NO_BOOK, _SPEC, "odd"
    )
    return (*totals, imbalance)


_MOMENTS = (
    ("price_mean", "mean price of the levels, unweighted [quote]", "quote", "price"),
    ("price_std", "population deviation of the levels' prices [quote]", "quote", "swap"),
    ("volume_mean", "mean quantity of a level [base]", "base", "swap"),
    ("volume_std", "population deviation of the levels' quantities [base]", "base", "swap"),
)


def _sides() -> tuple[L2Feature, ...]:
    """Moments of each side, then each side's concentration."""
    moments = [
        L2Feature(
            f"{side}_{name}",
            f"{side}s: {formula}",
            unit,
            POSITIVE,
            _NO_LEVEL,
            _SPEC,
            f"{law}:{_other(side)}_{name}",
        )
        for side in ("bid", "ask")
        for name, formula, unit, law in _MOMENTS
    ]
    concentrations = [
        L2Feature(
            f"{side}_volume_concentration",
            f"{side}s: quantity of the best 10 levels over that of all",
            "share",
            SHARE,
            _NO_LEVEL,
            _SPEC,
            f"swap:{_other(side)}_volume_concentration",
        )
        for side in ("bid", "ask")
    ]
    return (*moments, *concentrations)


def _change(name: str, of: str, seconds: int, unit: str, mirror: str, bounds: Range = ANY) -> L2Feature:
    null = f"{of} is null now or {seconds} s before; {_CUT}"
    formula = f"{of} − {of} {seconds} s before{_BRACKETS[unit]}"
    return L2Feature(f"{name}_{seconds}sec", formula, unit, bounds, null, _SPEC, mirror, seconds)


def _volatility(
    name: str, of: str, unit: str, mirror: str, warm_up: int = 29, bounds: Range = POSITIVE
) -> L2Feature:
    null = f"{of} is null in one of the 30 s; {_CUT}"
    formula = f"population deviation of the last 30 one-second values of {of}{_BRACKETS[unit]}"
    return L2Feature(f"{name}_volatility_30sec", formula, unit, bounds, null, _SPEC, mirror, warm_up)


def _price_change(seconds: int) -> L2Feature:
    return L2Feature(
        f"price_change_{seconds}sec",
        f"(mid − mid {seconds} s before) / mid {seconds} s before · 100 [%]",
        "percent",
        (-100.0, inf),
        f"mid_price is null now or {seconds} s before; {_CUT}",
        _SPEC,
        "even",
        seconds,
    )


_CHANGES = (
    *(_price_change(seconds) for seconds in (1, 5, 30)),
    _volatility("price", "price_change_1sec", "percent", "even", 30),
    *(_change("spread_change", "spread", seconds, "quote", "even") for seconds in (1, 5)),
    _volatility("spread", "spread", "quote", "even"),
    *(
        _change("volume_imbalance_change", "volume_imbalance", seconds, "share", "odd", (-2.0, 2.0))
        for seconds in (1, 5)
    ),
    _volatility("volume_imbalance", "volume_imbalance", "share", "even", bounds=SHARE),
    _change("buy_pressure_change", "buy_pressure", 1, "base", "swap:sell_pressure_change_1sec"),
    _change("sell_pressure_change", "sell_pressure", 1, "base", "swap:buy_pressure_change_1sec"),
    _change("net_pressure_change", "net_pressure", 1, "base", "odd"),
    _volatility("buy_pressure", "buy_pressure", "base", "swap:sell_pressure_volatility_30sec"),
    _volatility("sell_pressure", "sell_pressure", "base", "swap:buy_pressure_volatility_30sec"),
    _volatility("net_pressure", "net_pressure", "base", "even"),
)


def _depths() -> tuple[L2Feature, ...]:
    return tuple(
        L2Feature(
            f"{side}_depth_{bps}bps",
            f"Σ quantity of the {side}s no farther than {bps} bps from the mid [base]",
            "base",
            POSITIVE,
            f"{_NO_SIDE}; {_UNKNOWN}",
            "liquidity at fixed distances",
            f"swap:{_other(side)}_depth_{bps}bps",
        )
        for side in ("bid", "ask")
        for bps in DEPTH_BPS
    )


def _size(notional: int) -> str:
    return f"{notional // 10**6}m" if notional >= 10**6 else f"{notional // 1000}k"


def _costs() -> tuple[L2Feature, ...]:
    opposite = {"sell": "buy", "buy": "sell"}
    return tuple(
        L2Feature(
            f"{order}_cost_{_size(notional)}",
            f"distance of the mean price from the mid when {notional:,} quote, counted at the mid, "
            f"are {'sold into the bids' if order == 'sell' else 'bought from the asks'} [bps of the mid]",
            "bps",
            POSITIVE,
            f"{_NO_SIDE}; {_NOT_HELD}",
            "cost of a round trip, one side at a time",
            f"swap:{opposite[order]}_cost_{_size(notional)}",
        )
        for order in ("sell", "buy")
        for notional in NOTIONALS
    )


def _sequence() -> tuple[L2Feature, ...]:
    prices = [
        L2Feature(
            f"{side}_price_norm_{level}",
            "(p − mid) / mid of the level; one that does not exist repeats the last",
            "share",
            ANY,
            _NO_SIDE,
            _SPEC,
            f"odd:{_other(side)}_price_norm_{level}",
            dtype="single",
        )
        for side in ("bid", "ask")
        for level in range(1, LEVELS + 1)
    ]
    volumes = [
        L2Feature(
            f"{side}_volume_{level}",
            "quantity of the level; 0 where it does not exist [base]",
            "base",
            POSITIVE,
            "never",
            _SPEC,
            f"swap:{_other(side)}_volume_{level}",
            dtype="single",
        )
        for side in ("bid", "ask")
        for level in range(1, LEVELS + 1)
    ]
    return (*prices, *volumes)


_BASE = (*_QUOTES, *_PRESSURES, *_totals(), *_sides(), *_CHANGES)
_FURTHER = (*_depths(), *_costs())

L2_FEATURES: tuple[L2Feature, ...] = (*_BASE, *_sequence(), *_FURTHER)
"""In the order of the columns of the table: the 37 of SPEC 5.5, the 400 of the sequence, then ours."""
VALUE_NAMES: tuple[str, ...] = tuple(feature.name for feature in (*_BASE, *_FURTHER))
"""Names of the columns of `L2Block.values`."""
SEQUENCE_NAMES: tuple[str, ...] = tuple(feature.name for feature in _sequence())
"""Names of the columns of `L2Block.sequence`."""


def l2_markdown() -> str:
    """The catalogue as a table of the documentation; levels 2 to 100 are left out."""
    lines = ["| feature | formula | unit | range | null | warm-up [s] | source |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    shown = [f for f in L2_FEATURES if f.dtype == "float" or f.name.endswith("_1")]
    return "\n".join([*lines, *(_table_row(feature) for feature in shown)]) + "\n"


def _table_row(f: L2Feature) -> str:
    low, high = (f"{bound:g}".replace("inf", "∞") for bound in f.range)
    name = f"`{f.name}` … `{f.name}00`" if f.dtype == "single" else f"`{f.name}`"
    formula = f.formula.replace("|", "\\|")
    cells = (name, formula, f.unit, f"{low} … {high}", f.null, str(f.warm_up), f.source)
    return "| " + " | ".join(cells) + " |"
