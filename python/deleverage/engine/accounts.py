"""What one account has: its balance in the books, its equity, and what it can spare."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from deleverage.engine.positions import Holding
from deleverage.engine.rows import ACCOUNT_PREFIX
from deleverage.engine.state import State
from deleverage.ledger import AccountKind
from deleverage.model.quantise import decimal_of
from deleverage.model.scales import MarketScale
from deleverage.ranking import OWN_MARGIN

__all__ = ["Cross", "balance", "cross", "gain", "pool_of", "spare", "worded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cross:
    """What an account's cross positions in one asset stand on, money units.

    Attributes:
        cash: margin without unrealised profit.
        equity: with all of it, exactly.
        notional: value of its positions at the marks, exactly.
        maintenance: of the account; None where it is not known.
    """

    cash: int
    equity: Fraction
    notional: Fraction
    maintenance: int | None


def gain(holding: Holding, scale: MarketScale) -> Fraction:
    """Give the unrealised profit of a position at the mark, exactly."""
    side = (holding.lots > 0) - (holding.lots < 0)
    value = Fraction(abs(holding.lots) * scale.mark_num, scale.mark_den)
    return (-side if scale.is_inverse else side) * (value - holding.entry_value)


def balance(state: State, account: str, asset: str) -> int:
    """Give what an account has in the books, whether or not it has an account of its own there."""
    name = f"{AccountKind.TRADER.value}:{account}"
    if name in state.ledger:
        return state.ledger.balance(name, asset)
    code = state.book.roster.find_account(account)
    return 0 if code < 0 or asset not in state.wallets else int(state.wallets[asset][code])


def pool_of(state: State, account: str, asset: str) -> int | None:
    """Give the row of the account table that judges an account in an asset, if one does."""
    columns, roster = state.book.columns, state.book.roster
    if "account" not in columns:
        return None
    places = roster.places_of(account)
    pools = columns["account"][places]
    for place, pool in zip(places.tolist(), pools.tolist(), strict=True):
        if pool != OWN_MARGIN and state.scales[roster.market(place)].settle == asset:
            return int(pool)
    return None


def cross(state: State, account: str, asset: str) -> Cross:
    """Give what an account's cross positions stand on.

    Where the edition reads an account's equity, that figure follows the marks from the one the
    venue gave; elsewhere it is the balance in the books and the profits of the positions.
    """
    held = [
        holding
        for holding in state.book.holdings(state.book.roster.places_of(account))
        if holding.lots and state.scales[holding.market].settle == asset
    ]
    own = sum(holding.margin or 0 for holding in held if holding.mode == "isolated")
    shared = [holding for holding in held if holding.mode != "isolated"]
    gained = sum((gain(holding, state.scales[holding.market]) for holding in shared), Fraction(0))
    notional = sum(
        (
            Fraction(abs(h.lots) * state.scales[h.market].mark_num, state.scales[h.market].mark_den)
            for h in shared
        ),
        Fraction(0),
    )
    cash = balance(state, account, asset) - own
    maintenance, pool = None, pool_of(state, account, asset)
    columns = state.book.columns
    if pool is not None:
        if f"{ACCOUNT_PREFIX}cash" in columns:
            cash = int(columns[f"{ACCOUNT_PREFIX}cash"][pool])
        if f"{ACCOUNT_PREFIX}maintenance_margin" in columns:
            maintenance = int(columns[f"{ACCOUNT_PREFIX}maintenance_margin"][pool])
    return Cross(cash=cash, equity=cash + gained, notional=notional, maintenance=maintenance)


def spare(state: State, account: str, asset: str) -> int:
    """Give what an account can withdraw: what no margin binds and no loss has used up."""
    stands = cross(state, account, asset)
    bound = stands.maintenance or 0
    return min(stands.cash, int(stands.equity // 1) - bound)


def worded(units: int, unit: Decimal, asset: str) -> str:
    """Write money as its owner says it, with the units that the books hold beside it."""
    return f"{decimal_of(units * Fraction(unit)):f} {asset} ({units} money units)"
