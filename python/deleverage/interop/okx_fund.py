"""What OKX says of an insurance fund and its deleveraging becomes states, causes and numbers.

Two messages: the public channel `adl-warning`, and the records of type `adl` of the query
`GET /api/v5/public/insurance-fund`. Since 2026-07-19 the channel is silent while all is normal, and
every number but the balance is empty; before, `normal` was said each minute with all numbers. Both
are read; what is not said is None.

The numbers are the venue's own. Where it prints a decline, the decline of the printed balance from
the printed peak stands beside it, and the two need not agree.

Source: https://www.okx.com/docs-v5/en/ (public data: adl-warning channel, get insurance fund).
"""

from dataclasses import dataclass
from fractions import Fraction

from deleverage.errors import InputError
from deleverage.interop.messages import Fields
from deleverage.model.refusals import plain
from deleverage.model.terms import ConditionKind

__all__ = ["AdlWarning", "FundEvent", "read_fund_event", "read_warning"]

_STATES = {"normal": "idle", "warning": "warning", "adl": "active"}
_INSTRUMENTS = {"SWAP": "swap", "FUTURES": "futures", "OPTION": "option"}
_STARTS = {
    "rate_adl_start": ConditionKind.FUND_DRAWDOWN,
    "bal_adl_start": ConditionKind.FUND_LEVEL,
    "pos_adl_start": ConditionKind.LIQUIDATION_BACKLOG,
}
_END = "adl_end"
_ADL_TYPES = {name: name for name in (*_STARTS, _END)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdlWarning:
    """One message of the channel `adl-warning`.

    Attributes:
        family: the instruments that share the fund, for instance BTC-USDT.
        instrument: `swap`, `futures` or `option`.
        state: `idle`, `warning` or `active`, as a trigger says it.
        balance: of the fund.
        peak: its largest balance in the window.
        peak_at: when that was, ns UTC.
        decline: the printed share that is lost of the peak.
        start_balance: the printed balance at which deleveraging starts.
        start_decline: the printed decline at which it starts.
        stop_balance: the printed balance at which it ends.
        stop_decline: the printed decline at which it ends.
        cause: the start condition, while one is said.
        time_ns: when it was said, ns UTC.
    """

    family: str
    instrument: str
    state: str
    balance: Fraction
    peak: Fraction | None
    peak_at: int | None
    decline: Fraction | None
    start_balance: Fraction | None
    start_decline: Fraction | None
    stop_balance: Fraction | None
    stop_decline: Fraction | None
    cause: ConditionKind | None
    time_ns: int | None

    @property
    def decline_of_peak(self) -> Fraction | None:
        """One less the balance over the peak; None where no peak is said."""
        return _decline(self.balance, self.peak)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundEvent:
    """One record of type `adl` of an insurance fund: deleveraging began, or ended.

    Attributes:
        asset: of the balance.
        is_start: it began; otherwise it ended.
        cause: the start condition; None at the end.
        balance: of the fund.
        peak: its largest balance in the window; None where it is not said.
        peak_at: when that was, ns UTC.
        decline: the printed share that is lost of the peak.
        time_ns: when it was, ns UTC.
    """

    asset: str
    is_start: bool
    cause: ConditionKind | None
    balance: Fraction
    peak: Fraction | None
    peak_at: int | None
    decline: Fraction | None
    time_ns: int | None

    @property
    def decline_of_peak(self) -> Fraction | None:
        """One less the balance over the peak; None where no peak is said."""
        return _decline(self.balance, self.peak)


def read_warning(message: object) -> AdlWarning:
    """Read one record of the channel `adl-warning`.

    Raises:
        InputError: a field that is always said is missing, a word is unknown, a number is none.
    """
    fields = Fields(message, "OKX adl-warning")
    said = fields.given("adlType")
    return AdlWarning(
        family=fields.text("instFamily"),
        instrument=fields.word("instType", _INSTRUMENTS),
        state=fields.word("state", _STATES),
        balance=fields.number("bal"),
        peak=_peak(fields),
        peak_at=fields.time_given("maxBalTs"),
        decline=fields.number_given("decRate"),
        start_balance=fields.number_given("adlBal"),
        start_decline=fields.number_given("adlRate"),
        stop_balance=fields.number_given("adlRecBal"),
        stop_decline=fields.number_given("adlRecRate"),
        cause=None if said is None else _STARTS.get(fields.word("adlType", _ADL_TYPES)),
        time_ns=fields.time_given("ts"),
    )


def read_fund_event(record: object) -> FundEvent:
    """Read one record of type `adl` out of `details` of the insurance fund's query.

    Raises:
        InputError: another type of record, a missing field, an unknown word, a number that is none.
    """
    fields = Fields(record, "OKX insurance-fund")
    fields.word("type", {"adl": "adl"})
    said = fields.word("adlType", _ADL_TYPES)
    return FundEvent(
        asset=fields.text("ccy"),
        is_start=said != _END,
        cause=_STARTS.get(said),
        balance=fields.number("balance"),
        peak=_peak(fields),
        peak_at=fields.time_given("maxBalTs"),
        decline=fields.number_given("decRate"),
        time_ns=fields.time_given("ts"),
    )


def _peak(fields: Fields) -> Fraction | None:
    """The largest balance; what is not above zero is no peak to decline from."""
    peak = fields.number_given("maxBal")
    if peak is not None and peak <= 0:
        shown = plain(fields.given("maxBal"))
        raise InputError(f"{fields.place}, maxBal: expected a number above zero, got {shown}")
    return peak


def _decline(balance: Fraction, peak: Fraction | None) -> Fraction | None:
    return None if peak is None else 1 - balance / peak
