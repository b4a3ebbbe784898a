"""Named by an operator: who may close whom, and after which wait (dYdX v1).

The venue's operator may deleverage an underwater account at once. Anybody else first marks it, and
waits; the mark stays as long as the account is not closed whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from deleverage.errors import StateError

__all__ = ["WAIT", "Marks"]

#: Nanoseconds that anybody but the operator waits after the mark.
WAIT = 1_800 * 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Marked accounts, and when each was marked; nanoseconds UTC.

    Attributes:
        at: time by account.
    """

    at: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def mark(self, account: str, *, at: int, is_underwater: bool) -> "Marks":
        """Mark an account; a mark that stands keeps its time.

        Raises:
            StateError: the account is not underwater.
        """
        if not is_underwater:
            raise StateError(f"account {account!r}: expected one underwater, got one that is not")
        return Marks(at=MappingProxyType({account: at, **self.at}))

    def check(self, account: str, *, at: int, is_operator: bool) -> None:
        """Refuse whoever has to wait.

        Raises:
            StateError: the caller is not the operator, and the account is not marked long enough.
        """
        if is_operator:
            return
        if account not in self.at:
            raise StateError(f"account {account!r}: expected a mark, got none; mark it and wait")
        left = self.at[account] + WAIT - at
        if left > 0:
            raise StateError(f"account {account!r}: expected the wait to end, {left} ns are left")

    def closed(self, account: str, *, is_whole: bool) -> "Marks":
        """Take note of a close: one in full removes the mark, one in part leaves it."""
        if not is_whole:
            return self
        return Marks(
            at=MappingProxyType({name: at for name, at in self.at.items() if name != account})
        )
