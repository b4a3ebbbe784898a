"""Long seeded runs of a kept book beside a plain twin: rows in a dictionary, asked statelessly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.book import Book
from deleverage.model.rules import Basis, Factor, Loss, NoEquity, Reason, Scope, ScoreRule, Tie
from strategies import OWN_MARGIN

MONEY = ("margin", "maintenance_margin", "initial_margin", "open_value")
REASONS = list(Reason)
Row = dict[str, int]
SIDES = {"long": 1, "short": -1}


def random_rule(rng: np.random.Generator) -> ScoreRule:
    """Any combination of a rule's members."""

    def one(members: Any) -> Any:
        return list(members)[rng.integers(len(list(members)))]

    return ScoreRule(
        basis=one(Basis),
        factor=one(Factor),
        loss=one(Loss),
        no_equity=one(NoEquity),
        scope=one(Scope),
        joint_hedge=bool(rng.integers(4) == 0),
        ties=tuple(rng.permutation([str(tie) for tie in Tie])[: rng.integers(3)].tolist()),
    )


@dataclass(slots=True, kw_only=True)
class Twin:
    """The same positions, marks and accounts, kept in the plainest way.

    Attributes:
        rule: of all markets.
        rates: of each market.
        accounts: rows of the account table.
        is_derived: equity is the wallet plus each position's rounded profit.
        is_plain: there are no tiers and no owners.
        rows: positions by id.
    """

    rule: ScoreRule
    rates: list[tuple[int, int, bool]]
    accounts: list[dict[str, int]]
    is_derived: bool
    is_plain: bool = False
    rows: dict[int, Row] = field(default_factory=dict)

    def columns(self, rows: Mapping[int, Row], *, has_market: bool = True) -> dict[str, Any]:
        """Arrays of some positions, every column of them."""
        names = ("lots", "entry_value", *MONEY, "leverage", "profit_lots", "profit_value")
        kinds: dict[str, Any] = dict.fromkeys((*names, "created_at"), np.int64)
        kinds |= {"account": np.uint32}
        kinds |= {} if self.is_plain else {"owner": np.uint32, "tier": np.uint8}
        kinds |= {"market": np.uint32} if has_market else {}
        found = {
            name: np.array([row[name] for row in rows.values()], kind)
            for name, kind in kinds.items()
        }
        return found | {"position_id": np.array(list(rows), np.uint64)}

    def table(self) -> dict[str, NDArray[np.int64]]:
        """Arrays of the accounts, equities at the marks in use."""
        names = ("equity", "maintenance_margin", "wallet_balance")
        found = {
            name: np.array([account[name] for account in self.accounts], np.int64) for name in names
        }
        if self.is_derived:
            found["equity"] = np.array(self.equities(), np.int64)
        return found

    def equities(self) -> list[int]:
        """Wallet plus unrealised profit, each mark value rounded half to even, in fractions."""
        sums = [account["wallet_balance"] for account in self.accounts]
        for row in self.rows.values():
            if row["account"] != OWN_MARGIN:
                num, den, is_inverse = self.rates[row["market"]]
                mark = round(Fraction(abs(row["lots"]) * num, den))
                gain = (mark - row["entry_value"]) * (1 if row["lots"] > 0 else -1)
                sums[row["account"]] += -gain if is_inverse else gain
        return sums

    def side(self, market: int, side: str) -> dict[int, Row]:
        """Positions of one side of one market."""
        sign = SIDES[side]
        return {
            number: row
            for number, row in self.rows.items()
            if row["market"] == market and row["lots"] * sign > 0
        }

    def arguments(self, market: int, side: str) -> tuple[ranking.Columns, dict[str, Any]]:
        """One side as the stateless verbs take it."""
        num, den, is_inverse = self.rates[market]
        columns = ranking.Columns(**self.columns(self.side(market, side), has_market=False))
        rate = ranking.Rate(mark_num=num, mark_den=den, is_inverse=is_inverse)
        accounts = ranking.Accounts(**self.table())
        return columns, {"rates": rate, "rule": self.rule, "accounts": accounts}


class Walk:
    """A book and its twin, and what may happen to both."""

    def __init__(
        self,
        seed: int,
        *,
        rows: int,
        markets: int = 2,
        rule: ScoreRule | None = None,
        is_plain: bool = False,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        rng = self.rng
        rule = random_rule(rng) if rule is None else rule
        self.next_id = 1
        self.units = [int(rng.choice([1, 7, 100])) for _ in range(markets)]
        rates = [
            (int(rng.integers(500, 1500)) * unit, unit, bool(rng.integers(4) == 0))
            for unit in self.units
        ]
        accounts = [self.account() for _ in range(max(2, rows // 4))]
        self.twin = Twin(
            rule=rule,
            rates=rates,
            accounts=accounts,
            is_derived=bool(rng.integers(2)),
            is_plain=is_plain,
        )
        self.scale = self.random_scale() if is_plain else None
        self.start = list(rates)
        for _ in range(rows):
            self.twin.rows[self.fresh_id()] = self.row()
        self.book = Book.from_arrays(
            self.twin.columns(self.twin.rows),
            rates,
            rule=rule,
            accounts=self.twin.table(),
            derive_equity=self.twin.is_derived,
            threads=1,
        )

    def fresh_id(self) -> int:
        """An id that was never given."""
        self.next_id += 1
        return self.next_id * 0x9E3779B97F4A7C15 % 2**64

    def account(self) -> dict[str, int]:
        """An account, now and then without money."""
        rng = self.rng
        return {
            "equity": int(rng.integers(-20_000, 200_000)),
            "maintenance_margin": int(rng.integers(0, 5_000)),
            "wallet_balance": int(rng.integers(-20_000, 400_000)),
        }

    def row(self) -> Row:
        """A position near its mark or far from it; figures are coarse, so that scores tie."""
        rng = self.rng
        market = int(rng.integers(len(self.twin.rates))) if self.units else 0
        num, den, _ = self.start_rate(market)
        size = int(rng.choice([1, 2, 5, 10, 100]))
        lots = size if rng.integers(2) else -size
        price = float(rng.choice([0.5, 0.8, 0.95, 1.0, 1.0, 1.05, 1.2, 2.0])) * num / den
        spread = float(rng.choice([1.0, 1.0, rng.uniform(0.7, 1.4)]))
        entry = max(0, round(size * price * spread))
        scope = self.twin.rule.scope
        judged = scope is Scope.ACCOUNT or (scope is Scope.MARGIN_MODE and rng.integers(2))
        count = len(self.twin.accounts)
        return {
            "market": market,
            "lots": lots,
            "entry_value": entry,
            "margin": int(entry // rng.choice([1, 2, 5, 10, 20])) - int(rng.integers(3)),
            "maintenance_margin": int(entry // 50),
            "initial_margin": int(entry // rng.choice([2, 5, 10])),
            "open_value": entry,
            "leverage": int(rng.choice([0, 1_000_000, 5_000_000, 20_000_000])),
            "profit_lots": lots * int(rng.choice([1, 1, -1, 2])),
            "profit_value": int(rng.choice([1, 1, -1])) * entry * (1 if lots > 0 else -1),
            "created_at": int(rng.integers(3)),
            "account": int(rng.integers(count)) if judged else OWN_MARGIN,
            "owner": int(rng.integers(count)),
            "tier": int(rng.choice([0, 0, 0, 1, 2])) if rng.integers(3) == 0 else 0,
        }

    def start_rate(self, market: int) -> tuple[int, int, bool]:
        """The rate that prices are drawn around."""
        return self.start[market] if hasattr(self, "start") else self.twin.rates[market]

    def tick(self) -> None:
        """Moves a mark: a little, a lot, or back to where it started."""
        rng = self.rng
        market = int(rng.integers(len(self.twin.rates)))
        num, den, is_inverse = self.twin.rates[market]
        kind = rng.integers(20)
        if kind == 0:
            num = max(1, int(num * rng.choice([0.5, 1.5])))
        elif kind == 1:
            num = self.start[market][0]
        else:
            num = max(1, num + round(num * float(rng.normal(0, 1e-3))))
        self.set_rates({market: (num, den, is_inverse)})

    def set_rates(self, rates: Mapping[int, tuple[int, int, bool]]) -> None:
        """Sets marks in both."""
        for market, rate in rates.items():
            self.twin.rates[market] = rate
        self.book.set_rates(rates)

    def upsert(self, rows: Mapping[int, Row]) -> None:
        """Adds and overwrites positions in both."""
        self.twin.rows.update(rows)
        self.book.upsert(self.twin.columns(rows))

    def remove(self, numbers: list[int]) -> None:
        """Takes positions out of both."""
        for number in numbers:
            del self.twin.rows[number]
        self.book.remove(numbers)

    def change(self) -> None:
        """Adds, overwrites or removes a few positions, or a side of a market and all of it back."""
        rng, known = self.rng, list(self.twin.rows)
        kind = rng.integers(12)
        picked = (
            [known[i] for i in rng.integers(len(known), size=rng.integers(1, 4))] if known else []
        )
        if kind == 0 and known:
            gone = self.twin.side(int(rng.integers(len(self.twin.rates))), "long")
            self.remove(list(gone))
            self.upsert(gone)
        elif kind < 3 and len(known) > 4:
            self.remove(list(set(picked)))
        elif kind < 6:
            self.upsert({self.fresh_id(): self.row() for _ in range(rng.integers(1, 4))})
        elif kind == 6:
            self.update_accounts()
        else:
            self.upsert({number: self.row() for number in picked})

    def update_accounts(self) -> None:
        """Overwrites an account in both."""
        row = int(self.rng.integers(len(self.twin.accounts)))
        self.twin.accounts[row] = self.account()
        names = ["maintenance_margin", "wallet_balance"]
        names += [] if self.twin.is_derived else ["equity"]
        values = {name: np.array([self.twin.accounts[row][name]]) for name in names}
        self.book.update_accounts(np.array([row], np.uint32), values)

    def assert_select(self) -> bool:
        """The head of a queue is the stateless one; returns whether rows were kept for it."""
        rng = self.rng
        market, side = int(rng.integers(len(self.twin.rates))), str(rng.choice(["long", "short"]))
        columns, given = self.twin.arguments(market, side)
        lots = int(rng.choice([1, 3, 20, 60, 150, 400, 10**6]))
        ids = columns.position_id
        assert ids is not None
        barred = np.flatnonzero(rng.random(len(ids)) < 0.1) if rng.integers(4) == 0 else None
        expected = ranking.select(
            columns,
            given["rates"],
            rule=given["rule"],
            accounts=given["accounts"],
            side=SIDES[side],
            lots=lots,
            excluded=barred,
            threads=1,
        )
        is_ordered = bool(rng.integers(2))
        head = self.book.select(
            market,
            side=side,
            lots=lots,
            is_ordered=is_ordered,
            excluded=None if barred is None else ids[barred],
        )
        seen = dict(zip(head.position_id.tolist(), head.lots.tolist(), strict=True))
        wanted = dict(zip(ids[expected.rows].tolist(), expected.lots.tolist(), strict=True))
        assert seen == wanted
        assert len(seen) == len(head.position_id)
        assert head.unfilled == expected.unfilled
        assert head.cut_id == (int(ids[expected.cut_row]) if expected.cut_row >= 0 else None)
        assert np.array_equal(head.cut_score, expected.cut_score, equal_nan=True)
        partial = expected.partial_row
        assert head.partial_id == (int(ids[partial]) if partial >= 0 else None)
        if is_ordered and len(expected.rows):
            order = ranking.order(
                columns,
                given["rates"],
                expected.rows,
                rule=given["rule"],
                accounts=given["accounts"],
                threads=1,
            )
            assert head.position_id.tolist() == ids[order].tolist()
            scored = ranking.score(
                columns,
                given["rates"],
                rule=given["rule"],
                accounts=given["accounts"],
                threads=1,
            )
            assert head.scores.tobytes() == scored.score[order].tobytes()
        else:
            assert not len(head.scores)
        return head.is_kept

    def assert_places(self) -> None:
        """Scores, reasons, ranks and lights of a side are the stateless ones."""
        rng = self.rng
        market, side = int(rng.integers(len(self.twin.rates))), str(rng.choice(["long", "short"]))
        columns, given = self.twin.arguments(market, side)
        ids = columns.position_id
        assert ids is not None
        if not len(ids):
            return
        ranked = ranking.rank(columns, threads=1, **given)
        scores, reasons = self.book.scores(ids)
        assert scores.tobytes() == ranked.score.tobytes()
        assert reasons.tolist() == ranked.reason.tolist()
        left = self.book.left_out(market, side=side)
        found = dict(zip(left.position_id.tolist(), left.reasons, strict=True))
        wanted = zip(ids.tolist(), ranked.reason.tolist(), strict=True)
        assert found == {number: REASONS[code] for number, code in wanted if code}
        row = int(rng.integers(len(ids)))
        assert self.book.rank_of(int(ids[row])) == ranked.rank[row]
        self.assert_lights(market, side, columns, given)

    def random_scale(self) -> dict[str, Any]:
        """Bands and weight of lights; accounts count where rows have owners."""
        weights = ["quantity", "entries", *([] if self.twin.is_plain else ["accounts"])]
        return {
            "bands": int(self.rng.choice([1, 2, 5, 5, 7])),
            "weight": str(self.rng.choice(weights)),
        }

    def assert_lights(
        self, market: int, side: str, columns: ranking.Columns, given: dict[str, Any]
    ) -> None:
        """Lights of some positions and of all are the stateless ones."""
        scale = self.scale or self.random_scale()
        expected = ranking.lights(columns, threads=1, **given, **scale)
        ids = columns.position_id
        assert ids is not None
        assert self.book.lights(ids, **scale).tolist() == expected.tolist()
        kept = self.book.snapshot().columns
        everyone = dict(
            zip(kept["position_id"].tolist(), self.book.lights(**scale).tolist(), strict=True)
        )
        assert [everyone[number] for number in ids.tolist()] == expected.tolist()
        ranks = ranking.rank(columns, threads=1, **given).rank
        place = dict(zip(ids.tolist(), ranks.tolist(), strict=True))
        light = dict(zip(ids.tolist(), expected.tolist(), strict=True))
        for bound in self.book.light_bounds(market, side=side, **scale):
            behind = [n for n in place if place[n] and light[n] <= bound.light]
            assert bound.position_id == min(behind, key=place.__getitem__)
            assert abs(bound.shown_score - float(bound.score)) <= 1e-6 * (1 + abs(bound.score))
