"""States and records as canonical bytes: what is written reads back, and nothing else is read."""

import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.backstop.pool import Pool
from deleverage.backstop.trigger import Status
from deleverage.engine import Choices, Commands, Open, codec, packing
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


KINDS = {"<i8": (-(2**63), 2**63 - 1), "<u8": (0, 2**64 - 1), "<u4": (0, 2**32 - 1)}
KINDS |= {"|u1": (0, 255), "|b1": (0, 1)}


@given(st.sampled_from([*KINDS]), st.data())
def test_a_column_reads_back(kind: str, data: st.DataObject) -> None:
    """Columns of every type come back with every bit, rising or not, and writable."""
    low, high = KINDS[kind]
    numbers = data.draw(st.lists(st.integers(low, high) | st.integers(max(low, -3), 1)))
    rising, is_compressed = data.draw(st.booleans()), data.draw(st.booleans())
    array = np.array(sorted(numbers) if rising else numbers, kind)
    again = packing.unpack(packing.pack(array, is_compressed=is_compressed))

    assert (again.dtype, again.tolist()) == (array.dtype, array.tolist())
    assert again.flags.writeable


@pytest.mark.parametrize(("share", "longest"), [(256, 14_000), (64, 11_000), (1, 400)])
def test_a_column_is_compressed_where_it_pays(share: int, longest: int) -> None:
    """High bytes that agree cost nothing, and low ones only what they say."""
    numbers = np.random.default_rng(1).integers(0, share, 10_000)

    assert len(packing.pack(numbers, is_compressed=True)) < longest
    assert len(packing.pack(np.sort(numbers), is_compressed=True)) < longest / 3
    assert len(packing.pack(numbers, is_compressed=False)) > 100_000


def test_a_column_of_an_earlier_journal_reads_back() -> None:
    """A column that was compressed in one piece, and texts that were not."""
    numbers = np.array([5, -7, 0])
    squeezed = b64encode(zlib.compress(numbers.tobytes())).decode()

    assert packing.unpack(f"z<i8 {squeezed}").tolist() == [5, -7, 0]
    assert packing.unpack_texts(["a", "b"]) == ["a", "b"]
    assert packing.are_texts([])


@given(st.lists(st.text()))
def test_texts_read_back(texts: list[str]) -> None:
    """Accounts and ids, whatever is in them."""
    for is_compressed in (False, True):
        packed = packing.pack_texts(texts, is_compressed=is_compressed)
        assert packing.are_texts(packed)
        assert packing.unpack_texts(packed) == texts


@given(
    st.integers(0, 9),
    st.binary(max_size=60),
    st.sampled_from(["p<i8", "s<u4", "z<i8", "<i8", "p|b1", "", "x", "s"]),
)
def test_what_is_no_column_is_a_value_error(count: int, data: bytes, kind: str) -> None:
    """Bytes that are no packed column are refused, never read past their end."""
    text = f"{kind} {b64encode(count.to_bytes(8, 'little') + data).decode()}"
    try:
        found = packing.unpack(text)
    except (ValueError, TypeError):
        return
    assert found.ndim == 1
