"""A state as canonical bytes and back: equal states, equal bytes, however they came about."""

from dataclasses import fields
from decimal import Decimal
from typing import Any

from deleverage.backstop.liquidation import Gate
from deleverage.backstop.pool import Pool
from deleverage.backstop.trigger import Status
from deleverage.engine import book, codec
from deleverage.engine.book import Book
from deleverage.engine.positions import Positions
from deleverage.engine.state import Choices, Open, Stamps, State, triggers_of
from deleverage.errors import InputError
from deleverage.ledger import Ledger, Value, decode, encode
from deleverage.model.records import Venue
from deleverage.model.scales import MarketScale

__all__ = ["dump", "load"]

_PLAIN = ("sequence", "at", "edition", "assets", "backing", "outside", "net")
# In the book, or following from the edition.
_DERIVED = {"positions", "wallets", "triggers"}
_RECORDS: dict[str, type] = {
    "scales": MarketScale,
    "pools": Pool,
    "statuses": Status,
    "liquidations": Open,
    "gates": Gate,
}


def dump(state: State) -> bytes:
    """Give the canonical bytes of a state."""
    found: dict[str, Value] = {
        "sequence": state.sequence,
        "at": state.at,
        "edition": state.edition,
        "venue": codec.pack(state.venue),
        "choices": codec.pack(state.choices),
        "stamps": codec.pack(state.stamps),
        "oracles": codec.pack(state.oracles),
        "ledger": decode(state.ledger.dump()),
        "book": _packed(state),
    }
    for name in ("assets", "backing", "outside", "net", *_RECORDS):
        found[name] = codec.pack(getattr(state, name))
    return encode(found)


def load(data: bytes) -> State:
    """Read a state from canonical bytes.

    Raises:
        InputError: the bytes are not what `dump` gives.
    """
    value: Any = decode(data, "state")
    try:
        records: dict[str, Any] = {
            name: {key: codec.unpack(kind, item) for key, item in value[name].items()}
            for name, kind in _RECORDS.items()
        }
        plain: dict[str, Any] = {name: value[name] for name in _PLAIN}
        scales = records["scales"]
        read = None if value["book"] is None else book.unpack(value["book"], tuple(scales.values()))
        venue = None if value["venue"] is None else codec.unpack(Venue, value["venue"])
        choices = codec.unpack(Choices, value["choices"])
        state = State(
            **plain,
            **records,
            venue=venue,
            choices=choices,
            triggers={} if venue is None else triggers_of(venue, choices, scales),
            stamps=codec.unpack(Stamps, value["stamps"]),
            oracles={market: Decimal(price) for market, price in value["oracles"].items()},
            ledger=Ledger.load(encode(value["ledger"])),
            positions=None
            if read is None
            else Positions.open(read.roster, read.columns, read.aside),
            wallets={} if read is None else read.wallets,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"state: expected what an engine dumps, got {error!r}") from error
    if set(value) != {field.name for field in fields(State)} - _DERIVED | {"book"}:
        raise InputError(f"state: expected the parts of a state, got {sorted(value)}")
    return state


def _packed(state: State) -> Value:
    """Give positions and wallets as a packed book, in order of places."""
    if state.positions is None:
        return None
    columns, aside = state.positions.in_places(state.terms)
    read = Book(
        roster=state.positions.roster,
        columns=columns,
        aside=aside,
        scales=tuple(state.scales.values()),
        wallets=state.wallets,
    )
    return book.pack(read, is_compressed=False)
