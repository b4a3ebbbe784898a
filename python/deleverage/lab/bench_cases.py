"""The rules that are measured, and a book as the arguments the array level takes."""

from dataclasses import dataclass

from deleverage.lab.bench_timing import Floor
from deleverage.lab.books import Book
from deleverage.model.rules import Basis, Factor, Loss, Scope, ScoreRule
from deleverage.ranking import Accounts, Columns, Rate

__all__ = ["CASES", "Case", "Subject", "subject_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A rule, and the integer columns it reads besides lots and entry value.

    Attributes:
        name: the edition it stands for, short.
        rule: the score rule.
        own: columns of the position's own that the rule reads.
        is_account_level: the rule gathers the account's equity.
        peer: its name among the peers.
    """

    name: str
    rule: ScoreRule
    own: tuple[str, ...]
    is_account_level: bool = False
    peer: str


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case(
            name="bitmex",
            rule=ScoreRule(
                basis=Basis.ENTRY_VALUE, factor=Factor.BANKRUPTCY_DISTANCE, loss=Loss.DIVIDE
            ),
            own=("margin",),
            peer="bitmex",
        ),
        Case(
            name="strike-type1",
            rule=ScoreRule(basis=Basis.EQUITY, factor=Factor.NONE, loss=Loss.EXCLUDE),
            own=("margin",),
            peer="strike",
        ),
        Case(
            name="okx@2026, position scope",
            rule=ScoreRule(
                basis=Basis.ENTRY_VALUE, factor=Factor.MAINTENANCE_OVER_EQUITY, loss=Loss.DIVIDE
            ),
            own=("margin", "maintenance_margin"),
            peer="okx",
        ),
        Case(
            name="hyperliquid",
            rule=ScoreRule(
                basis=Basis.PRICE_RATIO,
                factor=Factor.NOTIONAL_OVER_EQUITY,
                loss=Loss.EXCLUDE,
                scope=Scope.ACCOUNT,
            ),
            own=(),
            is_account_level=True,
            peer="hyperliquid",
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A book as one rule reads it.

    Attributes:
        case: the rule.
        book: the positions.
        columns: what the array level takes.
        accounts: the account table, for an account-level rule.
        rates: one a market.
    """

    case: Case
    book: Book
    columns: Columns
    accounts: Accounts | None
    rates: tuple[Rate, ...]

    def floor(self, threads: int) -> Floor:
        """Return the floor over exactly what the rule reads (the market column is left out)."""
        book, case = self.book, self.case
        own = [getattr(book, name) for name in case.own]
        return Floor(
            [book.lots, book.entry_value, *own],
            threads=threads,
            account=book.account if case.is_account_level else None,
            table=book.equity if case.is_account_level else None,
        )


def subject_of(book: Book, case: Case) -> Subject:
    """Return what the array level takes for a book and a rule.

    Args:
        book: the positions; with more than one market the market column is handed over too.
        case: the rule.

    Returns:
        Columns, accounts and rates; only columns the rule reads, ids and markets.
    """
    own = {name: getattr(book, name) for name in case.own}
    columns = Columns(
        lots=book.lots,
        entry_value=book.entry_value,
        position_id=book.position_id,
        market=book.market if book.markets > 1 else None,
        account=book.account if case.is_account_level else None,
        **own,
    )
    rates = tuple(Rate(mark_num=int(mark), mark_den=book.mark_den) for mark in book.mark_num)
    accounts = Accounts(equity=book.equity) if case.is_account_level else None
    return Subject(case=case, book=book, columns=columns, accounts=accounts, rates=rates)
