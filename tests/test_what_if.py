"""What if: the answer equals a ranking of the book in which the change was made by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import deleverage as dl
from deleverage.advice import WhatIf
from deleverage.errors import InputError, VenueError
from deleverage.model.rules import Scope
from deleverage.model.terms import Effect, Hedged
from witness import MARKETS, MARKS, accounts, neutral, positions

ALL = [dl.Venue.load(name) for name in dl.venues()]
EVERY = [venue for venue in ALL if venue.is_ranked]
UNRANKED = [venue for venue in ALL if not venue.is_ranked]
NAMED = pytest.mark.parametrize("venue", EVERY, ids=lambda venue: venue.name)
MONEY = ("margin", "maintenance_margin", "initial_margin", "open_value")
BANKRUPT = ("0", "1", "7.5", "20", "47.01", "100", "167", "1000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """A book as frames of text, and who is neutral."""

    positions: pl.DataFrame
    accounts: pl.DataFrame
    neutral: tuple[str, ...] = ("h", "i")

    def inputs(self) -> dict[str, Any]:
        """What every call takes beside the positions."""
        return {
            "marks": MARKS,
            "accounts": self.accounts,
            "markets": MARKETS,
            "neutral": neutral(self.neutral),
        }


BOOK = Tables(positions=positions(), accounts=accounts())


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One change: how it is asked for, and how it is made by hand.

    Attributes:
        account: who asks.
        lever: its name in an edition.
        asked: the arguments of `what_if`.
        by_hand: makes it in the frames.
        only: the edition that it is asked of, if not every one.
    """

    account: str
    lever: str
    asked: dict[str, Any] = field(default_factory=dict)
    by_hand: Callable[[dl.Venue, Tables], Tables]


def rewritten(
    frame: pl.DataFrame, key: dict[str, Any], **values: Callable[[Fraction], Fraction]
) -> pl.DataFrame:
    """The frame with some numbers of one row replaced, exactly."""
    rows = frame.to_dicts()
    for row in rows:
        if all(row[name] == value for name, value in key.items()):
            for name, change in values.items():
                exact = change(Fraction(str(row[name])))
                row[name] = str(Decimal(exact.numerator) / Decimal(exact.denominator))
    return pl.DataFrame(rows, schema=frame.schema)


def value(book: Tables, account: str, name: str) -> Fraction:
    """A number of an account's long."""
    row = book.positions.row(
        by_predicate=(pl.col("account") == account) & (pl.col("side") == "long"), named=True
    )
    return Fraction(str(row[name]))


def is_pooled(venue: dl.Venue, account: str) -> bool:
    """Whether the edition judges an account's long by the account."""
    is_cross = account in ("c", "d", "f", "h", "j", "k", "m")
    scope = venue.score.scope
    return scope is Scope.ACCOUNT or (scope is Scope.MARGIN_MODE and is_cross)


def lever_lowered(account: str, leverage: int) -> Move:
    """Another setting; the margin of a position with its own follows by what the entry asks."""

    def by_hand(venue: dl.Venue, book: Tables) -> Tables:
        entry = value(book, account, "qty") * value(book, account, "entry_price")
        old = value(book, account, "leverage")
        more = entry / leverage - entry / old
        changes: dict[str, Callable[[Fraction], Fraction]] = {
            "leverage": lambda _: Fraction(leverage),
            "initial_margin": lambda _: entry / leverage,
            "margin": lambda one: one if is_pooled(venue, account) else one + more,
        }
        key = {"account": account, "side": "long"}
        return replace(book, positions=rewritten(book.positions, key, **changes))

    asked = {"leverage": leverage, "side": "long"}
    return Move(account=account, lever="leverage_setting", asked=asked, by_hand=by_hand)


def margin_added(account: str, amount: int) -> Move:
    """More margin, of the position or of its pool."""

    def by_hand(venue: dl.Venue, book: Tables) -> Tables:
        def more(one: Fraction) -> Fraction:
            return one + amount

        if is_pooled(venue, account):
            table = rewritten(book.accounts, {"account": account}, equity=more, wallet_balance=more)
            return replace(book, accounts=table)
        key = {"account": account, "side": "long"}
        return replace(book, positions=rewritten(book.positions, key, margin=more))

    asked = {"add_margin": amount, "side": "long"}
    return Move(account=account, lever="added_margin", asked=asked, by_hand=by_hand)


def half_closed(account: str) -> Move:
    """Half of the position at the mark: its profit goes to the wallet of the pool."""
    size = value(BOOK, account, "qty")

    def by_hand(_: dl.Venue, book: Tables) -> Tables:
        key = {"account": account, "side": "long"}
        half = {name: lambda one: one / 2 for name in ("qty", *MONEY)}
        kept = {"hedged_qty": lambda one: min(one, size / 2)}
        profit = size / 2 * (1000 - value(book, account, "entry_price"))
        freed = value(book, account, "maintenance_margin") / 2
        table = rewritten(
            book.accounts,
            {"account": account},
            wallet_balance=lambda one: one + profit,
            maintenance_margin=lambda one: one - freed,
        )
        book = replace(book, accounts=table)
        return replace(book, positions=rewritten(book.positions, key, **half, **kept))

    asked = {"close": str(Decimal(size.numerator) / 2 / size.denominator), "side": "long"}
    return Move(account=account, lever="part_close", asked=asked, by_hand=by_hand)


def hedged(account: str) -> Move:
    """An opposite position of the same size at the mark, in the same account."""
    size = value(BOOK, account, "qty")
    is_isolated = account in ("a", "b", "e", "g", "i", "l")

    def by_hand(venue: dl.Venue, book: Tables) -> Tables:
        is_alone = is_isolated and venue.score.scope is not Scope.ACCOUNT
        key = {"account": account, "side": "long"}
        row = book.positions.filter(pl.col("account") == account, pl.col("side") == "long")
        leg = row.with_columns(
            pl.lit(99, dtype=pl.UInt64).alias("position_id"),
            pl.lit("short").alias("side"),
            pl.lit("1000").alias("entry_price"),
            pl.lit("0").alias("hedged_qty"),
        )
        book = replace(book, positions=pl.concat([book.positions, leg]))
        if is_alone:
            return book
        more = value(book, account, "maintenance_margin")
        table = rewritten(
            book.accounts, {"account": account}, maintenance_margin=lambda one: one + more
        )
        rows = rewritten(book.positions, key, hedged_qty=lambda _: size)
        names = book.neutral if is_isolated else (*book.neutral, account)
        return Tables(positions=rows, accounts=table, neutral=names)

    asked = {"hedge": str(Decimal(size.numerator) / size.denominator), "side": "long"}
    return Move(account=account, lever="hedge", asked=asked, by_hand=by_hand)


MOVES = (
    *(lever_lowered(name, leverage) for name, leverage in (("a", 5), ("c", 10), ("e", 25))),
    *(margin_added(name, amount) for name, amount in (("a", 600), ("d", 900), ("g", 300))),
    *(half_closed(name) for name in ("a", "c", "e", "f", "m")),
    *(hedged(name) for name in ("a", "c", "d", "e")),
)


def answer(venue: dl.Venue, move: Move) -> WhatIf:
    """What the question gives."""
    return dl.what_if(
        BOOK.positions, account=move.account, venue=venue, **BOOK.inputs(), **move.asked
    )


def closed(venue: dl.Venue, book: Tables, account: str, bankrupt: str) -> Decimal:
    """Contracts of an account that a plan closes for a bankrupt short of another account."""
    if Decimal(bankrupt) == 0:
        return Decimal(0)
    plan = dl.plan(
        book.positions,
        venue=venue,
        market="W",
        bankrupt_side="short",
        qty=bankrupt,
        **book.inputs(),
    )
    mine = plan.fills.filter(pl.col("account") == account)
    return sum(mine["qty_closed"].to_list(), Decimal(0))


@NAMED
def test_the_answer_equals_a_book_changed_by_hand(venue: dl.Venue) -> None:
    """Rank, light, score and cut after each change are those of the changed book, ranked anew."""
    for move in MOVES:
        if venue.eligibility.hedged is Hedged.EXEMPT and move.account == "m":
            continue  # wholly hedged, so that it has no place to ask about
        book = move.by_hand(venue, BOOK)
        ranked = dl.rank(book.positions, venue=venue, **book.inputs())
        row = ranked.row(
            by_predicate=(pl.col("account") == move.account) & (pl.col("side") == "long"),
            named=True,
        )
        found = answer(venue, move)
        after = found.after
        told = (after.rank, after.light, after.score)

        assert told == (row["rank"], row["light"], row["score"]), (move.account, move.lever)
        for bankrupt in BANKRUPT:
            wanted = closed(venue, book, move.account, bankrupt)
            assert found.cut(bankrupt)[1] == wanted, (move.account, move.lever, bankrupt)


@NAMED
@pytest.mark.parametrize("lever", ["leverage_setting", "added_margin", "part_close", "hedge"])
def test_each_lever_has_the_sign_that_the_edition_declares(venue: dl.Venue, lever: str) -> None:
    """A position in profit moves as `levers` says; a lowered setting moves the other way.

    The levers are those of an isolated position, or of an account where the rule's scope is the
    account; a hedge needs a cross one where the edition looks at hedges.
    """
    looks = venue.tiers.neutral or venue.eligibility.hedged is not Hedged.CANDIDATE
    name = "c" if lever == "hedge" and looks and venue.score.scope is not Scope.ACCOUNT else "a"
    moves = {"leverage_setting": lever_lowered(name, 5), "added_margin": margin_added(name, 600)}
    moves |= {"part_close": half_closed(name), "hedge": hedged(name)}
    found = answer(venue, moves[lever])
    declared = getattr(venue.levers, lever)
    turned = {Effect.RAISES: Effect.LOWERS, Effect.LOWERS: Effect.RAISES}

    if lever == "leverage_setting":
        declared = turned.get(declared, declared)
    assert (found.declared, found.conditions) == ({lever: declared}, {})
    if declared is Effect.UNKNOWN:
        assert venue.score.joint_hedge
    else:
        assert found.moved is declared


def bybit(**asked: Any) -> WhatIf:
    """Account a asks under Bybit's newest edition."""
    venue = dl.Venue.load("bybit")
    return dl.what_if(BOOK.positions, account="a", venue=venue, **BOOK.inputs(), **asked)


def test_at_bybit_a_part_close_only_lowers_what_is_at_risk() -> None:
    """Leverage moves the score, a part close keeps it and halves the contracts at risk."""
    part, setting = bybit(close=5), bybit(leverage=5)

    assert part.moved is Effect.NONE
    assert part.before.score == part.after.score
    assert part.at_risk == (Decimal(10), Decimal(5))
    assert setting.moved is Effect.LOWERS
    assert setting.at_risk == (Decimal(10), Decimal(10))
    assert "moves the position away from the cut" in str(setting)


def test_without_a_change_both_are_the_same() -> None:
    """Asking nothing says where the position stands."""
    found = bybit()

    assert found.before == found.after
    assert (found.moved, found.declared) == (Effect.NONE, {})
    assert not any("the change" in line for line in found.effects())


def test_what_is_declared_of_other_positions_says_of_which() -> None:
    """A setting moves an isolated position in profit; of a cross one the edition says nothing."""
    venue, frames = dl.Venue.load("bybit"), BOOK.inputs()

    def asking(account: str, **asked: Any) -> WhatIf:
        return dl.what_if(BOOK.positions, account=account, venue=venue, **frames, **asked)

    cross, own = asking("c", leverage=5), asking("a", leverage=5)

    assert ({"leverage_setting": "isolated"}, {}) == (cross.conditions, own.conditions)
    assert "but only where a position is isolated, which this one is not" in cross.effects()[0]
    assert "but only" not in str(own)
    assert {} == asking("c", hedge=5).conditions
    assert {"hedge": "cross"} == asking("a", hedge=5).conditions


def test_an_edition_that_does_not_look_at_neutral_accounts_says_so() -> None:
    """The wish is noted, and moves nothing."""
    venue = dl.Venue.load("bitmex")
    found = dl.what_if(
        BOOK.positions, account="a", venue=venue, delta_neutral=True, **BOOK.inputs()
    )

    assert "delta_neutral: this edition does not look at it" in found.notes
    assert (found.moved, found.is_changed) == (Effect.NONE, True)


def test_several_changes_are_made_in_the_order_that_is_said() -> None:
    """Half is closed, then the setting lowered, then margin added."""
    venue = dl.Venue.load("bitmex")
    book = BOOK
    for move in (half_closed("a"), lever_lowered("a", 5), margin_added("a", 50)):
        book = move.by_hand(venue, book)
    ranked = dl.rank(book.positions, venue=venue, **book.inputs())
    row = ranked.row(by_predicate=pl.col("account") == "a", named=True)
    found = dl.what_if(
        BOOK.positions,
        account="a",
        close=5,
        leverage=5,
        add_margin=50,
        venue=venue,
        **BOOK.inputs(),
    )

    assert (found.after.rank, found.after.score) == (row["rank"], row["score"])


def test_a_cross_account_is_liquidated_with_all_its_legs() -> None:
    """Account j holds 10 long and 10 short: no price moves it until half the long is closed."""
    venue = dl.Venue.load("kucoin@2025")
    inputs = BOOK.inputs()
    flat = dl.what_if(BOOK.positions, account="j", side="long", venue=venue, **inputs)

    assert flat.before.liquidation_price is None
    assert "maintenance_margin" in flat.before.liquidation_note
    venue = dl.Venue.load("bybit")
    flat = dl.what_if(BOOK.positions, account="j", side="long", close=5, venue=venue, **inputs)
    assert flat.before.liquidation_price is None
    assert "offset each other" in flat.before.liquidation_note
    # Equity 4000, maintenance 85 - 20: 4000 - 5 (P - 1000) = 65 at 1787.
    assert flat.after.liquidation_price == Decimal(1787)


def test_an_account_with_several_positions_is_asked_which() -> None:
    """The error lists them; a side or an id chooses."""
    venue = dl.Venue.load("bitmex")
    with pytest.raises(InputError, match=r"got 2: W long 10 \(position 10\); W short 10"):
        dl.what_if(BOOK.positions, account="j", venue=venue, **BOOK.inputs())
    chosen = dl.what_if(BOOK.positions, account="j", position_id=13, venue=venue, **BOOK.inputs())

    assert chosen.before.side == "short"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"account": "nobody"}, "got 'nobody'"),
        ({"account": "a", "market": "X"}, "market: expected a market that has a mark"),
        ({"account": "a", "side": "both"}, "side: expected long or short"),
        ({"account": "a", "side": "short"}, "with side short, got 'a'"),
        ({"account": "a", "close": 10}, "expected less than the whole position"),
        ({"account": "a", "close": "0.0001"}, "close of W: expected a whole number of 0.001"),
        ({"account": "a", "leverage": 0}, "leverage: expected a number above zero"),
        ({"account": "a", "add_margin": -5}, "add_margin: expected a number above zero"),
        ({"account": "a", "hedge": "1_0"}, "expected a decimal number such as 12.5"),
        ({"account": "a", "delta_neutral": "no"}, "delta_neutral: expected True, False or None"),
    ],
)
def test_a_bad_question_is_one_clear_error(asked: dict[str, Any], words: str) -> None:
    """Unknown names, more than there is, odd numbers: each is refused by name."""
    with pytest.raises(InputError) as error:
        dl.what_if(BOOK.positions, venue=dl.Venue.load("bitmex"), **BOOK.inputs(), **asked)

    assert words in str(error.value)


@pytest.mark.parametrize("venue", UNRANKED, ids=lambda venue: venue.name)
def test_an_edition_that_ranks_nobody_has_no_answer(venue: dl.Venue) -> None:
    """Where nobody stands in a queue, no question about one's place is answered."""
    with pytest.raises(VenueError, match="ranks nobody"):
        dl.what_if(BOOK.positions, account="a", venue=venue, **BOOK.inputs())


def test_a_missing_maintenance_margin_is_asked_for() -> None:
    """Closing a part frees maintenance margin of the account: the position must say how much."""
    book = BOOK.positions.with_columns(
        maintenance_margin=pl.when(pl.col("margin_mode") == "isolated").then("maintenance_margin")
    )
    with pytest.raises(InputError, match="expected a maintenance_margin of the position"):
        dl.what_if(book, account="c", close=1, venue=dl.Venue.load("bybit"), **BOOK.inputs())


def test_one_in_liquidation_reads_so() -> None:
    """A position that is no candidate has no rank to ask about."""
    status = pl.when(pl.col("account") == "a").then(pl.lit("liquidating")).otherwise(pl.lit("open"))
    book = BOOK.positions.with_columns(status=status)
    with pytest.raises(InputError, match="in liquidation itself"):
        dl.what_if(book, account="a", venue=dl.Venue.load("bitmex"), **BOOK.inputs())


def hedging(**more: Any) -> WhatIf:
    """Account c, 30 cross contracts, hedges under Bybit's edition with a delta-neutral tier."""
    venue = dl.Venue.load("bybit@2026-03")
    return dl.what_if(
        BOOK.positions, account="c", venue=venue, **BOOK.inputs(), **({"hedge": 12} | more)
    )


def test_a_partial_hedge_is_neutral_only_where_the_caller_says_so() -> None:
    """No delta left is neutral by any limit; more than none is the venue's to judge."""
    partial, told, whole = hedging(), hedging(delta_neutral=True), hedging(hedge=30)

    assert [one.after.tier for one in (partial, told, whole)] == [0, 1, 1]
    assert "pass delta_neutral=" in partial.notes[0]
    assert told.notes == ()
    assert "no delta is left" in whole.notes[0]


def test_an_isolated_position_is_not_hedged_by_another() -> None:
    """Nothing moves, and the answer says why."""
    found = bybit(hedge=10)

    assert found.moved is Effect.NONE
    assert "an isolated position is not offset" in found.notes[0]


def test_a_setting_does_not_move_who_is_judged_on_his_account() -> None:
    """Cross: the account's equity stays, whatever the setting is."""
    venue = dl.Venue.load("bybit")
    found = dl.what_if(BOOK.positions, account="c", leverage=5, venue=venue, **BOOK.inputs())

    assert found.moved is Effect.NONE
    assert "whose equity stays" in found.notes[0]


ROWS = st.tuples(st.integers(1, 12), st.integers(1, 400), st.integers(1, 90))


@given(st.lists(ROWS, min_size=2, max_size=7), st.integers(2, 12), st.data())
def test_a_part_close_takes_the_lower_share_of_every_amount(
    rows: list[tuple[int, int, int]], size: int, data: st.DataObject
) -> None:
    """Indivisible amounts and ties: floor(amount x closed / size) leaves with the part."""
    part = data.draw(st.integers(1, size - 1))
    entry, margin = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 90))
    frame: dict[str, list[Any]] = {
        "account": [f"t{row}" for row in range(len(rows))] + ["me"],
        "market": ["M"] * (len(rows) + 1),
        "side": ["short"] * (len(rows) + 1),
        "qty": [lots for lots, _, _ in rows] + [size],
        "entry_value": [value for _, value, _ in rows] + [entry],
        "margin": [own for _, _, own in rows] + [margin],
    }
    left = {
        "qty": size - part,
        "entry_value": entry - entry * part // size,
        "margin": margin - margin * part // size,
    }
    by_hand = {name: [*values[:-1], left.get(name, values[-1])] for name, values in frame.items()}
    markets = {
        "market": ["M"],
        "kind": ["linear"],
        "money_unit": ["1"],
        "lot_size": ["1"],
        "price_unit": ["1"],
    }
    asked: dict[str, Any] = {
        "marks": {"M": "20"},
        "venue": dl.Venue.load("bitmex"),
        "markets": markets,
    }
    assume(left["entry_value"] > 0)
    row = dl.rank(by_hand, **asked).row(-1, named=True)
    after = dl.what_if(frame, account="me", close=part, **asked).after

    assert (after.rank, after.light, after.score) == (row["rank"], row["light"], row["score"])
    assert str(after.reason) == row["reason"]
