"""Published Hyperliquid fills: read exactly, grouped by block, checked by arithmetic alone."""

import csv
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.errors import InputError
from deleverage.interop.hyperliquid import (
    COLUMNS,
    AdlFill,
    Event,
    MoneyRounding,
    event_frames,
    read_fills,
    split_events,
    write_frames,
)
from deleverage.interop.hyperliquid_check import check_event

# One raw fill of 2025-10-10 as the venue's node wrote it (block 758800641); cash and equity are
# those an analyst rebuilt: sums of doubles.
RAW = {
    "user": "0xe92d2041199b18f611b137457f3acee8bedb22d3",
    "coin": "AVAX",
    "time": "1760130964831",
    "adl_price": "22.075",
    "adl_size": "28.53",
    "closed_pnl": "194.275035",
    "position_size": "-28.53",
    "entry_price": "28.885",
    "account_value_realtime": "33825.05224899998",
    "total_equity": "34217.710638999975",
}


def made(row: int = 1, **changes: str) -> AdlFill:
    """A fill without a file: a short of 10 at 50, closed at 40, profit 100."""
    values = {
        "account": "u1",
        "market": "SOL",
        "time_ms": 1_000,
        "price": "40",
        "size": "10",
        "realised": "100",
        "position": "-10",
        "entry_price": "50",
        "wallet_balance": "5",
        "equity": "105",
    } | changes
    words = {"account", "market", "time_ms"}
    return AdlFill(row=row, **{n: v if n in words else Decimal(v) for n, v in values.items()})


def event_of(*fills: AdlFill) -> Event:
    """The fills as one event."""
    (event,) = split_events(fills)
    return event


def written(
    path: Path, rows: Sequence[Mapping[str, str]], columns: Sequence[str] = COLUMNS
) -> Path:
    """Rows as a CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_numbers_are_read_as_they_are_printed(tmp_path: Path) -> None:
    """Every number of a fill is the decimal that the file prints, and extra columns are left."""
    rows = [RAW | {"seq": "1", "leverage_realtime": "0.01"}]
    path = written(tmp_path / "fills.csv", rows, ["seq", *COLUMNS, "leverage_realtime"])

    (fill,) = read_fills(path)

    assert (RAW["user"], "AVAX", "short", 1_760_130_964_831, 0) == (
        fill.account,
        fill.market,
        fill.side,
        fill.time_ms,
        fill.row,
    )
    printed = [fill.price, fill.size, fill.realised, fill.position, fill.entry_price]
    names = ["adl_price", "adl_size", "closed_pnl", "position_size", "entry_price"]
    assert [RAW[name] for name in names] == [str(number) for number in printed]
    assert Decimal("34217.710638999975") == fill.equity


def test_small_sizes_in_exponent_notation_stay_exact(tmp_path: Path) -> None:
    """A size that a double prints as 7e-05 is 0.00007 contracts."""
    rows = [RAW | {"adl_size": "7e-05", "position_size": "-7e-05"}]

    (fill,) = read_fills(written(tmp_path / "fills.csv", rows))
    frames = event_frames(event_of(fill), rounding=MoneyRounding.NEAREST)

    assert [Decimal("0.00007")] == frames.bankrupt["qty"].to_list()


def test_an_event_becomes_the_frames_of_the_contract() -> None:
    """Positions, accounts, marks and the bankrupt quantity carry just what was published."""
    event = event_of(
        made(1),
        made(2, account="u2", size="2.5", position="-4", equity="-1"),
        made(3, market="BTC", position="3", size="3"),
    )

    frames = event_frames(event)

    assert [
        ("SOL:u1", "u1", "SOL", "short", Decimal(10), Decimal(50), "cross"),
        ("SOL:u2", "u2", "SOL", "short", Decimal(4), Decimal(50), "cross"),
        ("BTC:u1", "u1", "BTC", "long", Decimal(3), Decimal(50), "cross"),
    ] == frames.positions.rows()
    assert [("u1", "USDC", Decimal(5), Decimal(105)), ("u2", "USDC", Decimal(5), Decimal(-1))] == (
        frames.accounts.rows()
    )
    assert [("SOL", Decimal(40), Decimal(40)), ("BTC", Decimal(40), Decimal(40))] == (
        frames.marks.rows()
    )
    assert [("SOL", "long", Decimal("12.5")), ("BTC", "short", Decimal(3))] == (
        frames.bankrupt.rows()
    )
    assert (3, 3, 2, 2, 1) == (
        frames.report.fills,
        frames.report.positions,
        frames.report.accounts,
        frames.report.markets,
        frames.report.without_equity,
    )


def test_units_hold_every_size_and_price() -> None:
    """A market's lot divides the cuts as well as the positions, its price unit every price."""
    event = event_of(made(1, size="9.5", price="40.25"), made(2, market="BTC", price="1e2"))

    frames = event_frames(event)

    assert [("SOL", Decimal("0.1"), Decimal("0.01")), ("BTC", Decimal(1), Decimal(1))] == (
        frames.markets.select("market", "lot_size", "price_unit").rows()
    )


def test_cuts_of_one_user_in_one_event_are_one_position() -> None:
    """Several fills of one user and market are one position: largest size, cuts added."""
    event = event_of(
        made(1, size="4", position="-4", equity="40"),
        made(2, size="6", position="-10", equity="100"),
    )

    frames = event_frames(event)

    assert [Decimal(10)] == frames.positions["qty"].to_list()
    assert [Decimal(10)] == frames.bankrupt["qty"].to_list()
    assert 1 == frames.report.merged_fills


def test_the_first_equity_of_a_user_is_kept_and_the_others_reported() -> None:
    """Where one event prints several equities of a user, the first in file order stands."""
    event = event_of(made(1, equity="40"), made(2, market="ETH", equity="100"))

    frames = event_frames(event)

    assert [Decimal(40)] == frames.accounts["equity"].to_list()
    assert (1, Decimal(60)) == (frames.report.equity_conflicts, frames.report.equity_spread)


def test_the_first_price_of_a_market_is_its_mark() -> None:
    """Where one event prints several prices of a market, the first stands and it is reported."""
    frames = event_frames(event_of(made(1), made(2, account="u2", price="41")))

    assert [("SOL", Decimal(40), Decimal(40))] == frames.marks.rows()
    assert 1 == frames.report.price_conflicts


def test_blocks_are_events_of_their_own() -> None:
    """One user cut at two times is in two events, earliest first, never merged."""
    late, early = made(1, time_ms=2_000), made(2)

    events = split_events([late, early])

    assert [(1_000, (early,)), (2_000, (late,))] == [(e.time_ms, e.fills) for e in events]


def test_money_is_rounded_only_when_asked() -> None:
    """A value between two units is refused with its column, row and neighbours."""
    event = event_of(made(3, equity="34217.710638999975"))

    with pytest.raises(InputError) as refused:
        event_frames(event)

    message = str(refused.value)
    for part in ("total_equity", "row 3", "34217.710638 and 34217.710639", "nearest, down or up"):
        assert part in message


@pytest.mark.parametrize(
    ("rounding", "equity", "error"),
    [
        (MoneyRounding.NEAREST, "-1.000000", "4E-7"),
        (MoneyRounding.DOWN, "-1.000001", "6E-7"),
        (MoneyRounding.UP, "-1.000000", "4E-7"),
    ],
)
def test_an_asked_rounding_is_reported(rounding: MoneyRounding, equity: str, error: str) -> None:
    """The named rounding is used, also below zero, and the report says how much it changed."""
    frames = event_frames(event_of(made(equity="-1.0000004")), rounding=rounding)

    assert [Decimal(equity)] == frames.accounts["equity"].to_list()
    assert (1, Decimal(error)) == (frames.report.rounded_values, frames.report.rounding_error)


def test_frames_are_written_as_they_are(tmp_path: Path) -> None:
    """The five Parquet files hold the five frames, decimals included."""
    frames = event_frames(event_of(made()))

    write_frames(frames, tmp_path / "new" / "folder")

    for name in ("positions", "accounts", "marks", "markets", "bankrupt"):
        stored = pl.read_parquet(tmp_path / "new" / "folder" / f"{name}.parquet")
        assert getattr(frames, name).equals(stored)
        assert getattr(frames, name).schema == stored.schema


def test_a_header_alone_is_no_event(tmp_path: Path) -> None:
    """A file without rows has no fills and no events."""
    fills = read_fills(written(tmp_path / "fills.csv", []))

    assert ((), ()) == (fills, split_events(fills))


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("adl_size", "", "expected a decimal number, got ''"),
        ("adl_size", "ten", "expected a decimal number, got 'ten'"),
        ("adl_size", "1_000", "expected a decimal number, got '1_000'"),
        ("adl_size", "0", "expected a number above zero, got '0'"),
        ("adl_size", "-1", "expected a number above zero, got '-1'"),
        ("adl_size", "0.30000000000000004", "expected a whole number of 0.000000001"),
        ("adl_price", "NaN", "expected a decimal number, got 'NaN'"),
        ("entry_price", "inf", "expected a decimal number, got 'inf'"),
        ("position_size", "0.0", "expected a position, got '0.0'"),
        ("total_equity", "1e400000", "expected a decimal number"),
        ("time", "1760130964831.5", "expected a whole number of 1"),
        ("user", " ", "expected a name, got ''"),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, column: str, value: str, complaint: str) -> None:
    """A value that its column cannot hold is refused with file, column and row."""
    path = written(tmp_path / "fills.csv", [RAW, RAW | {column: value}])

    with pytest.raises(InputError) as refused:
        read_fills(path)

    assert str(refused.value).startswith(f"fills.csv: column {column}, row 1: {complaint}")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """A file without a needed column is refused with what is missing and what is there."""
    columns = [name for name in COLUMNS if name != "total_equity"]
    path = written(tmp_path / "fills.csv", [RAW], columns)

    with pytest.raises(InputError, match=r"missing total_equity, got user, coin"):
        read_fills(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "got none"),
        (b"\xff\xfe\x00", "expected a CSV file"),
        (b'user,"coin\n', "expected a CSV file"),
        (",".join(COLUMNS).encode() + b"\n1,2,3\n", "row 0: expected 10 values, got 3"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    """An empty, binary, broken or ragged file is refused in one line."""
    path = tmp_path / "fills.csv"
    path.write_bytes(content)

    with pytest.raises(InputError, match=complaint):
        read_fills(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A path without a file, or of a folder, is bad input and no crash."""
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(InputError, match="no such file"):
            read_fills(path)


def test_two_sides_of_one_user_are_refused() -> None:
    """The venue nets positions, so long and short of one user in one event are an error."""
    event = event_of(made(1), made(2, position="10"))

    with pytest.raises(InputError, match=r"row 2: expected u1 in SOL to be short as in row 1"):
        event_frames(event)


def test_the_raw_fill_follows_from_its_prices(tmp_path: Path) -> None:
    """The venue's own fill differs by exactly what half a unit of its entry price can cause."""
    (check,) = check_event(event_of(*read_fills(written(tmp_path / "fills.csv", [RAW]))))

    assert (1, 1, ()) == (check.full_closes, check.agreeing, check.deviations)


def test_a_profit_that_does_not_follow_is_listed() -> None:
    """A full close beyond half a unit of its entry price is listed, largest first."""
    event = event_of(
        made(1, realised="100.0050"),
        made(2, account="u2", realised="100.0051"),
        made(3, account="u3", realised="90"),
        made(4, account="u4", realised="0", size="1"),
    )

    (check,) = check_event(event)

    assert (3, 1) == (check.full_closes, check.agreeing)
    assert [(3, Decimal(-10)), (2, Decimal("0.0051"))] == [
        (found.fill.row, found.deviation) for found in check.deviations
    ]
    assert Decimal("0.005") == check.deviations[0].tolerance


def test_whole_prices_are_exact_to_one() -> None:
    """An entry price of six digits is whole, so half of one is all that rounding can cause."""
    event = event_of(
        made(1, price="108416", entry_price="116332", realised="79161", size="10"),
        made(2, account="u2", price="108416", entry_price="116332", realised="79166"),
    )

    (check,) = check_event(event)

    assert [2] == [found.fill.row for found in check.deviations]


def test_sums_are_counted_in_lots() -> None:
    """Sizes add up in whole lots and are met or not, never nearly."""
    event = event_of(made(1, size="28.53", position="-28.53"), made(2, account="u2", size="0.1"))

    (met,) = check_event(event, published={"SOL": Decimal("28.63")})
    (missed,) = check_event(event, published={"SOL": Decimal("28.630001")})
    (unknown,) = check_event(event)

    assert (Decimal("0.01"), 2_863, Decimal("28.63")) == (met.lot, met.lots, met.qty)
    assert (True, False, None) == (met.is_total_met, missed.is_total_met, unknown.is_total_met)


def test_a_cut_beyond_the_position_is_found() -> None:
    """A fill larger than its position, or fills larger together, are listed by row."""
    event = event_of(
        made(1, size="11"),
        made(2, account="u2", size="6"),
        made(3, account="u2", size="5"),
        made(4, account="u3"),
    )

    (check,) = check_event(event)

    assert (1, 3) == check.over_cut


def test_sides_are_checked_apart() -> None:
    """Longs and shorts of one market that are cut in one event make two checks."""
    checks = check_event(event_of(made(1), made(2, account="u2", position="10", realised="-100")))

    assert [("SOL", "short", 0), ("SOL", "long", 0)] == [
        (check.market, check.side, len(check.deviations)) for check in checks
    ]


@given(
    cuts=st.lists(
        st.tuples(
            st.sampled_from(["u1", "u2", "u3"]),
            st.sampled_from(["SOL", "BTC"]),
            st.integers(1, 10**9),
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_nothing_is_lost_or_counted_twice(cuts: list[tuple[str, str, int, int]]) -> None:
    """The bankrupt quantity is the sum of the sizes, and ids are unique, whatever the fills."""
    fills = [
        made(
            row,
            account=account,
            market=market,
            size=str(Decimal(size).scaleb(-places)),
            position=str(-Decimal(size).scaleb(-places)),
        )
        for row, (account, market, size, places) in enumerate(cuts, start=1)
    ]

    frames = event_frames(event_of(*fills))

    total = sum((fill.size for fill in fills), Decimal(0))
    assert total == sum(frames.bankrupt["qty"].to_list(), Decimal(0))
    assert frames.positions["position_id"].n_unique() == frames.positions.height
    assert {fill.account for fill in fills} == set(frames.accounts["account"])
    assert len(fills) - frames.report.merged_fills == frames.positions.height
