"""What stands beside a score and is not in it: liquidity of the contract, its pool, its crowd."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import numpy as np

from deleverage.advice.holding import Holding
from deleverage.errors import InputError
from deleverage.explanation import show
from deleverage.model.quantise import decimal_of
from deleverage.model.refusals import plain
from deleverage.model.scalars import exact_of
from deleverage.model.snapshot import Snapshot
from deleverage.planning.inputs import Number
from deleverage.planning.side import QueueSide

__all__ = ["Fund", "Surroundings", "surround"]

CROWD = Decimal("0.7")
"""Share of a market's accounts on one side that counts as a one-way crowd: assumed."""
DRAIN = Decimal("0.15")
"""Fall of a pool from its peak that counts as being drained: assumed, half of the 30 % at which
several venues start to deleverage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fund:
    """The insurance pool behind a market, as the venue shows it.

    Attributes:
        balance: now.
        peak: highest of the window that the venue looks at, as a rule 8 hours.
    """

    balance: Fraction
    peak: Fraction

    @classmethod
    def of(cls, balance: Number, peak: Number) -> "Fund":
        """Read a pool's figures.

        Raises:
            InputError: one is no number, the balance is below zero, or the peak is not above zero
                or below the balance.
        """
        now, highest = exact_of(balance, "pool_balance"), exact_of(peak, "pool_peak")
        if now < 0:
            raise InputError(
                f"pool_balance: expected a number that is not below zero, got {plain(balance)}"
            )
        if highest <= 0 or highest < now:
            raise InputError(
                f"pool_peak: expected a number above zero, not below the balance, got {plain(peak)}"
            )
        return cls(balance=now, peak=highest)

    @property
    def drawdown(self) -> Fraction:
        """Share of the peak that is gone."""
        return (self.peak - self.balance) / self.peak


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The contract and its crowd, as far as the book shows them.

    Attributes:
        open_contracts: contracts on the position's side of the market.
        opposite_contracts: contracts on the other side.
        share: of the side's contracts that the position holds.
        side_accounts: accounts on the position's side.
        opposite_accounts: accounts on the other side.
        pool: the market's insurance pool, where the markets say it.
        pool_markets: markets that draw on it.
        warnings: what no score counts, one sentence each.
    """

    open_contracts: Decimal
    opposite_contracts: Decimal
    share: Fraction
    side_accounts: int
    opposite_accounts: int
    pool: str | None
    pool_markets: tuple[str, ...]
    warnings: tuple[str, ...]

    def facts(self) -> Mapping[str, object]:
        """The surroundings for people and for JSON, value by name."""
        return MappingProxyType(
            {
                "open_contracts": self.open_contracts,
                "opposite_contracts": self.opposite_contracts,
                "share_of_side": show(self.share),
                "side_accounts": self.side_accounts,
                "opposite_accounts": self.opposite_accounts,
                "pool": self.pool,
            }
        )

    def lines(self) -> Iterator[str]:
        """The surroundings in words, one line each."""
        yield (
            f"contract: {self.open_contracts} contracts on this side, the position is "
            f"{float(self.share) * 100:.3g} % of them; {self.side_accounts} accounts on this side, "
            f"{self.opposite_accounts} on the other"
        )
        yield from (f"warning: {words}" for words in self.warnings)


def surround(holding: Holding, fund: Fund | None = None) -> Surroundings:
    """Look at the market around a position.

    Args:
        holding: the position.
        fund: the pool's figures, where they are known.
    """
    side, snapshot = holding.side, holding.side.snapshot
    opposite = QueueSide.of(snapshot, side.scale.market, _other(side.side))
    lots = [_lots(one) for one in (side, opposite)]
    accounts = [_accounts(one) for one in (side, opposite)]
    pool_markets = _sharing(snapshot, side.scale.pool)
    warnings = [*_pool_warnings(side, pool_markets, fund), *_crowd_warnings(side.side, accounts)]
    return Surroundings(
        open_contracts=_contracts(side, lots[0]),
        opposite_contracts=_contracts(side, lots[1]),
        share=Fraction(holding.state.size, lots[0]),
        side_accounts=accounts[0],
        opposite_accounts=accounts[1],
        pool=side.scale.pool,
        pool_markets=pool_markets,
        warnings=tuple(warnings),
    )


def _other(side: str) -> str:
    return "short" if side == "long" else "long"


def _lots(side: QueueSide) -> int:
    """Add up the lots of a side; 2^51 each, so in two halves that cannot leave 64 bits."""
    lots = np.abs(side.columns.lots)
    return (int((lots >> 32).sum()) << 32) + int((lots & 0xFFFFFFFF).sum())


def _accounts(side: QueueSide) -> int:
    codes = side.snapshot.account_codes[side.start : side.start + len(side)]
    return int(np.count_nonzero(np.bincount(codes))) if len(codes) else 0


def _contracts(side: QueueSide, lots: int) -> Decimal:
    return decimal_of(lots * Fraction(side.scale.lot_size))


def _sharing(snapshot: Snapshot, pool: str | None) -> tuple[str, ...]:
    """Give the markets that draw on a pool."""
    return tuple(one.market for one in snapshot.markets if pool is not None and one.pool == pool)


def _pool_warnings(
    side: QueueSide, pool_markets: tuple[str, ...], fund: Fund | None
) -> Iterator[str]:
    """Say that a pool is shared, and that it is being drained."""
    if len(pool_markets) > 1:
        yield (
            f"insurance pool {side.scale.pool} is shared by {len(pool_markets)} markets: "
            "a loss in any of them drains it for all"
        )
    if fund is not None and fund.drawdown >= Fraction(DRAIN):
        yield (
            f"the insurance pool has lost {float(fund.drawdown):.2%} of its peak "
            f"(a line of {DRAIN:.0%} is assumed)"
        )


def _crowd_warnings(side: str, accounts: list[int]) -> Iterator[str]:
    """Say that nearly everybody stands on one side."""
    share = Fraction(accounts[0], sum(accounts))
    if max(share, 1 - share) < Fraction(CROWD):
        return
    crowded = side if share >= Fraction(CROWD) else _other(side)
    yield (
        f"a one-way crowd: {float(max(share, 1 - share)):.0%} of the accounts are {crowded} "
        f"(a line of {CROWD:.0%} is assumed)"
    )
