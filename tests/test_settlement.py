"""Settlement: what is booked, who pays, and that the books of every event add to zero."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.backstop.bankruptcy import Bankruptcy, Rounding, gain_of
from deleverage.backstop.prices import SettlementPrice, price_by_edition
from deleverage.backstop.settlement import (
    Bankrupt,
    Book,
    Cut,
    Posting,
    Settlement,
    Terms,
    check_balanced,
    offset_size,
    settle,
    split_basis,
)
from deleverage.errors import InputError, InvariantError, StateError, VenueError
from deleverage.model.scales import MarketScale
from deleverage.model.terms import Cancelled, Fee, Payer, PriceKind
from deleverage.venue import Venue, venues
from test_settlement_price import EVERYTHING

FEES = [fee for fee in Fee if fee is not Fee.UNPUBLISHED]
VALUES = st.fractions(min_value=-1000, max_value=10**6, max_denominator=10**4)


def scale_of(kind: str = "linear", *, market: str = "ETH-PERP") -> MarketScale:
    """A market in cents: one lot is 0.1 contract, a price unit 0.01."""
    return MarketScale(
        market=market,
        kind=kind,
        contract_size=Decimal(1),
        lot_size=Decimal("0.1"),
        price_unit=Decimal("0.01"),
        money_unit=Decimal("0.01"),
        mark_price=Decimal(1),
        mark_num=1,
        mark_den=1,
        settle="USDT",
    )


def terms_of(kind: str = "linear", **changes: Any) -> Terms:
    """The plainest terms, with changes."""
    terms = Terms(
        scale=scale_of(kind),
        deleveraged=Fee.NONE,
        liquidated=Fee.NONE,
        cancelled=Cancelled.ALL,
        difference=Payer.NOBODY,
    )
    return replace(terms, **changes)


def at(lot_value: Fraction | int, kind: PriceKind = PriceKind.MARK) -> SettlementPrice:
    """A price of one lot."""
    reason = f"{kind.value} price"
    return SettlementPrice(rule=kind, kind=kind, lot_value=Fraction(lot_value), reason=reason)


def cut(name: str, lots: int, closed: int, entry_value: int = 0, **more: Any) -> Cut:
    """A position of the queue, its owner named like it."""
    return Cut(
        position_id=name, account=name, lots=lots, entry_value=entry_value, closed=closed, **more
    )


def sums(postings: Sequence[Posting], *books: Book) -> dict[str, int]:
    """What each owner's books got."""
    found: Counter[str] = Counter()
    for posting in postings:
        if posting.book in books:
            found[posting.owner] += posting.amount
    return dict(found)


@st.composite
def events(draw: Any) -> tuple[list[Cut], Bankrupt, SettlementPrice, Terms]:
    """An event of either kind and side, at any price, with any fees, payer and fund."""
    kind = draw(st.sampled_from(["linear", "inverse"]))
    side = draw(st.sampled_from([1, -1]))
    cuts = []
    for number in range(draw(st.integers(1, 4))):
        lots = draw(st.integers(1, 10**6))
        closed = draw(st.integers(1, lots))
        entry = draw(st.integers(0, 10**12))
        is_pool = draw(st.booleans())
        cuts.append(cut(f"a{number}", -side * lots, closed, entry, is_pool=is_pool))
    closed = sum(one.closed for one in cuts)
    lots = closed + draw(st.integers(0, 10**6))
    value = draw(VALUES) * (lots + draw(st.integers(0, 100)))
    known = Bankruptcy(lots=side * (lots + 7), value=value, is_inverse=kind == "inverse")
    bankrupt = Bankrupt(
        account="zed",
        lots=side * lots,
        entry_value=draw(st.integers(0, 10**12)),
        bankruptcy=known,
        fee_most=draw(st.one_of(st.none(), st.integers(-5, 10**9))),
        is_pool=draw(st.booleans()),
    )
    settled_at = known.lot_value if draw(st.booleans()) else draw(VALUES)
    terms = terms_of(
        kind,
        deleveraged=draw(st.sampled_from(FEES)),
        liquidated=draw(st.sampled_from(FEES)),
        difference=draw(st.sampled_from([Payer.NOBODY, Payer.FUND])),
        rounding=draw(st.sampled_from(Rounding)),
        maker_ppm=draw(st.integers(-500, 2000)),
        taker_ppm=draw(st.integers(0, 2000)),
        liquidation_ppm=draw(st.integers(0, 20_000)),
        fund_balance=draw(st.one_of(st.none(), st.integers(-100, 10**9))),
    )
    return cuts, bankrupt, at(settled_at), terms


@given(event=events())
def test_every_event_adds_to_zero(
    event: tuple[list[Cut], Bankrupt, SettlementPrice, Terms],
) -> None:
    """Postings add to zero, both sides close the same lots, every amount has an owner."""
    cuts, bankrupt, price, terms = event
    booked = settle(cuts, bankrupt, price, terms)

    check_balanced(booked.postings)
    assert sum(posting.amount for posting in booked.postings) == 0
    assert all(posting.amount and posting.owner for posting in booked.postings)
    assert booked.liquidated.quote + sum(leg.quote for leg in booked.legs) == 0
    assert booked.liquidated.closed == sum(leg.closed for leg in booked.legs)
    for posting in booked.postings:
        assert type(posting.amount) is int


@given(event=events())
def test_a_basis_moves_by_what_is_released_and_a_wallet_by_the_result(
    event: tuple[list[Cut], Bankrupt, SettlementPrice, Terms],
) -> None:
    """Wallet: profit less fee, and for the liquidated dust and difference; basis: what it held."""
    cuts, bankrupt, price, terms = event
    booked = settle(cuts, bankrupt, price, terms)
    wallets = sums(booked.postings, Book.WALLET, Book.FUND)
    bases = sums(booked.postings, Book.BASIS)

    for leg in booked.legs:
        gain = gain_of(leg.lots, is_inverse=terms.scale.is_inverse)
        assert leg.pnl == leg.quote - gain * leg.basis
        assert wallets.get(leg.account, 0) == leg.pnl - leg.fee
        assert bases.get(leg.account, 0) == gain * leg.basis
    zed = booked.liquidated
    expected = zed.pnl - zed.fee - booked.dust
    if not bankrupt.is_pool and terms.difference is Payer.FUND:
        expected += booked.difference - booked.unpaid
    assert wallets.get("zed", 0) == expected


@given(event=events())
def test_rounding_never_makes_money_in_the_named_direction(
    event: tuple[list[Cut], Bankrupt, SettlementPrice, Terms],
) -> None:
    """With `up` no reduced trader gets more than his exact share; with `down` none gets less."""
    cuts, bankrupt, price, terms = event
    for rounding, sign in ((Rounding.UP, 1), (Rounding.DOWN, -1)):
        booked = settle(cuts, bankrupt, price, replace(terms, rounding=rounding))
        for one, leg in zip(cuts, booked.legs, strict=True):
            gain = gain_of(one.lots, is_inverse=terms.scale.is_inverse)
            exactly = gain * price.lot_value * one.closed
            assert 0 <= sign * (exactly - leg.quote) < 1
        assert 0 <= sign * booked.dust < len(cuts)


@given(event=events())
def test_a_difference_has_one_payer(
    event: tuple[list[Cut], Bankrupt, SettlementPrice, Terms],
) -> None:
    """The fund pays no more than it has, gets every surplus, and the rest is a named debt."""
    cuts, bankrupt, price, terms = event
    known = replace(bankrupt, is_pool=False, fee_most=0)
    plain = replace(terms, liquidated=Fee.NONE, fund="fund")
    booked = settle(cuts, known, price, plain)
    paid = -sums(booked.postings, Book.FUND).get("fund", 0)

    assert 0 <= booked.unpaid <= max(booked.difference, 0)
    if terms.difference is Payer.NOBODY:
        assert (paid, booked.unpaid) == (0, max(booked.difference, 0))
    elif terms.fund_balance is None:
        assert (paid, booked.unpaid) == (booked.difference, 0)
    else:
        assert paid <= max(terms.fund_balance, 0)
        assert paid + booked.unpaid == booked.difference


@given(event=events())
def test_at_the_bankruptcy_price_there_is_no_difference(
    event: tuple[list[Cut], Bankrupt, SettlementPrice, Terms],
) -> None:
    """Settled at bankruptcy the difference is exactly zero, whatever the fills were."""
    cuts, bankrupt, _, terms = event
    known = bankrupt.bankruptcy
    assert known is not None
    booked = settle(cuts, bankrupt, at(known.lot_value), terms)

    assert (booked.difference, booked.unpaid) == (0, 0)


@given(
    entry_value=st.integers(0, 10**15),
    parts=st.lists(st.integers(1, 10**6), min_size=1, max_size=12),
)
def test_any_sequence_of_parts_releases_exactly_the_whole(
    entry_value: int, parts: list[int]
) -> None:
    """Floor shares of what is left, and the rest with the last part: nothing is lost or made."""
    lots, left = sum(parts), entry_value
    for part in parts:
        share = split_basis(left, lots, part)
        assert 0 <= Fraction(left * part, lots) - share < 1
        lots, left = lots - part, left - share

    assert (lots, left) == (0, 0)


@given(event=events(), pieces=st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_a_position_cut_in_many_events_empties_its_basis(
    event: tuple[list[Cut], Bankrupt, SettlementPrice, Terms], pieces: list[int]
) -> None:
    """Over any sequence of partial closes both bases move by exactly what they held."""
    _, bankrupt, price, terms = event
    side = 1 if bankrupt.lots > 0 else -1
    lots, entry, held = sum(pieces), 12_345, bankrupt.entry_value
    moved: Counter[str] = Counter()
    for piece in pieces:
        one = cut("a", -side * lots, piece, entry)
        zed = replace(bankrupt, lots=side * lots, entry_value=held, bankruptcy=None, is_pool=True)
        booked = settle([one], zed, price, terms)
        moved.update(sums(booked.postings, Book.BASIS))
        lots, entry = abs(booked.legs[0].lots_left), booked.legs[0].entry_left
        held = booked.liquidated.entry_left
    gain = gain_of(-side, is_inverse=terms.scale.is_inverse)

    assert (lots, entry, held) == (0, 0, 0)
    assert moved["a"] == gain * 12_345
    assert moved["zed"] == -gain * bankrupt.entry_value


def short_event(**changes: Any) -> Settlement:
    """A long of 10 lots at 500, bankrupt at 480 a lot, closed at a mark of 400 against a short."""
    known = Bankruptcy(lots=10, value=Fraction(4800))
    bankrupt = Bankrupt(account="zed", lots=10, entry_value=5000, bankruptcy=known)
    return settle([cut("ann", -10, 10, 5500)], bankrupt, at(400), terms_of(**changes))


def test_the_fund_pays_between_mark_and_bankruptcy() -> None:
    """At a mark 80 a lot worse than bankruptcy the fund pays 800, and the account ends as then."""
    booked = short_event(difference=Payer.FUND)

    assert (booked.difference, booked.unpaid) == (800, 0)
    assert sums(booked.postings, Book.FUND) == {"insurance-fund": -800}
    assert sums(booked.postings, Book.WALLET) == {"ann": 1500, "zed": -1000 + 800}


def test_an_empty_fund_pays_what_it_has_and_the_rest_is_a_debt() -> None:
    """With 300 in the fund 500 stay on the liquidated account, and the result says so."""
    booked = short_event(difference=Payer.FUND, fund_balance=300)

    assert (booked.difference, booked.unpaid) == (800, 500)
    assert sums(booked.postings, Book.FUND) == {"insurance-fund": -300}
    assert short_event(difference=Payer.FUND, fund_balance=-1).unpaid == 800
    assert short_event().unpaid == 800


def test_a_payer_that_was_never_published_must_be_named() -> None:
    """Where nobody is named and something is to be paid, nothing is booked."""
    with pytest.raises(VenueError, match=r"price\.difference: never published; name who pays 800"):
        short_event(difference=Payer.UNPUBLISHED)


def test_a_payer_needs_a_bankruptcy_value() -> None:
    """What lies between settlement and bankruptcy cannot be paid where bankruptcy is unknown."""
    bankrupt = Bankrupt(account="zed", lots=10, entry_value=5000)

    with pytest.raises(InputError, match="bankruptcy: not given"):
        settle([cut("ann", -10, 10)], bankrupt, at(400), terms_of(difference=Payer.FUND))
    assert settle([cut("ann", -10, 10)], bankrupt, at(400), terms_of()).difference == 0


def test_dust_goes_to_its_account() -> None:
    """Three fills of a third of a unit each credit 3 where the whole is 1: 2 are dust."""
    known = Bankruptcy(lots=3, value=Fraction(1))
    bankrupt = Bankrupt(account="zed", lots=3, entry_value=0, bankruptcy=known)
    cuts = [cut(name, -1, 1) for name in "abc"]
    booked = settle(cuts, bankrupt, at(Fraction(1, 3)), terms_of())

    assert booked.dust == 2
    assert sums(booked.postings, Book.DUST) == {"dust": 2}
    assert sums(booked.postings, Book.WALLET) == {"a": -1, "b": -1, "c": -1, "zed": 1}


def test_fees_round_against_who_pays_them_and_have_a_recipient() -> None:
    """Maker and taker go to the fee account, a liquidation fee to the fund; a rebate is cut off."""
    booked = short_event(deleveraged=Fee.MAKER, liquidated=Fee.TAKER, maker_ppm=201, taker_ppm=501)
    assert [booked.legs[0].fee, booked.liquidated.fee] == [1, 3]
    assert sums(booked.postings, Book.FEE) == {"fees": 4}

    rebate = short_event(deleveraged=Fee.MAKER, maker_ppm=-449)
    assert rebate.legs[0].fee == -1

    fined = short_event(liquidated=Fee.LIQUIDATION, liquidation_ppm=12_500)
    assert sums(fined.postings, Book.FUND) == {"insurance-fund": 50}
    assert sums(fined.postings, Book.FEE) == {}


def test_a_liquidated_account_pays_no_more_than_it_has() -> None:
    """A fee is cut to what is left, and is never below zero because of a debt."""
    terms = terms_of(liquidated=Fee.LIQUIDATION, liquidation_ppm=100_000)
    bankrupt = Bankrupt(account="zed", lots=10, entry_value=5000)
    fees = [
        settle([cut("a", -10, 10)], replace(bankrupt, fee_most=most), at(400), terms).liquidated.fee
        for most in (None, 150, 0, -9)
    ]

    assert fees == [400, 150, 0, 0]


def test_a_fee_that_was_never_published_must_be_chosen() -> None:
    """A fee nobody knows is not zero; the message names the part."""
    for name in ("deleveraged", "liquidated"):
        with pytest.raises(VenueError, match=rf"fees\.{name}: never published; choose none"):
            short_event(**{name: Fee.UNPUBLISHED})


def test_a_pool_sheds_its_position_like_anyone() -> None:
    """A fund's own position is the one that is offset: its result is booked to the fund."""
    bankrupt = Bankrupt(account="fund", lots=-4, entry_value=1000, is_pool=True)
    known = Bankruptcy(lots=-4, value=Fraction(900))
    booked = settle(
        [cut("ann", 4, 4, 700)],
        replace(bankrupt, bankruptcy=known),
        at(200),
        terms_of(difference=Payer.UNPUBLISHED),
    )

    assert sums(booked.postings, Book.FUND) == {"fund": 200}
    assert sums(booked.postings, Book.WALLET) == {"ann": 100}
    assert (booked.difference, booked.unpaid) == (0, 0)


def test_inverse_profit_falls_as_the_value_rises() -> None:
    """An inverse long that is closed at a smaller value than its entry has gained."""
    known = Bankruptcy(lots=-10, value=Fraction(800), is_inverse=True)
    bankrupt = Bankrupt(account="zed", lots=-10, entry_value=1000, bankruptcy=known)
    booked = settle([cut("ann", 10, 10, 900)], bankrupt, at(80), terms_of("inverse"))

    assert [booked.legs[0].pnl, booked.liquidated.pnl] == [100, -200]
    assert booked.notices[0].price == Fraction(1, 8)


def test_a_notice_says_why_how_much_at_what_price_and_what_is_left() -> None:
    """The words and the numbers of a notice are those of the leg."""
    one = cut("ann", -100, 40, 2_000_000, why="score 0.5, rank 1")
    bankrupt = Bankrupt(account="zed", lots=40, entry_value=0)
    booked = settle([one], bankrupt, at(18_000), terms_of(deleveraged=Fee.MAKER, maker_ppm=200))
    (notice,) = booked.notices

    assert notice.text == (
        "ETH-PERP: automatic deleveraging closed 4 contracts of your short 10. "
        "Why: score 0.5, rank 1. Price: 1800 (mark price). "
        "Realised profit: +800 USDT; fee: 1.44 USDT. "
        "You still hold 6 contracts, entry value 12000 USDT, entry price 2000. "
        "All your open orders were cancelled."
    )
    assert (notice.account, notice.market, notice.price) == ("ann", "ETH-PERP", 1800)
    assert (notice.leg, notice.cancelled) == (booked.legs[0], Cancelled.ALL)


def test_a_notice_is_honest_about_what_has_no_exact_price() -> None:
    """A longer price is marked, no finite price is said so, and a full close leaves nothing."""
    bankrupt = Bankrupt(account="zed", lots=3, entry_value=0)
    third = settle([cut("a", -3, 3)], bankrupt, at(Fraction(100, 3)), terms_of()).notices[0]
    never = settle([cut("a", -3, 3)], bankrupt, at(0), terms_of("inverse")).notices[0]
    silent = terms_of(cancelled=Cancelled.UNPUBLISHED)
    unsaid = settle([cut("a", -3, 3)], bankrupt, at(1), silent).notices[0]

    assert "Price: about 3.33 (" in third.text
    assert "Price: none that is finite (" in never.text
    assert never.price is None
    assert "Nothing of the position is left." in third.text
    assert unsaid.text.endswith("The venue does not say which open orders it cancels.")


def test_an_event_that_is_none_is_refused() -> None:
    """No cuts, one side, one account, one position twice, too much, another position's value."""
    zed = Bankrupt(account="zed", lots=10, entry_value=0)
    for cuts, bankrupt, words in (
        ([], zed, "cuts: expected at least one position"),
        ([cut("a", 5, 5)], zed, "expected the other side of another account"),
        ([cut("zed", -5, 5)], zed, "expected the other side of another account"),
        ([cut("a", -5, 2), cut("a", -5, 2)], zed, r"expected each position once, got \['a'\]"),
        ([cut("a", -5, 6)], zed, "closed: expected 1 to 5 lots"),
        ([cut("a", -5, 0)], zed, "closed: expected 1 to 5 lots"),
        ([cut("a", -5, 5, -1)], zed, "entry value of 0 or more"),
        ([cut("a", -11, 11)], zed, "closed: expected 1 to 10 lots"),
        (
            [cut("a", -5, 5)],
            replace(zed, bankruptcy=Bankruptcy(lots=9, value=Fraction(1))),
            "bankruptcy: expected the full size of 10 lots, got 9",
        ),
        (
            [cut("a", -5, 5)],
            replace(zed, bankruptcy=Bankruptcy(lots=-10, value=Fraction(1))),
            "bankruptcy: expected the full size",
        ),
        (
            [cut("a", -5, 5)],
            replace(zed, bankruptcy=Bankruptcy(lots=10, value=Fraction(1), is_inverse=True)),
            "bankruptcy: expected the full size",
        ),
    ):
        with pytest.raises(InputError, match=words):
            settle(cuts, bankrupt, at(1), terms_of())


def test_postings_that_do_not_add_up_stop_everything() -> None:
    """A sum other than zero in any one asset is a defect of ours and is named."""
    one = Posting(owner="a", book=Book.WALLET, asset="USDT", amount=1)

    check_balanced([one, one._replace(owner="b", amount=-1)])
    with pytest.raises(InvariantError, match="expected a sum of 0 in BTC, got -1"):
        check_balanced([one, one._replace(asset="BTC", amount=-1), one._replace(amount=-1)])


def test_the_size_is_the_smallest_of_three_or_nothing() -> None:
    """Best effort takes the smallest; all or nothing refuses what is not all."""
    assert offset_size(10, 7, -9) == 7
    assert offset_size(0, 7, -9) == 0
    assert offset_size(7, 7, -9, is_all_or_nothing=True) == 7
    with pytest.raises(StateError, match="expected all 8 or nothing, got 7"):
        offset_size(8, 7, -9, is_all_or_nothing=True)
    for requested, one, other in ((-1, 7, -9), (1, 7, 9)):
        with pytest.raises(InputError, match="two opposite sides"):
            offset_size(requested, one, other)


@pytest.mark.parametrize(
    "name", [name for name in venues() if Venue.load(name).price.kind is not PriceKind.NONE]
)
def test_every_edition_settles_once_its_gaps_are_filled(name: str) -> None:
    """Each edition's price, fees, orders and payer are booked; only what is unpublished is ours."""
    venue = Venue.load(name)
    gaps = {one: Decimal(one.startswith("trigger.")) for one in venue.required}
    price = price_by_edition(venue.with_parameters(gaps).price, EVERYTHING)
    terms = Terms.of_edition(venue, scale_of())
    chosen = replace(
        terms,
        deleveraged=Fee.NONE if terms.deleveraged is Fee.UNPUBLISHED else terms.deleveraged,
        liquidated=Fee.NONE if terms.liquidated is Fee.UNPUBLISHED else terms.liquidated,
        difference=Payer.FUND if terms.difference is Payer.UNPUBLISHED else terms.difference,
        maker_ppm=200,
        taker_ppm=500,
        liquidation_ppm=12_500,
    )
    known = Bankruptcy(lots=10, value=Fraction(4890))
    bankrupt = Bankrupt(account="zed", lots=10, entry_value=5000, bankruptcy=known)
    booked = settle([cut("ann", -10, 10, 5500)], bankrupt, price, chosen)

    check_balanced(booked.postings)
    assert booked.notices[0].cancelled is venue.orders.cancelled
    assert booked.unpaid == 0 or chosen.difference is Payer.NOBODY
