"""What was published about 2025-10-10 on Hyperliquid, and what is fitted to it: numbers only.

Published aggregates of the auto-deleveraging of that day, quoted from [S1] ConejoCapital/
HyperMultiAssetedADL@79bad0f and [S2] ConejoCapital/ADLVisualizer@8998256 (README, summaries and
methodology; percentiles by linear interpolation over their tables), and from the output files of
[S5] pluriholonomic/autodeleveraging-analysis@aae0be8 (MIT). No row of theirs is here. What is
marked *fitted* is a value of ours, chosen so that sums and shares come out as published; what is
marked *assumed* has no published counterpart at all.

Times are seconds after the first liquidation, money is USD.
"""

from typing import NamedTuple

__all__ = [
    "ACCOUNTS",
    "ACCOUNT_NOTIONAL",
    "ADL_ACCOUNTS",
    "ADL_FILLS",
    "ADL_MARKETS",
    "BACKSTOPS",
    "BURSTS",
    "CASH",
    "FIRST_BURST_MARKETS",
    "FIRST_LIQUIDATION",
    "LARGEST_BURST_MARKETS",
    "LEVERAGE",
    "LEVERAGE_AND_FILLS",
    "LEVERAGE_AND_PROFIT",
    "LONG_SHARE",
    "LOSERS",
    "LOSS",
    "MARKETS",
    "NOTIONAL_AND_FILLS",
    "NOTIONAL_AND_LEVERAGE",
    "NOTIONAL_AND_PROFIT",
    "OTHER_BURSTS",
    "OTHER_FILLS",
    "OTHER_NOTIONAL",
    "PARTIAL_FILLS",
    "POSITIONS",
    "POSITIONS_AN_ACCOUNT",
    "PROFIT",
    "RELATIVE_PROFIT",
    "SHORTFALL",
    "TOP_MARKETS",
    "TOTAL_NOTIONAL",
    "WITHOUT_CASH",
    "Market",
    "Stretch",
]

POSITIONS = 221_422
ACCOUNTS = 437_356
MARKETS = 182
ADL_FILLS = 34_983
ADL_ACCOUNTS = 19_337
ADL_MARKETS = 162
PARTIAL_FILLS = 2_570
TOTAL_NOTIONAL = 2_103_111_430.86
FIRST_LIQUIDATION = 1_760_130_903_127_000_000
"""2025-10-10 21:15:03.127 UTC in nanoseconds."""


class Market(NamedTuple):
    """A market by what was deleveraged in it.

    Attributes:
        name: the coin.
        notional: USD.
        fills: number.
        price: average, USD.
        max_leverage: assumed.
    """

    name: str
    notional: float
    fills: int
    price: float
    max_leverage: int


TOP_MARKETS = (
    Market("BTC", 620_890_947.73, 2_443, 106_427.71, 40),
    Market("ETH", 458_008_925.03, 1_498, 3_467.90, 25),
    Market("SOL", 276_200_960.58, 3_031, 164.96, 20),
    Market("HYPE", 189_932_888.08, 6_229, 35.68, 10),
    Market("XPL", 65_849_039.14, 2_984, 0.4834, 5),
    Market("PUMP", 57_293_422.02, 1_868, 0.0038, 5),
    Market("ENA", 42_494_476.47, 360, 0.2765, 10),
    Market("AVAX", 36_642_782.69, 407, 17.24, 10),
    Market("FARTCOIN", 31_991_224.02, 1_999, 0.3688, 5),
    Market("XRP", 31_422_285.06, 607, 1.8481, 20),
)

# The 152 other markets by place among themselves (1 is the largest): what is expected of each.
# Fitted to the totals and to the published percentiles of all 162. What is drawn scatters about
# this, so it is less spread than those percentiles: a small market's notional is mostly far below
# its mean, which a few large positions make.
OTHER_FILLS = ((1, 1_470), (7.1, 291), (31.25, 137), (71.5, 45.5), (111.75, 15.2), (152, 1))
OTHER_NOTIONAL = (
    (1, 27.2e6),
    (3, 20.5e6),
    (7.1, 9.3e6),
    (20, 4.4e6),
    (31.25, 2.05e6),
    (50, 0.71e6),
    (71.5, 120e3),
    (111.75, 120e3),
    (152, 30_000.0),
)

LONG_SHARE = {"BTC": 60 / 1_759, "SOL": 36 / 2_860, "": 0.02}
"""Share of deleveraged accounts that were long; the last, for all others, is assumed."""

# (offset, fills) of the ten largest bursts.
BURSTS = (
    (61.7, 11_279),
    (113.0, 2_915),
    (122.0, 2_468),
    (131.0, 1_179),
    (164.0, 1_035),
    (200.0, 2_226),
    (221.0, 2_248),
    (255.0, 1_087),
    (262.0, 1_664),
    (301.0, 954),
)
FIRST_BURST_MARKETS = 44
LARGEST_BURST_MARKETS = 110


class Stretch(NamedTuple):
    """Small bursts between two times: how many, and how many fills in all.

    The totals follow from the published cumulative shares; how sizes fall from the largest to the
    smallest is fitted to the published median of all bursts, 13.5.

    Attributes:
        start: offset of the burst before.
        end: offset of the last one here, or of the next.
        bursts: number.
        fills: of all of them.
        ratio: of one size to the next larger.
    """

    start: float
    end: float
    bursts: int
    fills: int
    ratio: float


OTHER_BURSTS = (
    Stretch(131.0, 200.0, 10, 377, 0.52),
    Stretch(200.0, 230.0, 8, 1_006, 0.50),
    Stretch(230.0, 262.0, 10, 2_007, 0.64),
    Stretch(262.0, 446.0, 40, 4_363, 0.76),
    Stretch(446.0, 714.0, 22, 175, 0.86),
)

# (share of accounts below, value): published percentiles; above the 99th and the 99.9th fitted
# to the shares of the largest 1, 10, 100 and 1,000 of 19,337.
_RANKS = ((1_399.5, 55e3), (399.5, 380e3), (49.5, 5e6), (9.5, 30e6), (2.5, 90e6), (1.5, 231e6))
ACCOUNT_NOTIONAL = tuple(
    sorted(
        [
            (0.00002, 0.05),
            (0.01, 2.0),
            (0.05, 13.4),
            (0.10, 33.3),
            (0.25, 144.6),
            (0.50, 481.1),
            (0.75, 3_124.7),
            (0.90, 27_037.0),
            (0.95, 114_395.0),
            (0.99, 1_040_545.0),
            (0.999, 18.28e6),
            *((1 - rank / ADL_ACCOUNTS, value) for rank, value in _RANKS),
            (1 - 0.5 / ADL_ACCOUNTS, 330.45e6),
        ]
    )
)
"""Deleveraged notional of an account."""

LEVERAGE = (
    (0.00002, 0.0005),
    (0.01, 0.003),
    (0.05, 0.006),
    (0.10, 0.053),
    (0.25, 0.161),
    (0.50, 0.434),
    (0.75, 0.989),
    (0.90, 3.24),
    (0.95, 6.30),
    (0.99, 125.0),
    (0.999, 140_000.0),
    (1 - 0.5 / ADL_ACCOUNTS, 33.2e6),
)
"""Mean notional of an account's fills over its account value (not a leverage setting); published
percentiles, those from the 95th on fitted."""

LOSERS = 107 / ADL_ACCOUNTS
"""Share of deleveraged accounts without a realised profit."""

LOSS = 0.3
"""Their loss over closed notional, at most (assumed, as the published ones go to -28.67)."""

RELATIVE_PROFIT = (
    (0.00002, 0.0005),
    (0.0446, 0.097),
    (0.2459, 0.248),
    (0.4971, 0.469),
    (0.7486, 0.924),
    (0.8994, 1.677),
    (0.98994, 3.612),
    (1 - 0.5 / ADL_ACCOUNTS, 77.19),
)
"""Profit over closed notional of an account in profit; published percentiles of all accounts, moved
by the share of losers."""

_RANKS = ((1_399.5, 22e3), (399.5, 180e3), (49.5, 2.8e6), (9.5, 20e6), (2.5, 36e6), (1.5, 41.4e6))
PROFIT = tuple(
    sorted(
        [
            (0.00002, 0.01),
            (0.10, 15.0),
            (0.25, 60.5),
            (0.50, 219.0),
            (0.75, 1_363.0),
            (0.90, 11_353.0),
            (0.95, 45_510.0),
            (0.99, 455_620.0),
            (0.999, 7.29e6),
            *((1 - rank / 19_230, value) for rank, value in _RANKS),
            (1 - 0.5 / 19_230, 52_864_447.63),
        ]
    )
)
"""Realised profit of an account in profit; fitted as the notional, to its total and Gini."""

WITHOUT_CASH = 165 / ADL_ACCOUNTS
"""Share of deleveraged accounts whose equity was negative; here they have next to no cash."""

CASH = tuple(
    (max((share - WITHOUT_CASH) / (1 - WITHOUT_CASH), 0.00002), value)
    for share, value in (
        (0.0, 1e-3),
        (0.01, 0.02),
        (0.05, 12.5),
        (0.10, 39.4),
        (0.25, 279.0),
        (0.50, 941.0),
        (0.75, 6_036.0),
        (0.90, 43_664.0),
        (0.95, 178_332.0),
        (0.99, 1.67e6),
        (0.999, 25.2e6),
        (1 - 0.5 / ADL_ACCOUNTS, 316.0e6),
    )
)
"""Account value (cash) of the others; published percentiles of all, moved by that share."""

POSITIONS_AN_ACCOUNT = {
    3: 0.860,
    4: 0.915,
    5: 0.945,
    6: 0.956,
    7: 0.966,
    8: 0.974,
    9: 0.981,
    10: 0.987,
}
"""Share of accounts with fewer fills than this: fitted to the percentiles 1, 2, 3, 5, 10 at 50, 75,
90, 95 and 99 %; from 11 a power law up to the published largest, 78."""

# Rank correlations over the published table of accounts.
NOTIONAL_AND_FILLS = 0.13
NOTIONAL_AND_LEVERAGE = 0.15
NOTIONAL_AND_PROFIT = -0.11
LEVERAGE_AND_PROFIT = -0.72
LEVERAGE_AND_FILLS = -0.72  # published -0.54; fitted to profit and leverage a fill

BACKSTOPS = (
    ("0x2e3d94f0562703b25c83308a05046ddaf9a8dd14", 700_176_772.02),
    ("0xb0a55f13d22f66e6d495ac98113841b2326e9540", 1_299_111_627.31),
)
"""The venue's two liquidator vaults, by the deleveraged notional that they stood against."""

SHORTFALL = 0.0106
"""Price gap between bankruptcy and execution, over the price: 15,079,669.61 USD that were needed,
over the 67.5 % of the notional in whose waves they were needed [S5]."""
