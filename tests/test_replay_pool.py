"""A replay's pool, waves and the side that is shown: each equal to a plain account of the dump."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path

import polars as pl
import pytest

from commandline import call
from deleverage import Venue, rank
from deleverage.errors import InputError, VenueError
from deleverage.lab.dump import Dump
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.replay import POLICIES, read_results, replay
from deleverage.lab.replay_event import COVERED
from deleverage.lab.replay_policy import Share
from deleverage.lab.replay_pool import PoolTerms, carried
from deleverage.lab.replay_shown import HEAD, WATCHED, choose
from deleverage.lab.replay_waves import GAP, with_waves
from deleverage.planning.side import Int64, QueueSide
from replays import assert_same

Capture = pytest.CaptureFixture[bytes]

POOL = PoolTerms(
    cash=Decimal(30_000), start=Decimal("0.3"), stop=Decimal("0.6"), income=Decimal(900_000)
)
UNIT = Fraction(1, 1_000_000)
TWO = ("queue", "pro-rata")


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """A small dump with two snapshots."""
    request = Request(positions=4_000, markets=10, snapshots=2, seed=11)
    return generate_dump(tmp_path_factory.mktemp("pool") / "dump", request)


@pytest.fixture(scope="module")
def run(dump: Dump, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run under two policies with a pool."""
    place = tmp_path_factory.mktemp("pool") / "run"
    policies = {name: POLICIES[name] for name in TWO}
    replay(dump, place, venues=[Venue.load("bitmex")], policies=policies, pool=POOL)
    return place


def mark_of(dump: Dump, event: dict[str, object]) -> Decimal:
    """The mark of an event, looked up in the plain table."""
    found = dump.marks.filter(
        pl.col("snapshot") == event["snapshot"],
        pl.col("time") == event["time"],
        pl.col("market").cast(pl.String) == str(event["market"]),
    )
    mark: Decimal = found["mark_price"][0]
    return mark


def test_one_call_a_side_is_event_by_event(dump: Dump, tmp_path: Path) -> None:
    """A queue asked in one call a side and one asked event by event leave the same tables."""

    def plainly(side: QueueSide, lots: int, excluded: Int64) -> Share:
        return POLICIES["queue"](side, lots, excluded)

    venues = [Venue.load(name) for name in ("bitmex", "hyperliquid", "strike-type2")]
    for pool in (None, POOL):
        for name, policy in (("one", POLICIES["queue"]), ("other", plainly)):
            run = tmp_path / f"{name} {pool is None}"
            replay(dump, run, venues=venues, policies={"queue": policy}, pool=pool)
        assert_same(tmp_path / f"one {pool is None}", tmp_path / f"other {pool is None}")


def test_a_wave_ends_where_nothing_happens_for_five_seconds(dump: Dump) -> None:
    """Waves count up by one at each longer gap, and end at the market's last mark within them."""
    events = with_waves(dump)
    assert events["event"].equals(dump.bankruptcies["event"])
    assert events["wave"].n_unique() > 1
    for (one, wave), (other, later) in pairwise(events.select("time", "wave").rows()):
        assert later - wave == (other - one > GAP)
    for row in events.gather_every(9).iter_rows(named=True):
        end = events.filter(pl.col("wave") == row["wave"])["time"].max()
        marks = dump.marks.filter(
            pl.col("market").cast(pl.String) == str(row["market"]), pl.col("time") <= end
        ).sort("time")
        assert row["wave_mark"] == marks["mark_price"][-1]


def test_the_pool_is_a_plain_account(dump: Dump) -> None:
    """Balance, lines and who is covered equal an account kept in fractions, event by event."""
    history = carried(dump, Venue.load("bitmex"), POOL).history
    balance, earned, is_active = Fraction(30_000), Fraction(0), False
    begin = int(dump.bankruptcies["time"][0])
    states = set()
    for event, row in zip(
        dump.bankruptcies.iter_rows(named=True), history.iter_rows(named=True), strict=True
    ):
        exact = Fraction(900_000) * (event["time"] - begin) / (3_600 * 10**9)
        due = exact // UNIT * UNIT - earned
        balance, earned = balance + due, earned + due
        is_active = balance < 18_000 if is_active else balance <= 9_000
        long = 1 if str(event["side"]) == "long" else -1
        gap = Fraction(event["bankruptcy_price"]) - Fraction(mark_of(dump, event))
        lacking = ceil(long * Fraction(event["qty"]) * gap / UNIT) * UNIT
        is_covered = not is_active and lacking <= balance
        balance -= lacking if is_covered else 0
        states.add((is_active, is_covered))
        assert (row["is_active"], row["is_covered"]) == (is_active, is_covered)
        assert Fraction(row["balance"]) == balance
        assert row["unpaid"] == 0
        assert (row["start_line"], row["stop_line"]) == (9_000, 18_000)

    assert states >= {(False, True), (True, False)}


def test_what_the_pool_takes_cuts_nobody(dump: Dump, run: Path) -> None:
    """Covered events have no fill under any policy, all others are planned as ever."""
    events, fills = read_results(run, "events"), read_results(run, "fills")
    covered = set(read_results(run, "pool").filter("is_covered")["event"].to_list())

    assert 0 < len(covered) < dump.bankruptcies.height
    for row in events.iter_rows(named=True):
        assert (row["reason"] == COVERED) is (row["event"] in covered)
    assert covered.isdisjoint(fills["event"].to_list())
    asked = events.filter(pl.col("reason") != COVERED)
    assert set(asked["event"].to_list()) == set(fills["event"].to_list())
    assert asked["unfilled"].sum() == 0


def test_an_edition_that_settles_at_the_mark_costs_its_pool_the_gap(dump: Dump) -> None:
    """Where cuts are settled at the mark the pool bears what the bankruptcy price lacks."""
    venue = Venue.load("hyperliquid")
    history = carried(dump, venue, PoolTerms(cash=Decimal(0), start=Decimal(0))).history
    marks = dump.marks.with_columns(pl.col("market").cast(pl.String))
    for event, row in zip(
        dump.bankruptcies.head(20).iter_rows(named=True),
        history.iter_rows(named=True),
        strict=False,
    ):
        own = marks.filter(
            pl.col("snapshot") == event["snapshot"],
            pl.col("time") == event["time"],
            pl.col("market") == str(event["market"]),
        )
        long = 1 if str(event["side"]) == "long" else -1
        gap = Fraction(event["bankruptcy_price"]) - Fraction(own["previous_mark_price"][0])
        cost = ceil(long * Fraction(event["qty"]) * gap / UNIT) * UNIT
        assert Fraction(row["paid"]) + Fraction(row["unpaid"]) == cost


def test_a_trigger_that_was_never_published_needs_lines(dump: Dump) -> None:
    """Without lines the edition's trigger is read; where it has none, that is the error."""
    generic = carried(dump, Venue.load("generic"), PoolTerms(cash=Decimal(10**9)))

    assert generic.covered == set(dump.bankruptcies["event"].to_list())
    with pytest.raises(VenueError, match=r"never published.*\(--start, --stop\)"):
        carried(dump, Venue.load("hyperliquid"), PoolTerms(cash=Decimal(1)))


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"cash": Decimal(-1)}, "pool: expected money, 0 or more, .* got -1"),
        ({"cash": Decimal("NaN")}, "pool: expected money, 0 or more, .* got NaN"),
        ({"cash": Decimal(1), "income": Decimal(-2)}, "pool income: expected money"),
        ({"cash": Decimal("1e400")}, "pool: expected money, 0 or more, below 10*, got"),
        ({"cash": Decimal(1), "start": Decimal(-1)}, "pool start: expected a share"),
        ({"cash": Decimal(1), "start": Decimal("1e400")}, "pool start: expected a share"),
        (
            {"cash": Decimal(0), "start": Decimal("0.3"), "stop": Decimal("0.6")},
            "pool: expected more than 0 where two lines",
        ),
        (
            {"cash": Decimal(1), "stop": Decimal(1)},
            "pool stop: expected at least the start, None, got 1",
        ),
        (
            {"cash": Decimal(1), "start": Decimal(1), "stop": Decimal("0.5")},
            "pool stop: expected at least the start, 1, got 0.5",
        ),
    ],
)
def test_odd_pools_are_refused(terms: dict[str, Decimal], says: str) -> None:
    """A figure that is out of range is one clear error."""
    with pytest.raises(InputError, match=says):
        PoolTerms(**terms)


def test_a_price_that_is_not_known_takes_no_pool(dump: Dump) -> None:
    """An edition whose price takes what a dump does not say cannot carry a pool."""
    with pytest.raises(InputError, match="replay it without a pool"):
        carried(dump, Venue.load("ethereal"), PoolTerms(cash=Decimal(1), start=Decimal(1)))


def test_the_side_that_is_shown_has_the_largest_sum(dump: Dump) -> None:
    """Chosen by what was asked of it in one snapshot, worked out row by row."""
    sums: dict[tuple[int, str, str], float] = {}
    for row in dump.bankruptcies.iter_rows(named=True):
        key = (row["snapshot"], str(row["market"]), str(row["side"]))
        sums[key] = sums.get(key, 0.0) + float(row["qty"]) * float(row["bankruptcy_price"])
    snapshot, market, side = max(sums, key=lambda key: sums[key])
    shown = choose(dump)

    assert shown is not None
    assert (shown.snapshot, shown.market) == (snapshot, market)
    assert shown.side == {"long": "short", "short": "long"}[side]


def test_the_queue_that_is_shown_is_what_the_fills_leave(dump: Dump, run: Path) -> None:
    """Before is what the snapshot says, after is that less the fills of the side."""
    shown = choose(dump)
    assert shown is not None
    held = dict(
        dump.positions(shown.snapshot, shown.market).select("position_id", "qty").iter_rows()
    )
    events = read_results(run, "events").filter(pl.col("snapshot") == shown.snapshot)
    fills = read_results(run, "fills").join(events, on=["event", "venue", "policy"], how="semi")
    queues = read_results(run, "queues")

    assert 0 < queues.filter(pl.col("policy") == "queue").height <= HEAD
    for policy in TWO:
        own = queues.filter(pl.col("policy") == policy)
        closed = fills.filter(pl.col("policy") == policy)
        sums = dict(closed.group_by("position_id").agg(pl.col("qty_closed").sum()).iter_rows())
        assert own["place"].to_list() == list(range(1, own.height + 1))
        for row in own.iter_rows(named=True):
            gone = sums.get(row["position_id"], Decimal(0))
            assert row["qty_before"] == held[row["position_id"]]
            assert row["qty_after"] == row["qty_before"] - gone


def test_the_lights_that_are_shown_follow_their_positions(run: Path) -> None:
    """Twelve positions at most, in the order of the queue; whoever is closed has no light."""
    lights, fills = read_results(run, "lights"), read_results(run, "fills")

    for policy in TWO:
        own = lights.filter(pl.col("policy") == policy)
        assert 0 < own["position_id"].n_unique() <= WATCHED
        first = own.filter(pl.col("event") == own["event"].min())
        assert first["place"].is_sorted()
        assert first["light"].is_sorted(descending=True)
        closed = fills.filter(pl.col("policy") == policy, pl.col("qty_left") == 0)
        for event, position in closed.select("event", "position_id").iter_rows():
            later = own.filter(pl.col("position_id") == position, pl.col("event") > event)
            assert later["light"].sum() == 0


def test_lights_that_count_accounts_are_those_of_a_ranking(dump: Dump, tmp_path: Path) -> None:
    """Where an edition counts each account once, the first lights are those of a plain ranking."""
    venue = Venue.load("binance-usdm")
    replay(dump, tmp_path / "run", venues=[venue])
    shown, lights = choose(dump), read_results(tmp_path / "run", "lights")
    assert shown is not None
    first = dump.bankruptcies.filter(pl.col("event") == lights["event"].min()).row(0, named=True)
    here = pl.col("market").cast(pl.String) == shown.market
    failed = dump.bankruptcies.filter(pl.col("snapshot") == shown.snapshot, here)["account"]
    book = dump.positions(shown.snapshot, shown.market).filter(
        pl.col("side").cast(pl.String) == shown.side, ~pl.col("account").is_in(failed.implode())
    )
    ranked = rank(
        book,
        marks={shown.market: mark_of(dump, first)},
        venue=venue,
        accounts=dump.accounts(shown.snapshot),
        markets=dump.markets.filter(here),
    )
    plain = dict(ranked.select("position_id", "light").iter_rows())
    noted = lights.filter(pl.col("event") == first["event"])

    assert noted.height == WATCHED
    for position, light in noted.select("position_id", "light").iter_rows():
        assert light == plain[position]


def test_profits_and_markouts_are_those_of_the_tables(dump: Dump, run: Path) -> None:
    """A fill's profit is its part of the position's; a markout is priced at the wave's end."""
    events, fills = with_waves(dump), read_results(run, "fills")
    measured = read_results(run, "metrics")
    row = events.join(
        read_results(run, "events").filter(pl.col("reason") != COVERED), on="event", how="semi"
    ).row(-1, named=True)
    here = (pl.col("event") == row["event"]) & (pl.col("policy") == "pro-rata")
    own = fills.filter(here)
    sign = 1 if own["side"][0] == "long" else -1
    qty = float(own["qty_closed"].sum())
    markout = sign * qty * (float(row["wave_mark"]) - float(row["bankruptcy_price"]))

    assert measured.filter(here)["markout"][0] == pytest.approx(markout)
    assert measured.filter(here)["profit"][0] == pytest.approx(own["profit"].sum())
    first = fills.sort("event").filter(pl.col("policy") == "pro-rata").row(0, named=True)
    event = dump.bankruptcies.filter(pl.col("event") == first["event"]).row(0, named=True)
    book = dump.positions(event["snapshot"], str(event["market"]))
    held = book.filter(pl.col("position_id") == first["position_id"]).row(0, named=True)
    part = first["qty_closed"] / held["qty"]
    worth = first["qty_closed"] * mark_of(dump, event)
    gain = float(worth - part * held["entry_value"]) * (1 if first["side"] == "long" else -1)
    assert first["profit"] == pytest.approx(gain, rel=1e-9, abs=1e-6)


def test_the_command_carries_a_pool(dump: Dump, tmp_path: Path, capsysbinary: Capture) -> None:
    """`--pool` with its lines covers some events; lines without a pool, or words, are refused."""
    words = ("replay", dump.directory, "--venue", "bitmex", "-o")
    lines = ("--start", "0.3", "--stop", "0.6", "--income", "900000")
    done = call(
        capsysbinary, *words, tmp_path / "run", "--pool", "30000", *lines, "--format", "csv"
    )

    assert done.code == 0
    covered = int(done.out.decode().splitlines()[1].split(",")[3])
    assert covered == read_results(tmp_path / "run", "pool")["is_covered"].sum() > 0
    alone = call(capsysbinary, *words, tmp_path / "no", "--start", "0.3")
    assert (alone.code == 0, "expected --pool beside them" in alone.err) == (False, True)
    shares = [
        (("--start", "2"), "--start: expected a share of the pool, above 0 and at most 1, got 2"),
        (("--start", "0"), "--start: expected a share of the pool, above 0 and at most 1, got 0"),
        (("--start", "1", "--stop", "NaN"), "--stop: expected at least --start, 1, got NaN"),
        (("--start", "0.6", "--stop", "0.3"), "--stop: expected at least --start, 0.6, got 0.3"),
        (("--stop", "0.3"), "--stop: expected --start beside it, got 0.3 alone"),
    ]
    for typed, says in shares:
        refused = call(capsysbinary, *words, tmp_path / "no", "--pool", "30000", *typed)
        assert (refused.code, says in refused.err) == (2, True)
    odd = call(capsysbinary, *words, tmp_path / "no", "--pool", "much")
    assert (odd.code == 0, "--pool: expected a decimal number" in odd.err) == (False, True)
