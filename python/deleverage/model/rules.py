"""The score rule as data: what a venue multiplies, divides and leaves out.

A score is `basis x factor` for a position in profit; what happens to one at a loss is the
`loss` rule. The members are listed in the order of the codes that the kernel uses.
"""

from dataclasses import dataclass
from enum import StrEnum

from deleverage.errors import InputError

__all__ = [
    "Basis",
    "Factor",
    "Loss",
    "NoEquity",
    "Reason",
    "Scope",
    "ScoreRule",
    "Tie",
    "Weight",
]

_FLOOR_LIMIT = 2**51


class Basis(StrEnum):
    """What a position's success is measured by."""

    ENTRY_VALUE = "entry_value"
    WALLET = "wallet"
    INITIAL_MARGIN = "initial_margin"
    EQUITY = "equity"
    ABSOLUTE = "absolute"
    PRICE_RATIO = "price_ratio"
    PRICE_RATIO_LITERAL = "price_ratio_literal"
    UNIT = "unit"
    MARK_VALUE = "mark_value"


class Factor(StrEnum):
    """What a position's leverage is measured by."""

    NONE = "none"
    BANKRUPTCY_DISTANCE = "bankruptcy_distance"
    NOTIONAL_OVER_EQUITY = "notional_over_equity"
    MAINTENANCE_OVER_EQUITY = "maintenance_over_equity"
    NOTIONAL_OVER_FLOORED_EQUITY = "notional_over_floored_equity"
    LEVERAGE_SETTING = "leverage_setting"
    OPEN_VALUE_OVER_MARGIN = "open_value_over_margin"


class Loss(StrEnum):
    """What happens to the score of a position at a loss."""

    DIVIDE = "divide"
    MULTIPLY = "multiply"
    ZERO = "zero"
    EXCLUDE = "exclude"


class NoEquity(StrEnum):
    """What happens where the rule divides by an equity that is zero or negative."""

    LEAVE_OUT = "leave_out"
    ZERO = "zero"


class Scope(StrEnum):
    """Whose equity judges a position: its own, its account's, or as its margin mode says."""

    POSITION = "position"
    ACCOUNT = "account"
    MARGIN_MODE = "margin_mode"


class Tie(StrEnum):
    """Keys that order equal scores; the position's id is always the last."""

    SIZE = "size"
    PROFIT = "profit"
    BALANCE = "balance"
    NEWEST = "newest"
    OLDEST = "oldest"


class Weight(StrEnum):
    """What a light's bands share out: the side's quantity, its entries, or its accounts."""

    QUANTITY = "quantity"
    ENTRIES = "entries"
    ACCOUNTS = "accounts"


class Reason(StrEnum):
    """Why an entry has no place in the queue, in the order of precedence."""

    SCORED = "scored"
    LIQUIDATING = "liquidating"
    NO_EQUITY = "no_equity"
    THROUGH_BANKRUPTCY = "through_bankruptcy"
    NOT_IN_PROFIT = "not_in_profit"
    NO_BASIS = "no_basis"
    NO_FACTOR = "no_factor"
    EXCLUDED = "excluded"
    BANKRUPT_ACCOUNT = "bankrupt_account"
    EXEMPT_POOL = "exempt_pool"
    HEDGED_PART = "hedged_part"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRule:
    """One venue edition's ranking rule.

    Attributes:
        basis: what success is measured by.
        factor: what leverage is measured by.
        loss: what happens to a score at a loss.
        no_equity: what happens where equity divides and is not positive.
        scope: whose equity is meant.
        joint_hedge: the long and short legs of one account and market share one profit.
        wallet_floor: smallest wallet the `wallet` basis divides by, in money units (>= 1).
        ties: keys after the score, the first decides first.
    """

    basis: Basis
    factor: Factor
    loss: Loss
    no_equity: NoEquity = NoEquity.LEAVE_OUT
    scope: Scope = Scope.POSITION
    joint_hedge: bool = False
    wallet_floor: int = 1
    ties: tuple[Tie, ...] = (Tie.SIZE,)

    @property
    def codes(self) -> tuple[int, int, int, int, bool, int, list[int]]:
        """The rule as the kernel takes it.

        Raises:
            InputError: the wallet floor is out of range.
        """
        if not 1 <= self.wallet_floor < _FLOOR_LIMIT:
            msg = f"wallet_floor: expected 1 to 2**51 money units, got {self.wallet_floor!r}"
            raise InputError(msg)
        return (
            _PLACES[Basis][self.basis],
            _PLACES[Factor][self.factor],
            _PLACES[Loss][self.loss],
            _PLACES[NoEquity][self.no_equity],
            self.joint_hedge,
            self.wallet_floor,
            [_PLACES[Tie][tie] for tie in self.ties],
        )


# Members of an enumeration as the kernel counts them; asked at every call.
_PLACES = {
    kind: {member: place for place, member in enumerate(kind)}
    for kind in (Basis, Factor, Loss, NoEquity, Tie)
}
