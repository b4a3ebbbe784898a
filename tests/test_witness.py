"""The witness book under every edition: where orders differ, why some are equal, what levers do."""

from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations

import polars as pl
import pytest

from deleverage.errors import VenueError
from deleverage.model.parts import Conditions
from deleverage.model.rules import Scope
from deleverage.model.terms import Effect, Hedged
from deleverage.venue import Venue, venues
from witness import accounts, order, positions, ranked


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Editions that order every book alike.

    Attributes:
        why: why they do.
        order: of the witness book: longs, then shorts; a capital is a hedged part by itself.
        editions: their names.
    """

    why: str
    order: str
    editions: tuple[str, ...]


FAMILIES = (
    Family(
        why="return x mark value / own margin balance, which BitMEX printed and others took over; "
        "Deepcoin's notional / (margin + pnl) is the same fraction",
        order="jbhimakdlcegf qpjr",
        editions=(
            "bitmex",
            "bybit@2020",
            "deepcoin",
            "delta-exchange",
            "mexc",
            "onus-pro",
            "phemex",
            "sat-is",
            "satori",
            "venkate",
        ),
    ),
    Family(
        why="BitMEX's formula without hedged parts, so m has no place",
        order="jbhiakdlcegf qpjr",
        editions=("bingx",),
    ),
    Family(
        why="return x maintenance margin / equity by margin mode, or divided by its inverse, which "
        "is the same; losses the other way",
        order="ijdbaclehmgf qprj",
        editions=(
            "blofin",
            "bybit@2025",
            "bybit@2025-09",
            "bybit@2025-11",
            "bybit@2026-01",
            "gate@2025",
            "grvt",
            "htx",
            "okx@2020",
            "okx@2025-03",
            "sunx",
        ),
    ),
    Family(
        why="the same with delta-neutral cross accounts behind, so h goes last",
        order="ijdbaclemgfh qprj",
        editions=("bitget@2025-09", "bybit@2026-03"),
    ),
    Family(
        why="the same by account only, with hedged parts last",
        order="lijdbcaegfhHm qprj",
        editions=("okx@2026",),
    ),
    Family(
        why="return x notional / equity by margin mode",
        order="jbialdmechgf qpjr",
        editions=("generic", "kucoin@2025", "xxkk"),
    ),
    Family(
        why="the same with delta-neutral cross accounts behind",
        order="jbialdmecgfh qpjr",
        editions=("okx@2025-11",),
    ),
    Family(
        why="the same, but equity is floored by maintenance margin, so k stands first",
        order="kjbialdmechgf qpjr",
        editions=("bluefin",),
    ),
    Family(
        why="pnl on mark value x notional / equity, which is pnl / equity, losers too",
        order="jialbdemchgf pqrj",
        editions=("ondo",),
    ),
    Family(
        why="pnl / equity of winners only; the two types differ in price and completion",
        order="jialbdemch pqrj",
        editions=("strike-type1", "strike-type2"),
    ),
    Family(
        why="positive pnl on wallet x maintenance margin / equity; both legs of j share one pnl",
        order="ijedalcbmhgfk jqpr",
        editions=("binance-coinm", "binance-usdm", "binance@2019-06", "binance@2019-09"),
    ),
    Family(
        why="the same with delta-neutral accounts behind",
        order="ijedalcbmgfkh jqpr",
        editions=("binance@2026-01",),
    ),
    Family(
        why="Binance's formula, each leg of j on its own",
        order="ijedalcbmhgfk qjpr",
        editions=("aster",),
    ),
    Family(
        why="Binance's formula by account only, without who has no equity",
        order="lijedabcmhgf qjpr",
        editions=("aevo",),
    ),
    Family(
        why="absolute pnl x notional / account equity: size counts",
        order="ejacmidhblgf qjpr",
        editions=("cube",),
    ),
    Family(
        why="absolute pnl x leverage setting: size counts",
        order="mchieajdkblfg qrpj",
        editions=("gate@2022",),
    ),
    Family(
        why="return alone, without leverage",
        order="bjhimakdclegf rpjq",
        editions=("gate@old", "kucoin-cross"),
    ),
    Family(
        why="entry price alone, which orders as return does, but larger m does not pass a on a tie",
        order="bjhiamkdclegf rpjq",
        editions=("dango",),
    ),
    Family(
        why="return x leverage setting, losers all at zero",
        order="ihjbmadklcegf rqpj",
        editions=("bitget@2025-H1",),
    ),
    Family(
        why="pnl on initial margin x leverage setting: leverage counts twice",
        order="ildchkemajbfg qrpj",
        editions=("kucoin@old",),
    ),
    Family(
        why="price ratio x open value / margin: leverage dominates, losers are not set apart",
        order="lgediakhmcjfb qjpr",
        editions=("coinex",),
    ),
    Family(
        why="price ratio x notional / equity of winners, the ratio turned for shorts",
        order="eldaijcbmh qpjr",
        editions=("hyperliquid",),
    ),
    Family(
        why="the same with the ratio as printed: shorts that gained most go behind",
        order="eldaijcbmh qjpr",
        editions=("hyperliquid-literal",),
    ),
    Family(
        why="notional / account equity of winners, by published tie keys",
        order="eldicajbmh qjpr",
        editions=("ethereal",),
    ),
)

CLONES = {
    frozenset(
        {"bitmex", "delta-exchange", "mexc", "onus-pro", "venkate"}
    ): "clones of BitMEX that publish the same formula, price, trigger and completion",
    frozenset(
        {"binance-coinm", "binance-usdm"}
    ): "one page for both lines; the wallet floor is one coin or one USDT",
    frozenset(
        {"gate@old", "kucoin-cross"}
    ): "both publish the return alone and the fund's shortfall as the trigger",
    frozenset(
        {"kucoin@2025", "xxkk"}
    ): "both publish the same formula and a fund that is short; their indicators differ",
    frozenset(
        {"phemex", "satori"}
    ): "both publish a fund that is short and the bankruptcy price; the formula is BitMEX's",
}
"""Editions of one family that agree in trigger, stop, price and allocation too, and why."""

EVERY = [venue for name in venues() if (venue := Venue.load(name)).is_ranked]


def test_every_edition_belongs_to_one_family() -> None:
    """The table of orders names each shipped edition that ranks anybody exactly once."""
    named = [name for family in FAMILIES for name in family.editions]

    assert sorted(named) == [venue.name for venue in EVERY]


@pytest.mark.parametrize("name", sorted({*venues()} - {venue.name for venue in EVERY}))
def test_an_edition_without_a_ranking_rule_ranks_nobody(name: str) -> None:
    """To rank by such an edition is refused, and the message names the rule that it has."""
    venue = Venue.load(name)

    with pytest.raises(
        VenueError, match=rf"{name}: rank: .*\(allocation: {venue.allocation.policy}"
    ):
        order(venue)


def test_families_differ_in_order() -> None:
    """No two families order the witness book alike: a rule that is another one shows."""
    orders = [family.order for family in FAMILIES]

    assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.editions[0])
def test_editions_of_a_family_order_the_witness_book_alike(family: Family) -> None:
    """Each edition gives its family's order of the witness book."""
    orders = {name: order(Venue.load(name)) for name in family.editions}

    assert orders == dict.fromkeys(family.editions, family.order)


def conditions(group: Conditions) -> object:
    """What a trigger or a stop says, without its sources."""
    return group.combine, tuple(
        sorted((one.kind, one.bound, repr(one.numbers), one.required) for one in group.conditions)
    )


def behaviour(venue: Venue) -> object:
    """What an edition does besides ordering: trigger, stop, price, allocation."""
    price, allocation = venue.price, venue.allocation
    return (
        conditions(venue.trigger),
        conditions(venue.stop),
        (price.kind, price.convention, repr(price.numbers), price.required),
        (allocation.completion, allocation.cut_scope, allocation.rerank),
    )


def test_editions_that_agree_in_all_are_declared() -> None:
    """Two editions of one family differ in trigger, stop, price or allocation, or are clones."""
    alike = {
        frozenset({first, second})
        for family in FAMILIES
        for first, second in combinations(family.editions, 2)
        if behaviour(Venue.load(first)) == behaviour(Venue.load(second))
    }
    declared = {frozenset(pair) for group in CLONES for pair in combinations(sorted(group), 2)}

    assert alike == declared


# The levers: a trader s in profit, between two others who score a little more and a little less.


@dataclass(frozen=True, slots=True, kw_only=True)
class Trader:
    """One long, and the account that holds it; contracts and USDT at a mark of 1000."""

    name: str
    qty: Decimal
    entry_price: Decimal
    leverage: Decimal
    margin: Decimal
    maintenance_margin: Decimal
    initial_margin: Decimal
    open_value: Decimal
    equity: Decimal
    wallet: Decimal
    maintenance: Decimal
    hedged: bool = False
    is_cross: bool = False


def trader(name: str, entry_price: int, more: str) -> Trader:
    """A trader in profit; `more` scales what makes a score higher, and divides its opposite."""
    scale = Decimal(more)
    return Trader(
        name=name,
        qty=Decimal(8),
        entry_price=Decimal(entry_price),
        leverage=6 * scale,
        margin=1000 - 1000 * (scale - 1),
        maintenance_margin=40 * scale,
        initial_margin=1000 - 1000 * (scale - 1),
        open_value=6000 * scale,
        equity=6000 - 6000 * (scale - 1),
        wallet=4000 - 4000 * (scale - 1),
        maintenance=40 * scale,
    )


SUBJECT = trader("s", 745, "1")
RIVALS = (trader("t", 744, "1.01"), trader("u", 746, "0.99"))


def is_shared(venue: Venue) -> bool:
    """Whether the edition judges the trader by his account."""
    return venue.score.scope is Scope.ACCOUNT


def setting_raised(one: Trader, venue: Venue) -> Trader:
    """Twice the leverage setting: half the margin, where the margin is the position's own."""
    del venue  # an account's equity stays as it is
    margin, initial = one.margin / 2, one.initial_margin / 2
    return replace(one, leverage=2 * one.leverage, margin=margin, initial_margin=initial)


def margin_added(one: Trader, venue: Venue) -> Trader:
    """Half as much margin again, of the position or of the account."""
    if is_shared(venue):
        return replace(one, equity=one.equity * 3 / 2, wallet=one.wallet + one.equity / 2)
    return replace(one, margin=one.margin * 3 / 2)


def resized(one: Trader, times: Decimal) -> Trader:
    """The position so many times as large: its margins and the account's maintenance follow."""
    return replace(
        one,
        qty=one.qty * times,
        margin=one.margin * times,
        maintenance_margin=one.maintenance_margin * times,
        initial_margin=one.initial_margin * times,
        open_value=one.open_value * times,
        maintenance=one.maintenance * times,
    )


def half_closed(one: Trader, venue: Venue) -> Trader:
    """Half is closed at the mark: half of the profit goes to the wallet, equity stays."""
    del venue
    realised = one.qty * (1000 - one.entry_price) / 2
    return replace(resized(one, Decimal("0.5")), wallet=one.wallet + realised)


def doubled(one: Trader, venue: Venue) -> Trader:
    """Twice the position at the same entry."""
    del venue
    return resized(one, Decimal(2))


def hedged(one: Trader, venue: Venue) -> Trader:
    """An opposite position of the same size in the same account: its maintenance margin doubles."""
    del venue
    return replace(one, hedged=True, maintenance=2 * one.maintenance)


LEVERS = {
    "leverage_setting": setting_raised,
    "added_margin": margin_added,
    "part_close": half_closed,
    "hedge": hedged,
    "size": doubled,
}


def rows_of(one: Trader) -> list[dict[str, object]]:
    """The trader's positions: the long, and the short that hedges it, opened at the mark."""
    shared = {
        "account": one.name,
        "market": "W",
        "margin_mode": "cross" if one.is_cross else "isolated",
        "qty": one.qty,
        "leverage": one.leverage,
        "margin": one.margin,
        "maintenance_margin": one.maintenance_margin,
        "initial_margin": one.initial_margin,
        "open_value": one.open_value,
        "hedged_qty": one.qty if one.hedged else Decimal(0),
    }
    number = 100 + 2 * "stu".index(one.name)
    rows = [shared | {"position_id": number, "side": "long", "entry_price": one.entry_price}]
    if one.hedged:
        rows.append(
            shared | {"position_id": number + 1, "side": "short", "entry_price": Decimal(1000)}
        )
    return rows


def lever_book(venue: Venue, subject: Trader) -> pl.DataFrame:
    """The witness book with the subject and the two rivals, ranked."""
    traders = [replace(one, is_cross=subject.is_cross) for one in RIVALS] + [subject]
    texts = [
        {name: v if isinstance(v, int) else f"{v}" for name, v in row.items()}
        for one in traders
        for row in rows_of(one)
    ]
    book = positions()
    more = pl.DataFrame(texts).cast({"position_id": pl.UInt64}).select(book.columns)
    table = accounts()
    pools = [
        {
            "account": one.name,
            "asset": "USDT",
            "equity": f"{one.equity}",
            "wallet_balance": f"{one.wallet}",
            "maintenance_margin": f"{one.maintenance}",
            "created_at": f"{number}",
        }
        for number, one in enumerate(traders)
    ]
    neutral = ("h", "i", "s") if subject.hedged else ("h", "i")
    return ranked(
        venue,
        pl.concat([book, more]),
        pl.concat([table, pl.DataFrame(pools).select(table.columns)]),
        neutral,
    )


def standing(venue: Venue, subject: Trader) -> tuple[int, float | None]:
    """The subject's rank (behind all where he has none) and score among the witness book."""
    frame = lever_book(venue, subject)
    row = frame.row(by_predicate=pl.col("position_id") == 100, named=True)
    behind = frame.filter(pl.col("side") == "long").height + 1
    return (behind if row["rank"] is None else row["rank"]), row["score"]


@pytest.mark.parametrize("lever", LEVERS)
@pytest.mark.parametrize("venue", EVERY, ids=lambda venue: venue.name)
def test_a_lever_moves_the_rank_as_the_edition_says(venue: Venue, lever: str) -> None:
    """`raises` overtakes the one before, `lowers` falls behind the next, `none` moves nothing."""
    # An isolated position never counts as neutral: there only a cross one can be hedged.
    by_cross = lever == "hedge" and venue.tiers.neutral and not is_shared(venue)
    before = replace(SUBJECT, is_cross=by_cross)
    place, score = standing(venue, before)
    moved, changed = standing(venue, LEVERS[lever](before, venue))

    match getattr(venue.levers, lever):
        case Effect.RAISES:
            assert moved < place
        case Effect.LOWERS:
            assert moved > place
        case Effect.NONE:
            assert (moved, changed) == (place, pytest.approx(score, rel=1e-9))
        case _:
            assert lever == "hedge"
            assert venue.score.joint_hedge


@pytest.mark.parametrize("venue", EVERY, ids=lambda venue: venue.name)
def test_the_subject_stands_between_his_rivals(venue: Venue) -> None:
    """The lever book is sharp: under each edition t stands before s, and u behind."""
    frame = lever_book(venue, SUBJECT).filter(pl.col("side") == "long")
    places = dict(frame.select("account", "rank").iter_rows())

    assert places["t"] < places["s"] < places["u"]


def test_only_exempt_editions_keep_a_hedged_position_out() -> None:
    """A wholly hedged position has no place exactly where hedged parts are exempt."""
    without = []
    for venue in EVERY:
        frame = ranked(venue)
        row = frame.row(by_predicate=pl.col("position_id") == 17, named=True)
        if row["rank"] is None:
            without.append(venue.name)
    exempt = [venue.name for venue in EVERY if venue.eligibility.hedged is Hedged.EXEMPT]

    assert without == exempt
