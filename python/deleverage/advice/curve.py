"""How much of one account is cut if X contracts of the other side go bankrupt, as a curve."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import polars as pl

from deleverage.errors import InputError
from deleverage.model.quantise import decimal_of, quantise
from deleverage.model.refusals import plain

__all__ = ["Curve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The cut of an account as a function of the bankrupt quantity: flat, then one for one.

    Attributes:
        lot_size: contracts a lot.
        steps: one (before, lots) an entry of the account in queue order: lots that stand before
            it, and its own.
        capacity: lots of the whole queue.
        is_all_or_nothing: nobody is cut where the queue cannot offset all.
    """

    lot_size: Decimal
    steps: tuple[tuple[int, int], ...]
    capacity: int
    is_all_or_nothing: bool = False

    def cut(self, bankrupt: Decimal | str | float) -> Decimal:
        """Give the contracts of the account that are cut.

        Args:
            bankrupt: contracts that go bankrupt on the other side, in another account.

        Raises:
            InputError: it is negative or no whole number of lots.
        """
        lots = quantise(bankrupt, self.lot_size, name="bankrupt")
        if lots < 0:
            raise InputError(f"bankrupt: expected contracts, 0 or more, got {plain(bankrupt)}")
        return self._contracts(self._cut(lots))

    @property
    def spared_until(self) -> Decimal | None:
        """Contracts that can go bankrupt before the account is touched; None without entries."""
        return self._contracts(self.steps[0][0]) if self.steps else None

    @property
    def most(self) -> Decimal:
        """Contracts of the account that can be cut at all."""
        return self._contracts(sum(lots for _, lots in self.steps))

    def frame(self) -> pl.DataFrame:
        """Give the corners of the curve; it is straight between them.

        Returns:
            bankrupt, cut (Decimal contracts, rising), share (float64, of what can be cut).
        """
        corners = {0, self.capacity}
        corners |= {edge for before, lots in self.steps for edge in (before, before + lots)}
        bankrupt = sorted(corners)
        cut = [self._cut(lots) for lots in bankrupt]
        most = sum(lots for _, lots in self.steps)
        digits = max(0, -int(self.lot_size.normalize().as_tuple().exponent))
        kind = pl.Decimal(38, digits)
        return pl.DataFrame(
            [
                pl.Series("bankrupt", [self._contracts(lots) for lots in bankrupt], dtype=kind),
                pl.Series("cut", [self._contracts(lots) for lots in cut], dtype=kind),
                pl.Series("share", [lots / most if most else 0.0 for lots in cut]),
            ]
        )

    def _cut(self, bankrupt: int) -> int:
        if self.is_all_or_nothing and bankrupt > self.capacity:
            return 0
        return sum(min(max(bankrupt - before, 0), lots) for before, lots in self.steps)

    def _contracts(self, lots: int) -> Decimal:
        return decimal_of(lots * Fraction(self.lot_size))
