"""One market after a crash: what `deleverage demo` plans, drawn from a seed.

The price fell from about 67,000 to 58,214.50. Shorts sit deep in profit; the longs that are left
have topped up their margin, a few are in liquidation, and the account `zed` went bankrupt with
more than market and fund could take. `alice` is a short with high leverage near the head of the
queue. Every position is isolated, every number is exact in the unit of its column.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from deleverage.errors import InputError
from deleverage.lab.book_frames import decimals
from deleverage.lab.books import Integers

__all__ = ["Bankruptcy", "Crash", "synthetic_crash"]

_MARKET = "BTC-PERP"
_MARK_CENTS = 5_821_450
_PREVIOUS_MARK_CENTS = 5_903_800
_BANKRUPTCY_CENTS = 6_125_000
_ZED_ENTRY_CENTS = 6_187_000
_HIGHEST_LEVERAGE = 125
_OPENED = 1_735_689_600_000_000_000  # 2025-01-01 UTC: the first account; one more each second


@dataclass(frozen=True, slots=True, kw_only=True)
class Bankruptcy:
    """What is left of a bankrupt position after market and pool.

    Attributes:
        market: name of the market.
        side: side of the bankrupt position, `long` or `short`.
        qty: contracts still open.
        price: bankruptcy price, frozen at takeover.
        account: the bankrupt account.
    """

    market: str
    side: str
    qty: Decimal
    price: Decimal
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """The frames of the public contract after a crash, and what has to be deleveraged.

    Attributes:
        positions: one row a position, isolated, one position an account.
        accounts: account, asset, wallet_balance, equity, maintenance_margin, created_at.
        marks: market, mark_price, previous_mark_price.
        bankruptcy: the request.
    """

    positions: pl.DataFrame
    accounts: pl.DataFrame
    marks: pl.DataFrame
    bankruptcy: Bankruptcy


def synthetic_crash(seed: int = 0, positions: int = 50_000) -> Crash:
    """Draw one market after a crash.

    Args:
        seed: non-negative; the same arguments give the same frames.
        positions: rows in all, at least 4; `alice` and `zed` are two of them.

    Returns:
        The frames and the bankrupt quantity, about 0.4 % of what the shorts hold.

    Raises:
        InputError: fewer than 4 positions.
    """
    if positions < 4:  # noqa: PLR2004 - alice, zed, and one other on either side
        raise InputError(f"positions: expected at least 4, got {positions}")
    generator = np.random.default_rng([seed, 7])
    short = generator.integers(0, 2, positions).astype(bool)
    short[0], short[1], short[2], short[3] = True, False, True, False
    milli = np.clip(generator.lognormal(np.log(400.0), 1.6, positions), 1, 5e6).astype(np.int64)
    entry = _entry_cents(generator, short)
    leverage = generator.choice(np.array([1, 2, 3, 5, 10, 20, 25, 50, 75, 100]), positions)
    leverage[generator.random(positions) < 0.002] = _HIGHEST_LEVERAGE  # noqa: PLR2004 - a share
    milli[0], entry[0], leverage[0] = 2_500, 6_615_050, _HIGHEST_LEVERAGE
    open_short = int(milli[short].sum())
    bankrupt_milli = max(open_short // 250, 1)
    milli[1], entry[1], leverage[1] = bankrupt_milli, _ZED_ENTRY_CENTS, 100
    rows = _rows(short, milli, entry, leverage)
    return Crash(
        positions=rows.drop("equity", "wallet_balance", "created_at"),
        accounts=rows.select(
            "account",
            pl.lit("USDT").alias("asset"),
            "wallet_balance",
            "equity",
            "maintenance_margin",
            "created_at",
        ),
        marks=pl.DataFrame(
            {
                "market": [_MARKET],
                "mark_price": [_cents(_MARK_CENTS)],
                "previous_mark_price": [_cents(_PREVIOUS_MARK_CENTS)],
            }
        ),
        bankruptcy=Bankruptcy(
            market=_MARKET,
            side="long",
            qty=Decimal(bankrupt_milli).scaleb(-3),
            price=_cents(_BANKRUPTCY_CENTS),
            account="zed",
        ),
    )


def _cents(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _entry_cents(generator: np.random.Generator, short: npt.NDArray[np.bool_]) -> Integers:
    """Most entered around 64,000 before the fall, one in five on the way down."""
    before = np.clip(generator.normal(6_400_000, 160_000, len(short)), 5_900_000, 6_790_000)
    falling = generator.uniform(5_750_000, 6_200_000, len(short))
    late = generator.random(len(short)) < 0.2  # noqa: PLR2004 - a share of a drawing
    entry: Integers = np.rint(np.where(late, falling, before)).astype(np.int64)
    return entry


def _rows(
    short: npt.NDArray[np.bool_], milli: Integers, entry: Integers, leverage: Integers
) -> pl.DataFrame:
    """All columns of positions and accounts; money is counted in 0.00001 USDT (milli x cents)."""
    entry_value = milli * entry
    maintenance = milli * _MARK_CENTS // 200
    profit = np.where(short, entry - _MARK_CENTS, _MARK_CENTS - entry) * milli
    initial = -(-entry_value // leverage)
    # Who lost more than that and is still here has topped up, except the one in bankruptcy.
    margin = np.maximum(initial, -(-maintenance * 6 // 5) - profit)
    margin[1] = milli[1] * (_ZED_ENTRY_CENTS - _BANKRUPTCY_CENTS)
    liquidating = ~short & (np.arange(len(short)) % 97 == 1)
    names = np.char.mod("t%06d", np.arange(len(short)))
    names[0], names[1] = "alice", "zed"
    return pl.DataFrame(
        {
            "position_id": np.arange(1, len(short) + 1, dtype=np.uint64),
            "account": names,
            "market": pl.repeat(_MARKET, len(short), eager=True),
            "side": np.where(short, "short", "long"),
            "qty": decimals(milli, 3),
            "entry_price": decimals(entry, 2),
            "margin_mode": pl.repeat("isolated", len(short), eager=True),
            "margin": decimals(margin, 5),
            "maintenance_margin": decimals(maintenance, 5),
            "initial_margin": decimals(initial, 5),
            "leverage": leverage,
            "status": np.where(liquidating, "liquidating", "open"),
            "wallet_balance": decimals(margin, 5),
            "equity": decimals(margin + profit, 5),
            "created_at": _OPENED + np.arange(len(short), dtype=np.int64) * 1_000_000_000,
        }
    )
