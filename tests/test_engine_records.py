"""States and records as canonical bytes: what is written reads back, and nothing else is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.backstop.pool import Pool
from deleverage.backstop.trigger import Status
from deleverage.engine import Choices, Commands, Open, codec
from deleverage.engine.body import Body
from deleverage.errors import InputError
from deleverage.ledger import Command, decode, encode
from deleverage.model.records import Venue as Edition
from deleverage.model.scales import MarketScale
from deleverage.ranking import Rate
from deleverage.venue import Venue, venues
from engines import CHOICES, ready


@pytest.mark.parametrize("name", venues())
def test_every_edition_reads_back(name: str) -> None:
    """An edition is packed with every number, and unpacked to an equal record."""
    venue = Venue.load(name)
    packed = codec.pack(venue)
    again = codec.unpack(Edition, decode(encode(packed)))

    assert packed == codec.pack(again)
    assert type(again) is Edition
    assert (venue.score, venue.trigger, venue.backstop) == (
        again.score,
        again.trigger,
        again.backstop,
    )


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 9 * 3600), st.integers(-50, 200), st.integers(1, 50)), max_size=20
    )
)
def test_a_pool_reads_back_with_its_windows(steps: list[tuple[int, int, int]]) -> None:
    """A pool with any history is equal to what its packed form reads back to, and goes on so."""
    pool = Pool.open("fund", at=0, cash=100)
    at = 0
    for seconds, amount, mark in steps:
        at += seconds * 10**9
        if amount > 0:
            pool = pool.contribute(amount, at=at)
            rate = Rate(mark_num=mark)
            pool = pool.take_over("M", lots=2, entry_value=amount, rate=rate, at=at)
        else:
            pool = pool.mark({"M": Rate(mark_num=mark)}, at=at)
    again = codec.unpack(Pool, decode(encode(codec.pack(pool))))
    later = at + 3 * 3600 * 10**9

    assert pool == again
    assert pool.contribute(5, at=later) == again.contribute(5, at=later)


def test_the_parts_of_a_state_read_back(tmp_path: Path) -> None:
    """Statuses, liquidations, scales and choices are equal to what they read back to."""
    with ready(tmp_path / "j") as engine:
        state = engine.state
        records: list[tuple[type, Any]] = [
            (Status, state.statuses["ETH"]),
            (Open, state.opened("liq")),
            (MarketScale, state.scale("BTC")),
            (Choices, CHOICES),
        ]

        for kind, record in records:
            assert record == codec.unpack(kind, decode(encode(codec.pack(record))))


SPOILT: dict[str, Callable[[dict[str, Any]], object]] = {
    "a missing part": lambda value: value.pop("gates"),
    "a strange part": lambda value: value.update(plug=1),
    "a text for a number": lambda value: value["net"].update(ETH=None) or value.pop("net"),
    "a pool that is none": lambda value: value["pools"].update(fund={"name": "fund"}),
    "an unknown word": lambda value: value["choices"].update(stop="never"),
    "a book that is none": lambda value: value["book"].pop("rows"),
    "books that do not close": lambda value: value["ledger"]["balances"][0].__setitem__(2, 7),
}


@pytest.mark.parametrize("name", SPOILT)
def test_other_bytes_are_no_state(tmp_path: Path, name: str) -> None:
    """Bytes that no engine wrote are refused, never half read."""
    with ready(tmp_path / "j") as engine:
        data = Commands().dump(engine.state)
    value: Any = decode(data)
    SPOILT[name](value)
    with pytest.raises((InputError, RuntimeError)) as caught:
        Commands().load(encode(value))

    assert str(caught.value)
    assert Commands().dump(Commands().load(data)) == data


def test_an_unknown_command_is_refused() -> None:
    """A kind that no engine knows is named with those it knows."""
    with pytest.raises(InputError, match="expected one of load, marks") as caught:
        Commands().apply(Commands().start(), Command(1, "k", "plunder", 0, {}))

    assert "'plunder'" in str(caught.value)


def test_a_body_is_read_strictly() -> None:
    """Missing, wrong and unknown values of a command are each named."""
    body = Body("deposit", {"account": "bob", "amount": True, "list": 5})
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: body.text("asset"), "deposit, asset: expected a text, got None"),
        (lambda: body.whole("amount"), "deposit, amount: expected a whole number, got True"),
        (lambda: body.items("list"), "deposit, list: expected a list, got 5"),
        (lambda: body.table("list"), "deposit, list: expected a table, got 5"),
        (lambda: body.only("account", "amount", "lists"), "did you mean 'lists'"),
        (lambda: Body("x", [1]).text("y"), "x: expected a table"),
        (lambda: Body("x", {"n": 0}).at_least("n", least=1), "at least 1, got 0"),
    ]
    for act, words in wrong:
        with pytest.raises(InputError) as caught:
            act()
        assert words in str(caught.value)

    assert "bob" == body.text("account")
