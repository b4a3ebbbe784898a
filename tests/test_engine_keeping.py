"""The kept book: whichever version is asked, its head is that of a stateless selection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage import ranking
from deleverage.engine.book import Frames, read_book
from deleverage.engine.keeping import Taken, Terms
from deleverage.engine.positions import Change, Positions
from deleverage.errors import InputError
from deleverage.ranking import OWN_MARGIN
from deleverage.venue import Venue
from engines import market

MARKETS = ("M", "N")
SIGNS = {"long": 1, "short": -1}
COUNT, OWNERS = 60, 12
EDITIONS = (
    *("bitmex", "bybit@2025", "binance-usdm", "aevo", "okx@2026", "bingx", "hyperliquid"),
    *("ethereal", "bitget@2025-H1", "kucoin@2025"),
)


@dataclass
class Walk:
    """Versions of one store, each with the marks of its time; the last is the present."""

    rng: np.random.Generator
    versions: list[tuple[Positions, Terms]] = field(default_factory=list)

    @property
    def now(self) -> tuple[Positions, Terms]:
        """The present."""
        return self.versions[-1]

    def tick(self) -> None:
        """Move a mark: a little, now and then a lot."""
        book, terms = self.now
        code, by = int(self.rng.integers(2)), int(self.rng.choice([1, 1, 1, 30]))
        scales = list(terms.scales)
        price = max(40, int(scales[code].mark_price) + int(self.rng.choice([-by, by])))
        scales[code] = scales[code].at(type(scales[code].mark_price)(price))
        self.versions.append((book, Terms(terms.venue, tuple(scales))))

    def cut(self) -> None:
        """Close some lots of some rows of a market, whole positions among them."""
        book, terms = self.now
        code = int(self.rng.integers(2))
        held = [one for one in book.holdings(self._some()) if one.lots]
        changes = []
        for one in held:
            if one.market == MARKETS[code]:
                part = int(self.rng.integers(1, abs(one.lots) + 1))
                lots = one.lots - part * (1 if one.lots > 0 else -1)
                entry = one.entry_value * abs(lots) // abs(one.lots)
                paid, is_aside = int(self.rng.integers(-50, 50)), self.rng.random() < 0.1
                changes.append(Change(one.place, lots, entry, paid, is_aside=bool(is_aside)))
        if changes:
            changed = book.change(changes, terms.scales[code], sequence=len(self.versions))
            self.versions.append((changed, terms))

    def aside(self) -> None:
        """Take some rows out of their queues."""
        book, terms = self.now
        self.versions.append((book.left_queue(self._some()), terms))

    def credit(self) -> None:
        """Change the cash of an account."""
        book, terms = self.now
        if "account cash" in book.columns:
            pool = int(self.rng.integers(len(book.columns["account cash"])))
            paid = int(self.rng.choice([-1, 1])) * int(self.rng.integers(1, 10**8))
            self.versions.append((book.credit(pool, paid), terms))

    def back(self) -> None:
        """Take an older version up again."""
        self.versions.append(self.versions[int(self.rng.integers(len(self.versions)))])

    def ask(self) -> bool:
        """Ask the present, and an older version, for the head of a queue; each is as it must be."""
        older = self.versions[int(self.rng.integers(len(self.versions)))]
        for book, terms in (self.now, older):
            name, side = str(self.rng.choice(MARKETS)), str(self.rng.choice(list(SIGNS)))
            lots, barred = int(self.rng.choice([1, 5, 30, 10_000])), self._some()
            found = book.head(terms, name, side, lots, barred)
            assert told(found) == told(stateless(book, terms, name, side, (lots, barred)))
        return True

    def _some(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Some places."""
        count = len(self.now[0].roster)
        return self.rng.choice(count, int(self.rng.integers(1, 8)), replace=False)


def told(taken: Taken) -> tuple[Any, ...]:
    """Give a head as values that compare, the scores bit by bit."""
    return (
        taken.places.tolist(),
        taken.closed.tolist(),
        [score.hex() for score in taken.scores.tolist()],
        taken.unfilled,
    )


def stateless(
    book: Positions, terms: Terms, name: str, side: str, request: tuple[int, Any]
) -> Taken:
    """Select on the rows of a side as they stand, with nothing kept."""
    lots, barred = request
    found = book.side(name, side)
    if not len(found.places):
        return Taken(found.places, found.places, np.empty(0), lots)
    scale = terms.scales[book.roster.code(name)]
    num, den, is_inverse = scale.rate
    taken = ranking.select(
        found.columns,
        ranking.Rate(mark_num=num, mark_den=den, is_inverse=is_inverse),
        rule=terms.venue.score_rule(scale.money_units_per_asset),
        side=SIGNS[side],
        lots=lots,
        accounts=book.accounts(terms),
        excluded=np.flatnonzero(np.isin(found.places, barred)),
        is_ordered=True,
    )
    return Taken(found.places[taken.rows], taken.lots, taken.scores, taken.unfilled)


def opened(edition: str, seed: int) -> tuple[Positions, Terms]:
    """A book of two markets by an edition; figures are coarse, so that scores tie."""
    draw = np.random.default_rng(seed)
    venue = Venue.load(edition)
    qty = draw.integers(1, 9, COUNT)
    by = {"isolated": ["isolated"], "cross": ["cross"], "both": ["isolated", "cross"]}
    judges = {"position": "isolated", "account": "cross", "margin_mode": "both"}
    positions = {
        "position_id": draw.permutation(COUNT),
        "account": [f"a{number}" for number in draw.integers(0, OWNERS, COUNT)],
        "market": draw.choice(MARKETS, COUNT),
        "side": draw.choice(list(SIGNS), COUNT),
        "qty": qty,
        "entry_price": draw.choice([60, 80, 90, 100, 110, 140], COUNT),
        "margin_mode": draw.choice(by[judges[venue.score.scope.value]], COUNT),
    }
    table = pl.DataFrame(positions)
    is_own = pl.col("margin_mode") == "isolated"
    extra: dict[str, pl.Expr | pl.Series] = {
        "margin": pl.when(is_own).then(pl.Series(draw.integers(1, 40, COUNT) * qty)),
        "maintenance_margin": pl.Series(qty),
        "hedged_qty": pl.Series(np.minimum(draw.integers(0, 3, COUNT), qty)),
        "leverage": pl.Series(draw.choice([1, 5, 20], COUNT)),
    }
    wanted = {part for need in venue.needs.positions for part in need.split("|")}
    wanted |= {part for need in venue.needs.isolated for part in need.split("|")}
    wanted |= set(venue.needs.tiers) | {"maintenance_margin"}
    table = table.with_columns(**{name: one for name, one in extra.items() if name in wanted})
    rows = [market(name) for name in MARKETS]
    read = read_book(
        Frames(
            positions=table,
            marks=dict.fromkeys(MARKETS, "100"),
            markets={name: [row[name] for row in rows] for name in rows[0]},
            accounts=_accounts(draw) if venue.needs.accounts else None,
            neutral=_neutral() if "neutral" in venue.needs.tiers else None,
        ),
        venue,
    )
    book = Positions.open(read.roster, read.columns, read.aside)
    return book, Terms(venue, read.scales)


def _accounts(draw: np.random.Generator) -> pl.DataFrame:
    """An account table for everybody, some of them nearly broke."""
    return pl.DataFrame(
        {
            "account": [f"a{number}" for number in range(OWNERS)],
            "asset": ["USDT"] * OWNERS,
            "equity": draw.choice([-5, 20, 300, 3000], OWNERS),
            "maintenance_margin": draw.integers(1, 30, OWNERS),
            "wallet_balance": draw.choice([5, 20, 300, 3000], OWNERS),
            "created_at": draw.integers(0, 3, OWNERS),
        }
    )


def _neutral() -> Mapping[str, list[Any]]:
    """One account is delta-neutral."""
    return {"account": ["a3"], "underlier": ["M"], "delta_neutral": [True]}


STEPS = st.lists(
    st.sampled_from(["tick", "tick", "cut", "cut", "aside", "credit", "back", "ask", "ask"]),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize("edition", EDITIONS)
@given(seed=st.integers(0, 2**32), steps=STEPS)
def test_a_head_is_the_stateless_one(edition: str, seed: int, steps: list[str]) -> None:
    """After any marks, cuts and payments, of any version: the same places, lots, scores, rest."""
    walk = Walk(np.random.default_rng(seed), [opened(edition, seed % 7)])
    for step in steps:
        getattr(walk, step)()
    assert walk.ask()


@given(seed=st.integers(0, 2**32))
def test_a_book_follows_unasked(seed: int) -> None:
    """However many versions come between two questions, the head is the stateless one."""
    walk = Walk(np.random.default_rng(seed), [opened("bybit@2025", 1)])
    walk.ask()
    for step in walk.rng.choice(["tick", "cut", "aside", "credit"], 150).tolist():
        getattr(walk, step)()
    assert walk.ask()


def test_an_account_out_of_range_is_refused_until_it_is_back() -> None:
    """What the kernel cannot hold is refused where it is read, as often as it is asked."""
    book, terms = opened("bybit@2025", 1)
    asked: tuple[Any, ...] = (terms, "M", "short", 10_000, np.empty(0, np.int64))
    first = book.head(*asked)
    pools = [one.pool for one in book.holdings(first.places) if one.pool != OWN_MARGIN]
    rich = book.credit(pools[0], 2**52)
    for _ in range(2):
        with pytest.raises(InputError, match=r"less than 2\^51"):
            rich.head(*asked)

    assert told(first) == told(book.head(*asked))
    assert told(first) == told(rich.credit(pools[0], -(2**52)).head(*asked))
