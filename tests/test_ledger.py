"""The ledger: what balances is booked, what does not is refused, and the books close."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage import _core
from deleverage.errors import InputError, InvariantError, StateError
from deleverage.ledger import Account, AccountKind, Ledger, VersionedMap, decode, encode
from deleverage.ledger.canonical import frame, spell_out

NAMES = ["trader:a", "trader:b", "pool:x", "fee:venue", "dust:venue"]
ASSETS = ["USDT", "BTC"]

Triple = tuple[str, str, int]


def opened() -> Ledger:
    """A ledger with five open accounts."""
    return Ledger().open(NAMES)


@st.composite
def events(draw: st.DrawFn) -> list[Triple]:
    """An event that adds to zero: random lines, and one a asset that closes it."""
    slot = st.tuples(st.sampled_from(NAMES), st.sampled_from(ASSETS), st.integers(-(2**60), 2**60))
    lines = draw(st.lists(slot, min_size=1, max_size=8))
    totals: Counter[str] = Counter()
    for _, asset, amount in lines:
        totals[asset] += amount
    closing = [(draw(st.sampled_from(NAMES)), asset, -total) for asset, total in totals.items()]
    return draw(st.permutations(lines + closing))


@given(st.lists(events(), max_size=12))
def test_balances_are_the_sum_of_their_postings(history: list[list[Triple]]) -> None:
    """After any balanced events each balance is the sum of its postings, and each asset is zero."""
    ledger, model = opened(), Counter[tuple[str, str]]()
    for event in history:
        ledger = ledger.post(event)
        for account, asset, amount in event:
            model[account, asset] += amount
        assert ledger.trial_balance().is_closed

    for account in NAMES:
        for asset in ASSETS:
            assert ledger.balance(account, asset) == model[account, asset]
            assert ledger.trial_balance().difference(asset) == 0


@given(events(), events(), st.integers(1, 2**70), st.integers(0, 20))
def test_an_unbalanced_event_changes_nothing(
    first: list[Triple], second: list[Triple], extra: int, where: int
) -> None:
    """An event whose postings in one asset do not add to zero is an error, and books nothing."""
    ledger = opened().post(first)
    before = ledger.state_hash()
    account, asset, amount = second[where % len(second)]
    second[where % len(second)] = (account, asset, amount + extra)

    with pytest.raises(InvariantError, match="add up to 0"):
        ledger.post(second)
    assert ledger.state_hash() == before


def test_assets_do_not_balance_each_other() -> None:
    """A debit in one asset does not pay for a credit in another."""
    with pytest.raises(InvariantError, match="USDT"):
        opened().post([("trader:a", "USDT", 5), ("trader:b", "BTC", -5)])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "at least one posting"),
        ([("trader:a", "USDT", 1), ("trader:zed", "USDT", -1)], "posting 1, account.*trader:zed"),
        ([("trader:a", "USDT", 1.0), ("trader:b", "USDT", -1.0)], "posting 0, amount.*1.0"),
        ([("trader:a", "USDT", True), ("trader:b", "USDT", -1)], "posting 0, amount.*True"),
        ([("trader:a", "", 1), ("trader:b", "", -1)], "posting 0, asset"),
        ([("trader:a", 7, 1)], "posting 0, asset"),
        ([("trader:a", "USDT")], "posting 0: expected"),
        ([(["trader:a"], "USDT", 1)], "posting 0, account"),
    ],
)
def test_a_malformed_posting_is_named(event: list[Any], message: str) -> None:
    """What is no posting to an open account is refused by its number, and nothing is booked."""
    ledger = opened()
    before = ledger.dump()

    with pytest.raises(InputError, match=message):
        ledger.post(event)
    assert ledger.dump() == before


def test_a_balance_stays_within_128_bits() -> None:
    """A balance that would reach 2^127 is refused; one below it is booked."""
    most = 2**127 - 1
    ledger = opened().post([("trader:a", "USDT", most), ("pool:x", "USDT", -most)])

    assert ledger.balance("trader:a", "USDT") == most
    with pytest.raises(StateError, match="2\\^127"):
        ledger.post([("trader:a", "USDT", 1), ("pool:x", "USDT", -1)])


def test_an_unknown_account_has_no_balance() -> None:
    """Asking for an account that was never opened is an error, not a zero."""
    with pytest.raises(InputError, match="trader:zed"):
        opened().balance("trader:zed", "USDT")


@pytest.mark.parametrize("text", ["", "a", "trader", "trader:", "king:a", ":a"])
def test_an_account_is_a_kind_and_a_name(text: str) -> None:
    """What is not `kind:name` with a known kind is refused."""
    with pytest.raises(InputError, match="account: expected"):
        Account.parse(text)


def test_an_account_reads_as_it_is_written() -> None:
    """Every kind, and a name with a colon in it, survive printing and reading."""
    for kind in AccountKind:
        account = Account(kind, "a:b c")
        assert Account.parse(str(account)) == account


@given(events(), st.randoms(use_true_random=False))
def test_the_hash_does_not_depend_on_the_way(event: list[Triple], random: Any) -> None:
    """The same accounts and balances have the same bytes, however they came about."""
    names = random.sample(NAMES, len(NAMES))
    straight = opened().post(event)
    detour = Ledger().open(names[:2]).open(names).post(random.sample(event, len(event)))
    back = [(account, asset, -amount) for account, asset, amount in event]

    assert (
        straight.state_hash() == detour.state_hash() == detour.post(back).post(event).state_hash()
    )
    assert detour.post(back).dump() == opened().dump()


@given(events())
def test_a_dumped_ledger_loads_the_same(event: list[Triple]) -> None:
    """Loading the canonical bytes gives the same ledger."""
    ledger = opened().post(event)
    loaded = Ledger.load(ledger.dump())

    assert (loaded.dump(), loaded.balances()) == (ledger.dump(), ledger.balances())


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"accounts": []},
        {"accounts": [1], "balances": []},
        {"accounts": ["trader:a"], "balances": [7]},
        {"accounts": ["trader:b", "trader:a"], "balances": []},
        {"accounts": ["trader:a"], "balances": [["trader:a", "USDT", 0]]},
    ],
)
def test_what_is_no_ledger_does_not_load(value: object) -> None:
    """Bytes that a ledger would not have written are refused."""
    with pytest.raises(InputError):
        Ledger.load(encode(value))


def test_a_ledger_that_does_not_close_does_not_load() -> None:
    """Loading checks that the balances of each asset add to zero."""
    with pytest.raises(InvariantError):
        Ledger.load(encode({"accounts": ["trader:a"], "balances": [["trader:a", "USDT", 1]]}))


def test_the_trial_balance_is_by_asset_and_kind() -> None:
    """A line a asset and kind, with credits and debits apart, and every asset adds to zero."""
    ledger = opened().post(
        [("trader:a", "USDT", 70), ("trader:b", "USDT", -100), ("fee:venue", "USDT", 30)]
    )
    trial = ledger.trial_balance()

    assert [
        (line.asset, line.kind, line.accounts, line.credit, line.debit) for line in trial.lines
    ] == [
        ("USDT", AccountKind.TRADER, 2, 70, 100),
        ("USDT", AccountKind.FEE, 1, 30, 0),
    ]
    assert (trial.is_closed, trial.difference("USDT")) == (True, 0)


@given(
    st.lists(st.dictionaries(st.integers(0, 9), st.none() | st.integers()), max_size=12), st.data()
)
def test_an_old_version_of_a_map_still_reads(changes: list[Any], data: st.DataObject) -> None:
    """Every version of a map reads as a copied dict would, in any order, and may branch."""
    maps: list[VersionedMap[int, int]] = [VersionedMap({1: 1})]
    models: list[dict[int, int]] = [{1: 1}]
    for change in changes:
        at = data.draw(st.integers(0, len(maps) - 1))
        maps.append(maps[at].put(change))
        models.append({k: v for k, v in {**models[at], **change}.items() if v is not None})
    for at in data.draw(st.permutations(range(len(maps)))):
        assert dict(maps[at].items()) == models[at]
        assert (len(maps[at]), set(maps[at])) == (len(models[at]), set(models[at]))
        assert all(maps[at].get(key) == models[at].get(key) for key in range(10))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_canonical_bytes_read_back(value: object) -> None:
    """A value of whole numbers, texts, lists and dicts reads back from its bytes unchanged."""
    assert decode(encode(value)) == value


@given(JSON, st.sampled_from([1.0, 0.5, float("nan"), float("inf"), (1,), {1}, b"x", {1: 2}]))
def test_what_has_no_canonical_bytes_is_refused(value: object, wrong: object) -> None:
    """A float, a tuple, a set, bytes or a key that is no text is refused, wherever it hides."""
    with pytest.raises(InputError, match=r"value\.here\[1\]: expected"):
        encode({"here": [value, wrong]})


@pytest.mark.parametrize(
    "data", [b'{"b":1,"a":2}', b'{"a": 1}', b"1.0", b"NaN", b"\xff", b"", b"{"]
)
def test_another_spelling_is_refused(data: bytes) -> None:
    """Bytes that are not the one spelling of a value are refused."""
    with pytest.raises(InputError, match="canonical JSON"):
        decode(data)


def containers(value: object) -> list[int]:
    """The identities of a value's lists and dicts."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [id(value)] if isinstance(value, dict | list) else []
    return own + [found for item in inner for found in containers(item)]


@given(JSON)
def test_the_kernel_spells_as_python_does(value: object) -> None:
    """Bytes and what they read back as are the same, keys in order, and share no list or dict."""
    plain = _core.spell_twin(value)
    data, twin = spell_out(value)

    assert plain is not None
    assert (data, repr(twin)) == (plain[0], repr(plain[1]))
    assert data == _core.spell(value)
    assert not {*containers(value)} & {*containers(plain[1])}


@pytest.mark.parametrize(
    "value",
    [1.0, "\ud800", {"\ud800": 1}, (1,), {1: 2}, [[[1.5]]], AccountKind.FEE, [10**5000]],
)
def test_the_kernel_leaves_what_is_not_plain_to_python(value: object) -> None:
    """It neither guesses nor raises."""
    assert _core.spell(value) is None
    assert _core.spell_twin(value) is None


@given(st.lists(events(), max_size=6), st.data())
def test_the_kernel_books_as_python_does(history: list[list[Triple]], data: st.DataObject) -> None:
    """The same balances after every event, and older ledgers still read as they did."""
    quick, slow = [opened()], [opened()]
    for event in history:
        lines = [list(line) for line in event] if data.draw(st.booleans()) else event
        quick.append(quick[-1].post(lines))
        slow.append(slow[-1].post_slowly(list(event)))
    for at in data.draw(st.permutations(range(len(quick)))):
        assert quick[at].balances() == slow[at].balances()


@given(events(), events(), st.integers(0, 20), st.sampled_from([0.5, True, None, "1", 2**63]))
def test_what_the_kernel_leaves_to_python_it_has_undone(
    first: list[Triple], second: list[Any], where: int, wrong: object
) -> None:
    """A line that is not plain leaves the tables of balances as they were."""
    ledger = opened().post(first)
    account, asset, _ = second[where % len(second)]
    second.insert(where % len(second), (account, asset, wrong))
    open_accounts = dict.fromkeys(NAMES, True)
    tables = {name: {a: n for a, held, n in ledger.balances() if held == name} for name in ASSETS}
    before = {name: dict(table) for name, table in tables.items()}

    assert _core.post(second, tables, open_accounts) is None
    assert before == tables


@given(st.lists(st.binary(max_size=9)), st.lists(st.binary(max_size=9)))
def test_a_frame_tells_its_parts_apart(one: list[bytes], two: list[bytes]) -> None:
    """Two lists of parts have the same frame only if they are the same."""
    assert (frame(*one) == frame(*two)) == (one == two)
