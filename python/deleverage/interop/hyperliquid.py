"""Published Hyperliquid ADL fills become positions, accounts, marks and the bankrupt quantity.

The input is a table with one ADL fill a row, as analysts publish them from the venue's node
output: who was cut (`user`), in which market (`coin`), when (`time`, milliseconds UTC), at what
price (`adl_price`, the previous mark), how much (`adl_size`), what the cut realised
(`closed_pnl`), and the trader's signed position, entry price, cash and equity before it.

Fills of one `time` came out of one block and form one **event**. What an event leaves open, and
how it is read here:

- One user and market cut several times in one event (against several bankrupt accounts): one
  position, the largest published size; the cuts are added.
- One user with several published equities in one event: the first in file order is kept, because
  a block has one state before it; how many users, and how far apart, is reported.
- One market with several prices in one event: the first in file order is the mark; reported.
- One user and market in two events: one position in each event, never merged.

Numbers are read as text. Sizes and prices are exact or refused; cash and equity are sums of
doubles at the source (`34217.710638999975`), so they need a unit, 0.000001, and a rounding that
the caller names. Rows list only those who were cut, so the venue's order cannot be judged by them.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from pathlib import Path

import polars as pl

from deleverage.errors import InputError
from deleverage.model.quantise import read_numbers
from deleverage.model.refusals import bad_value

__all__ = [
    "COLUMNS",
    "AdlFill",
    "Event",
    "EventFrames",
    "IntakeReport",
    "MoneyRounding",
    "event_frames",
    "read_fills",
    "split_events",
    "total_size",
    "write_frames",
]

COLUMNS = (
    "user",
    "coin",
    "time",
    "adl_price",
    "adl_size",
    "closed_pnl",
    "position_size",
    "entry_price",
    "account_value_realtime",
    "total_equity",
)
"""The columns that are read; any other column is tolerated and left alone."""

MONEY_UNIT = Decimal("0.000001")
SETTLEMENT_ASSET = "USDC"

_EXACT = Context(prec=76)
_OPPOSITE = {"long": "short", "short": "long"}


class MoneyRounding(StrEnum):
    """How cash and equity are brought to 0.000001 when they do not fit it."""

    REFUSE = "refuse"
    NEAREST = "nearest"
    DOWN = "down"
    UP = "up"


_ROUNDINGS = {
    MoneyRounding.NEAREST: ROUND_HALF_EVEN,
    MoneyRounding.DOWN: ROUND_FLOOR,
    MoneyRounding.UP: ROUND_CEILING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdlFill:
    """One published ADL fill, every number exactly as printed.

    Attributes:
        row: data row in the file, the first is 0.
        account: who was cut.
        market: the coin.
        time_ms: block time, milliseconds UTC.
        price: settlement price of the cut.
        size: contracts closed, positive.
        realised: published realised profit of the cut, USDC.
        position: signed contracts before this fill, long positive.
        entry_price: published average entry.
        wallet_balance: cash without unrealised profit, USDC.
        equity: cash and the unrealised profit of all positions, USDC.
    """

    row: int
    account: str
    market: str
    time_ms: int
    price: Decimal
    size: Decimal
    realised: Decimal
    position: Decimal
    entry_price: Decimal
    wallet_balance: Decimal
    equity: Decimal

    @property
    def side(self) -> str:
        """`long` or `short`: the side of the position that was cut."""
        return "long" if self.position > 0 else "short"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The fills of one block time, in file order."""

    time_ms: int
    fills: tuple[AdlFill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeReport:
    """What was read from one event and what had to be decided.

    Attributes:
        time_ms: the event.
        fills: published fills.
        positions: positions written.
        accounts: accounts written.
        markets: markets written.
        merged_fills: fills added to an earlier fill of the same user and market.
        equity_conflicts: users with several published equities; the first is kept.
        equity_spread: largest difference between two equities of one user, USDC.
        price_conflicts: markets with several prices; the first is kept.
        without_equity: accounts whose kept equity is zero or negative.
        rounding: how money was brought to 0.000001.
        rounded_values: money values that did not fit and were rounded.
        rounding_error: largest change of one value by rounding, USDC.
    """

    time_ms: int
    fills: int
    positions: int
    accounts: int
    markets: int
    merged_fills: int
    equity_conflicts: int
    equity_spread: Decimal
    price_conflicts: int
    without_equity: int
    rounding: MoneyRounding
    rounded_values: int
    rounding_error: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFrames:
    """One event as the frames that `rank` and `plan` take, and the bankrupt quantities.

    Attributes:
        positions: position_id, account, market, side, qty, entry_price, margin_mode.
        accounts: account, asset, wallet_balance, equity.
        marks: market, mark_price, previous_mark_price: both the price of the cut, for the mark at
            which the venue ranked is not published.
        markets: market, kind, contract_size, lot_size, price_unit, settle.
        bankrupt: market, bankrupt_side, qty.
        report: what was read and decided.
    """

    positions: pl.DataFrame
    accounts: pl.DataFrame
    marks: pl.DataFrame
    markets: pl.DataFrame
    bankrupt: pl.DataFrame
    report: IntakeReport


def read_fills(path: str | Path) -> tuple[AdlFill, ...]:
    """Read a CSV of published ADL fills without passing any number through a float.

    Args:
        path: CSV file with a header that holds at least `COLUMNS`.

    Returns:
        The fills in file order; empty when the file has a header only.

    Raises:
        InputError: the file is missing, is no CSV, lacks a column, or a value is not what the
            column holds; the message names file, column and row.
    """
    texts, file = _read_text_columns(Path(path)), Path(path).name
    columns = {
        "account": _words(texts["user"], "user", file),
        "market": _words(texts["coin"], "coin", file),
        "time_ms": _times(texts["time"], "time", file),
        "price": _quantities(texts["adl_price"], "adl_price", file),
        "size": _quantities(texts["adl_size"], "adl_size", file),
        "realised": _money(texts["closed_pnl"], "closed_pnl", file),
        "position": _quantities(texts["position_size"], "position_size", file, is_signed=True),
        "entry_price": _quantities(texts["entry_price"], "entry_price", file),
        "wallet_balance": _money(texts["account_value_realtime"], "account_value_realtime", file),
        "equity": _money(texts["total_equity"], "total_equity", file),
    }
    return tuple(
        AdlFill(row=row, **dict(zip(columns, values, strict=True)))
        for row, values in enumerate(zip(*columns.values(), strict=True))
    )


def split_events(fills: Iterable[AdlFill]) -> tuple[Event, ...]:
    """Group fills by block time.

    Args:
        fills: in file order.

    Returns:
        The events, earliest first, each with its fills in file order.
    """
    groups: dict[int, list[AdlFill]] = defaultdict(list)
    for fill in fills:
        groups[fill.time_ms].append(fill)
    return tuple(Event(time_ms=time, fills=tuple(groups[time])) for time in sorted(groups))


def event_frames(event: Event, *, rounding: MoneyRounding = MoneyRounding.REFUSE) -> EventFrames:
    """Turn one event into the frames of the contract.

    Args:
        event: fills of one block time.
        rounding: how cash and equity are brought to 0.000001; `refuse` raises where a value does
            not fit.

    Returns:
        Frames in the order of first appearance in the file, and the report.

    Raises:
        InputError: a money value does not fit its unit and no rounding was asked for, or one user
            holds both sides of a market in one event.
    """
    holders = _group(event.fills, "market", "account")
    _refuse_two_sides(holders)
    kept = [max(fills, key=lambda fill: abs(fill.position)) for fills in holders.values()]
    by_account = _group(event.fills, "account")
    by_market = _group(event.fills, "market")
    purse = _Purse(rounding)
    accounts = _accounts_frame([fills[0] for fills in by_account.values()], purse)
    spreads = [
        max(f.equity for f in fills) - min(f.equity for f in fills) for fills in by_account.values()
    ]
    report = IntakeReport(
        time_ms=event.time_ms,
        fills=len(event.fills),
        positions=len(kept),
        accounts=len(by_account),
        markets=len(by_market),
        merged_fills=len(event.fills) - len(kept),
        equity_conflicts=sum(spread > 0 for spread in spreads),
        equity_spread=max(spreads, default=Decimal(0)),
        price_conflicts=sum(len({f.price for f in fills}) > 1 for fills in by_market.values()),
        without_equity=sum(fills[0].equity <= 0 for fills in by_account.values()),
        rounding=rounding,
        rounded_values=purse.rounded_values,
        rounding_error=purse.rounding_error,
    )
    return EventFrames(
        positions=_positions_frame(kept),
        accounts=accounts,
        marks=_marks_frame([fills[0] for fills in by_market.values()]),
        markets=_markets_frame(by_market),
        bankrupt=_bankrupt_frame(event.fills),
        report=report,
    )


def write_frames(frames: EventFrames, directory: Path) -> None:
    """Write the frames as Parquet files of their names into a directory.

    Args:
        frames: one event.
        directory: made when it does not exist.

    Raises:
        OSError: the directory or a file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("positions", "accounts", "marks", "markets", "bankrupt"):
        frame: pl.DataFrame = getattr(frames, name)
        frame.write_parquet(directory / f"{name}.parquet")


class _Purse:
    """Brings money to its unit and remembers what that changed."""

    def __init__(self, rounding: MoneyRounding) -> None:
        self._rounding = rounding
        self.rounded_values = 0
        self.rounding_error = Decimal(0)

    def bring(self, value: Decimal, *, column: str, row: int) -> Decimal:
        """The value as a whole number of 0.000001."""
        mode = _ROUNDINGS.get(self._rounding, ROUND_HALF_EVEN)
        brought = value.quantize(MONEY_UNIT, rounding=mode, context=_EXACT)
        error = abs(_EXACT.subtract(brought, value))
        if error == 0:
            return brought
        if self._rounding is MoneyRounding.REFUSE:
            low = value.quantize(MONEY_UNIT, rounding=ROUND_FLOOR, context=_EXACT)
            raise InputError(
                f"{column}, row {row}: expected a whole number of {MONEY_UNIT} {SETTLEMENT_ASSET}, "
                f"got {value}; the nearest are {low} and {low + MONEY_UNIT}; "
                "name a rounding: nearest, down or up"
            )
        self.rounded_values += 1
        self.rounding_error = max(self.rounding_error, error)
        return brought


def _read_text_columns(path: Path) -> dict[str, list[str]]:
    """The wanted columns as text."""
    if not path.is_file():
        raise InputError(f"{path}: expected a CSV file of ADL fills, got no such file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: expected a CSV file of ADL fills, got {error}") from error
    header = lines[0] if lines else []
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise InputError(
            f"{path.name}: expected the columns {', '.join(COLUMNS)}; "
            f"missing {', '.join(missing)}, got {', '.join(header) or 'none'}"
        )
    rows = [line for line in lines[1:] if line]
    for row, line in enumerate(rows):
        if len(line) != len(header):
            raise InputError(
                f"{path.name}: row {row}: expected {len(header)} values, got {len(line)}"
            )
    places = {name: header.index(name) for name in COLUMNS}
    return {name: [line[place].strip() for line in rows] for name, place in places.items()}


def _words(texts: Sequence[str], column: str, file: str) -> Sequence[str]:
    """A column of names, none of them empty."""
    for row, text in enumerate(texts):
        if not text:
            raise bad_value(table=file, column=column, row=row, value=text, expected="a name")
    return texts


def _money(texts: Sequence[str], column: str, file: str) -> list[Decimal]:
    """A column of money, as many digits as there are."""
    read_numbers(pl.Series(column, texts, dtype=pl.String), table=file)
    return [Decimal(text) for text in texts]


def _quantities(
    texts: Sequence[str], column: str, file: str, *, is_signed: bool = False
) -> list[Decimal]:
    """A column of sizes or prices: at most nine decimals, positive or, where signed, not zero."""
    numbers = read_numbers(pl.Series(column, texts, dtype=pl.String), table=file)
    numbers.fewest_digits()
    if not is_signed:
        numbers.require(positive=True)
    elif not numbers.values.all():
        raise numbers.refuse(int((numbers.values == 0).argmax()), "a position")
    return [Decimal(text) for text in texts]


def _times(texts: Sequence[str], column: str, file: str) -> list[int]:
    """A column of whole milliseconds."""
    numbers = read_numbers(pl.Series(column, texts, dtype=pl.String), table=file)
    return [int(time) for time in numbers.units(Decimal(1))]


def _group(fills: Iterable[AdlFill], *columns: str) -> dict[tuple[str, ...], list[AdlFill]]:
    """Fills by the named attributes, keys and fills in file order."""
    groups: dict[tuple[str, ...], list[AdlFill]] = defaultdict(list)
    for fill in fills:
        groups[tuple(getattr(fill, column) for column in columns)].append(fill)
    return groups


def _refuse_two_sides(holders: Mapping[tuple[str, ...], Sequence[AdlFill]]) -> None:
    """The venue nets positions: a user has one side in a market."""
    for (market, account), fills in holders.items():
        other = next((fill for fill in fills if fill.side != fills[0].side), None)
        if other is not None:
            raise InputError(
                f"position_size, row {other.row}: expected {account} in {market} to be "
                f"{fills[0].side} as in row {fills[0].row}, got {other.position}"
            )


def _decimals(value: Decimal) -> int:
    """Decimals needed to print the value exactly."""
    return max(0, -int(value.normalize(_EXACT).as_tuple().exponent))


def _exact(values: Sequence[Decimal]) -> pl.Series:
    """A decimal column with just the decimals that its values need."""
    scale = max(_decimals(value) for value in values)
    return pl.Series(values, dtype=pl.Decimal(38, scale))


def _unit(*values: Decimal) -> Decimal:
    """The coarsest power of ten, at most one, that all values are whole numbers of."""
    return Decimal(1).scaleb(-max(_decimals(value) for value in values))


def _positions_frame(fills: Sequence[AdlFill]) -> pl.DataFrame:
    """One position a row."""
    return pl.DataFrame(
        {
            "position_id": [f"{fill.market}:{fill.account}" for fill in fills],
            "account": [fill.account for fill in fills],
            "market": [fill.market for fill in fills],
            "side": [fill.side for fill in fills],
            "qty": _exact([abs(fill.position) for fill in fills]),
            "entry_price": _exact([fill.entry_price for fill in fills]),
            "margin_mode": ["cross"] * len(fills),
        }
    )


def _accounts_frame(fills: Sequence[AdlFill], purse: _Purse) -> pl.DataFrame:
    """One account a row, money in whole units."""
    wallets = [
        purse.bring(fill.wallet_balance, column="account_value_realtime", row=fill.row)
        for fill in fills
    ]
    equities = [purse.bring(fill.equity, column="total_equity", row=fill.row) for fill in fills]
    return pl.DataFrame(
        {
            "account": [fill.account for fill in fills],
            "asset": [SETTLEMENT_ASSET] * len(fills),
            "wallet_balance": pl.Series(wallets, dtype=pl.Decimal(38, 6)),
            "equity": pl.Series(equities, dtype=pl.Decimal(38, 6)),
        }
    )


def _marks_frame(fills: Sequence[AdlFill]) -> pl.DataFrame:
    """One market a row: the price its ADL was settled at, which is the previous mark."""
    markets, prices = [fill.market for fill in fills], _exact([fill.price for fill in fills])
    return pl.DataFrame({"market": markets, "mark_price": prices, "previous_mark_price": prices})


def _markets_frame(markets: Mapping[tuple[str, ...], Sequence[AdlFill]]) -> pl.DataFrame:
    """One market a row: the coarsest units that hold every size and price of the event."""
    lots = [min(_unit(f.size, f.position) for f in fills) for fills in markets.values()]
    prices = [min(_unit(f.price, f.entry_price) for f in fills) for fills in markets.values()]
    return pl.DataFrame(
        {
            "market": [market for (market,) in markets],
            "kind": ["linear"] * len(lots),
            "contract_size": ["1"] * len(lots),
            "lot_size": _exact(lots),
            "price_unit": _exact(prices),
            "settle": [SETTLEMENT_ASSET] * len(lots),
        }
    )


def _bankrupt_frame(fills: Iterable[AdlFill]) -> pl.DataFrame:
    """One bankrupt side a row: what the fills add up to was bankrupt on the other side."""
    sums = {key: total_size(cut) for key, cut in _group(fills, "market", "side").items()}
    return pl.DataFrame(
        {
            "market": [market for market, _ in sums],
            "bankrupt_side": [_OPPOSITE[side] for _, side in sums],
            "qty": _exact(list(sums.values())),
        }
    )


def total_size(fills: Iterable[AdlFill]) -> Decimal:
    """Contracts closed by the fills together, exactly."""
    total = Decimal(0)
    for fill in fills:
        total = _EXACT.add(total, fill.size)
    return total
