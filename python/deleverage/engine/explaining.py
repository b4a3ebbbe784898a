"""Why an account is cut by a plan, or is not: the rule with its numbers, as exact fractions."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np

from deleverage.engine.positions import Holding
from deleverage.engine.state import State
from deleverage.errors import InputError
from deleverage.explanation import EntryNote, Explanation, Facts, Outcome, Pool, Working, work
from deleverage.model.quantise import decimal_of
from deleverage.model.refusals import nearest_name
from deleverage.ranking import OWN_MARGIN

__all__ = ["explain", "working_of"]

_COLUMNS = ("margin", "maintenance_margin", "initial_margin", "open_value", "leverage")
_JOINT = ("profit_lots", "profit_value")


def working_of(state: State, held: Holding) -> Working:
    """Work the score of one row by hand, apart from the kernel.

    Args:
        state: that the row is in.
        held: the row.
    """
    scale, columns = state.scale(held.market), state.book.columns
    row = held.place
    given = {name: int(columns[name][row]) for name in (*_COLUMNS, *_JOINT) if name in columns}
    facts = Facts(
        lots=held.lots,
        entry_value=held.entry_value,
        lot_value=Fraction(scale.mark_num, scale.mark_den),
        is_inverse=scale.is_inverse,
        pool=_pool(state, held),
        **given,
    )
    rule = state.rules.score_rule(scale.money_units_per_asset)
    return work(rule, facts, money_unit=Fraction(scale.money_unit))


def explain(
    state: State,
    *,
    market: str,
    side: str,
    account: str,
    cuts: Sequence[tuple[int, int]],
    price: Decimal | None,
    event: str,
) -> Explanation:
    """Say what a plan does to the rows of an account on the candidates' side.

    Args:
        state: that the plan was made in.
        market: of the plan.
        side: of the candidates.
        account: who asks.
        cuts: place and lots closed of every fill, in the order of the queue.
        price: the settlement price, where it is finite.
        event: the plan in one sentence.

    Raises:
        InputError: the account holds nothing on that side; names the nearest account.
    """
    section = state.book.roster.section_of(market, side)
    places = state.book.roster.places_of(account)
    places = places[state.book.roster.section[places] == section.number]
    held = [one for one in state.book.holdings(places) if one.lots]
    if not held:
        near = [str(name) for name in state.book.roster.accounts.head(1000)]
        hint = nearest_name(account, near)
        raise InputError(f"account: expected one with a {side} in {market}, got {account!r}{hint}")
    closed = dict(cuts)
    notes = tuple(_note(state, one, closed, price) for one in held)
    last = "nobody is cut" if not cuts else f"the cut is behind place {len(cuts)} of the queue"
    is_cut = any(one.place in closed for one in held)
    return Explanation(account=account, is_cut=is_cut, event=event, cut=last, entries=notes)


def _note(
    state: State,
    held: Holding,
    closed: dict[int, int],
    price: Decimal | None,
) -> EntryNote:
    """Say what becomes of one row."""
    lot = Fraction(state.scale(held.market).lot_size)
    part, working = closed.get(held.place, 0), working_of(state, held)
    size = abs(held.lots)
    if part:
        outcome = Outcome.CUT if part == size else Outcome.CUT_IN_PART
        why = "it stands at the head of the queue"
    elif not state.book.is_live(held.place) or working.ratio is None:
        outcome, why = Outcome.LEFT_OUT, "it has no place in the queue"
    else:
        outcome, why = Outcome.SPARED, "those ahead of it offset everything"
    return EntryNote(
        position_id=held.position_id,
        market=held.market,
        side=held.side,
        qty=decimal_of(size * lot),
        outcome=outcome,
        why=why,
        place=list(closed).index(held.place) + 1 if part else None,
        score=None if working.ratio is None else float(working.ratio),
        working=working,
        closed=decimal_of(part * lot),
        left=decimal_of((size - part) * lot),
        price=price if part else None,
    )


def _pool(state: State, held: Holding) -> Pool | None:
    """Give the account's pool that judges a row, or None where its own margin does."""
    if held.pool == OWN_MARGIN:
        return None
    _, accounts = state.book.judged(state.terms, np.array([held.place]))
    table = {name: getattr(accounts, name) for name in Pool.__dataclass_fields__}
    return Pool(**{name: int(column[0]) for name, column in table.items() if column is not None})
