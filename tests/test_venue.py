"""Venue editions: complete, sourced, strict, and consistent with the algebra of their own rule."""

from collections import defaultdict
from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from deleverage.errors import InputError, VenueError
from deleverage.model.parts import Part, Score
from deleverage.model.records import derive_needs
from deleverage.model.rules import Basis, Factor, Loss, Scope, ScoreRule
from deleverage.model.terms import Completion, Effect, Evidence, PriceKind, Sharing
from deleverage.venue.formula import (
    describe,
    document,
    loss_formula,
    overview,
    profit_formula,
    size_counts,
)
from deleverage.venue.loader import Venue, venues

ROOT = Path(__file__).resolve().parent.parent
PRESETS = ROOT / "python" / "deleverage" / "venue" / "presets"
NAMES = venues()
OWN_MARGIN = "margin|bankruptcy_price|bankruptcy_value"


@pytest.fixture(params=NAMES)
def venue(request: pytest.FixtureRequest) -> Venue:
    """Give every shipped edition in turn."""
    return Venue.load(request.param)


def score_of(score: Score, book: dict[str, Fraction]) -> Fraction:
    """Score a winning long by the rule's words alone; the slow twin of the kernel's arithmetic."""
    pnl, mark_value, margin = book["pnl"], book["mark_value"], book["margin"]
    at_account = score.scope is Scope.ACCOUNT
    equity = book["account_equity"] if at_account else margin + pnl
    maintenance = book["account_maintenance"] if at_account else book["maintenance"]
    wallet = equity - pnl
    floor = Fraction(score.wallet_floor or 1)
    bases = {
        Basis.ENTRY_VALUE: lambda: pnl / book["entry_value"],
        Basis.WALLET: lambda: pnl / max(floor, wallet),
        Basis.INITIAL_MARGIN: lambda: pnl / book["initial_margin"],
        Basis.EQUITY: lambda: pnl / equity,
        Basis.ABSOLUTE: lambda: pnl,
        Basis.PRICE_RATIO: lambda: mark_value / book["entry_value"],
        Basis.PRICE_RATIO_LITERAL: lambda: mark_value / book["entry_value"],
        Basis.UNIT: lambda: Fraction(1),
        Basis.MARK_VALUE: lambda: pnl / mark_value,
    }
    factors = {
        Factor.NONE: lambda: Fraction(1),
        Factor.BANKRUPTCY_DISTANCE: lambda: mark_value / (margin + pnl),
        Factor.NOTIONAL_OVER_EQUITY: lambda: mark_value / equity,
        Factor.MAINTENANCE_OVER_EQUITY: lambda: maintenance / equity,
        Factor.NOTIONAL_OVER_FLOORED_EQUITY: lambda: mark_value / max(equity, maintenance),
        Factor.LEVERAGE_SETTING: lambda: book["leverage"],
        Factor.OPEN_VALUE_OVER_MARGIN: lambda: book["entry_value"] / margin,
    }
    return bases[score.basis]() * factors[score.factor]()


def winner(
    *, size: Fraction = Fraction(1), leverage: int = 5, added: int = 0
) -> dict[str, Fraction]:
    """Give one long in profit: entry value 1000, mark value 1200, in an account of equity 1000."""
    entry_value = 1000 * size
    own_margin = entry_value / leverage
    return {
        "entry_value": entry_value,
        "mark_value": 1200 * size,
        "pnl": 200 * size,
        "margin": own_margin + added,
        "initial_margin": own_margin,
        "maintenance": 6 * size,
        "leverage": Fraction(leverage),
        "account_equity": Fraction(1000 + added),
        "account_maintenance": 24 + 6 * size,
    }


def effect(before: Fraction, after: Fraction) -> Effect:
    """Name the direction in which a score moved."""
    if after == before:
        return Effect.NONE
    return Effect.RAISES if after > before else Effect.LOWERS


def test_many_editions_are_shipped_each_under_its_own_name() -> None:
    """At least 42 editions load, sorted, and each file is named as the edition it holds."""
    assert len(NAMES) >= 42
    assert sorted(NAMES) == NAMES
    assert [Venue.load(name).name for name in NAMES] == NAMES


def test_every_part_says_where_it_comes_from(venue: Venue) -> None:
    """Each part carries a source, a date and a grade of evidence; only a backstop may lack."""
    parts = dict(venue.parts())
    assert len(parts.keys() | {"backstop"}) == 12
    for part in parts.values():
        assert part.source
        assert part.as_of[:2] == "20"
        assert isinstance(part.evidence, Evidence)


def test_what_is_assumed_or_silent_is_listed(venue: Venue) -> None:
    """An assumed score or price carries a note, and own tie keys are listed as unpublished."""
    for part in (venue.score, venue.price):
        assert part.evidence is not Evidence.ASSUMED or part.note
    if venue.is_ranked:
        assert ("tie-break" in venue.unpublished) != venue.score.ties_published
    assert venue.unpublished


@pytest.mark.parametrize(
    ("bare", "newest"),
    [
        ("binance", "binance@2026-01"),
        ("bitget", "bitget@2025-09"),
        ("bitmex", "bitmex"),
        ("bybit", "bybit@2026-03"),
        ("gate", "gate@2025"),
        ("kucoin", "kucoin@2025"),
        ("okx", "okx@2026"),
    ],
)
def test_a_bare_name_is_the_newest_edition(bare: str, newest: str) -> None:
    """A venue's name without an edition means its newest one."""
    assert Venue.load(bare).name == newest


def test_editions_of_one_venue_are_ordered_by_date() -> None:
    """No two editions of one venue carry the same date, so newest is never a matter of luck."""
    dates = defaultdict(list)
    for name in NAMES:
        dates[name.partition("@")[0]].append(Venue.load(name).edition)
    assert all(len(set(group)) == len(group) for group in dates.values())


@pytest.mark.parametrize(
    ("wrong", "near"), [("bitmx", "bitmex"), ("bybit@2025-9", "bybit@2025-09"), ("okex", "okx")]
)
def test_an_unknown_name_is_answered_with_near_ones(wrong: str, near: str) -> None:
    """A misspelt venue is refused, and the message names what was probably meant."""
    with pytest.raises(VenueError, match=near):
        Venue.load(wrong)


@pytest.mark.parametrize("name", ["", "../loader", "no-such-venue-anywhere"])
def test_a_name_is_never_a_path(name: str) -> None:
    """Only names that venues() lists can be loaded."""
    with pytest.raises(VenueError, match="venues\\(\\)"):
        Venue.load(name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('basis = "equity"', 'basis = "equty"', "score: basis: expected one of .*got 'equty'"),
        ('basis = "equity"', 'bassis = "equity"', "score: key: .*'bassis'; did you mean 'basis'"),
        ('basis = "equity"', "", "score: basis: expected one of .*got nothing"),
        ("[fees]", "[feess]", "key: expected one of .*'feess'; did you mean 'fees'"),
        ('first = "5"', "first = 5.0", "lights: first: expected a decimal in quotes"),
        ('first = "5"', 'first = "NaN"', "lights: first: expected a decimal in quotes"),
        ("bands = 5", "bands = true", "lights: bands: expected a whole number, got True"),
        ("bands = 5", "bands = 0", "lights.bands: expected at least 1, got 0"),
        ("in_profit_only = true", "in_profit_only = false", "eligibility.in_profit_only: .*false"),
        ("in_profit_only = true", 'in_profit_only = "yes"', "expected true or false, got 'yes'"),
        ('loss = "exclude"', 'loss = "divide"', "eligibility.in_profit_only: .*exclude"),
        ('accounts = ["equity"]', "accounts = []", "needs.accounts: .*equity"),
        ('required = ["limit"]', "", r"trigger.fund_rejects: expected the numbers \['limit'\]"),
        ('difference = "nobody"', 'difference = "fund"', "price.difference: expected nobody"),
        ('edition = "2026-07"', 'edition = "July"', "edition: expected YYYY"),
        ("[score]", "[score", "expected TOML"),
    ],
)
def test_a_faulty_file_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A wrong entry is refused naming file, key and value, and what would be legal."""
    text = (PRESETS / "strike-type1.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(VenueError, match=message) as caught:
        Venue.from_toml(path)
    assert str(caught.value).startswith("mine.toml: ")


def test_a_missing_part_or_file_is_refused(tmp_path: Path) -> None:
    """An edition without a price is not an edition, and a file that is not there is named."""
    text = (PRESETS / "bitmex.toml").read_text(encoding="utf-8")
    before, after = text.split("[price]")
    path = tmp_path / "mine.toml"
    path.write_text(before + "[fees]" + after.split("[fees]", 1)[1], encoding="utf-8")
    with pytest.raises(VenueError, match=r"mine.toml: price: expected a table, got nothing"):
        Venue.from_toml(path)
    with pytest.raises(VenueError, match=r"absent.toml: expected a readable TOML file"):
        Venue.from_toml(tmp_path / "absent.toml")


def test_one_s_own_file_gives_the_same_edition() -> None:
    """Reading a preset as a file of one's own gives an equal record of the same class."""
    assert Venue.from_toml(PRESETS / "cube.toml") == Venue.load("cube")
    assert isinstance(Venue.load("cube"), Venue)


def test_needs_are_what_the_rule_reads(venue: Venue) -> None:
    """The declared inputs are exactly those that basis, factor, scope, ties and tiers read."""
    needs, score = venue.needs, venue.score
    derived = derive_needs(score, venue.tiers, venue.eligibility)
    for field in fields(needs):
        assert set(getattr(needs, field.name)) == set(getattr(derived, field.name))
    assert "entry_price|entry_value" in needs.positions
    assert ("leverage" in needs.positions) == (score.factor is Factor.LEVERAGE_SETTING)
    assert ("neutral" in needs.tiers) == venue.tiers.neutral
    if score.factor is Factor.MAINTENANCE_OVER_EQUITY:
        assert "maintenance_margin" in {*needs.positions, *needs.isolated, *needs.accounts}
    if score.factor is Factor.BANKRUPTCY_DISTANCE:
        assert OWN_MARGIN in needs.positions
    if score.scope is Scope.POSITION:
        assert needs.accounts == needs.isolated == ()
    if score.scope is Scope.ACCOUNT:
        assert needs.isolated == ()


def test_levers_have_the_sign_of_the_formula(venue: Venue) -> None:
    """What an edition says of leverage, margin, part close and size is what its score does."""
    score, levers = venue.score, venue.levers
    before = score_of(score, winner())
    assert levers.leverage_setting is effect(before, score_of(score, winner(leverage=10)))
    assert levers.added_margin is effect(before, score_of(score, winner(added=50)))
    assert levers.part_close is effect(before, score_of(score, winner(size=Fraction(1, 2))))
    assert levers.size is effect(before, score_of(score, winner(size=Fraction(2))))
    if venue.tiers.neutral or venue.tiers.hedged:
        assert levers.hedge is Effect.LOWERS


def test_the_text_says_whether_size_counts(venue: Venue) -> None:
    """The printed rule says that size counts exactly where the algebra keeps it."""
    rule = replace(venue.score, scope=Scope.POSITION)
    doubled = score_of(rule, winner(size=Fraction(2))) != score_of(rule, winner())
    assert size_counts(venue.score) == doubled
    if venue.is_ranked and venue.score.scope is not Scope.ACCOUNT:
        assert ("size counts: twice the position" in flat(venue)) == doubled
        assert ("size does not count: twice the position" in flat(venue)) != doubled


def flat(venue: Venue) -> str:
    """Give the printed rule as one line."""
    return " ".join(describe(venue).split())


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("crypto-com", Sharing.WINNERS_HAIRCUT),
        ("deribit", Sharing.WINNERS_HAIRCUT),
        ("drift", Sharing.HOLDERS_CHARGE),
        ("dydx-v4", Sharing.SEEDED_RING),
        ("gmx-v2", Sharing.POOL_SOLVENCY),
        ("injective", Sharing.WINNERS_HAIRCUT),
        ("paradex", Sharing.WITHDRAWAL_HAIRCUT),
        ("percolator", Sharing.INDEX_SCALING),
        ("vega", Sharing.WINNERS_HAIRCUT),
    ],
)
def test_venues_without_a_queue_say_who_pays(name: str, policy: Sharing) -> None:
    """Nine editions rank nobody; their text says so, and who bears the loss instead."""
    venue = Venue.load(name)
    assert venue.allocation.policy is policy
    assert profit_formula(venue.score) == loss_formula(venue.score) == "nobody is ranked"
    assert "shared by" in flat(venue)
    with pytest.raises(VenueError, match=f"{name}: rank: .* ranks nobody"):
        venue.score_rule(1)
    assert {one for one in NAMES if not Venue.load(one).is_ranked} >= {name}


def test_a_queue_has_a_score_and_a_price() -> None:
    """Without a queue nothing orders, with one something does and positions are closed."""
    drift, cube = Venue.load("drift"), Venue.load("cube")
    with pytest.raises(VenueError, match=r"score\.factor: expected a factor"):
        replace(drift, allocation=cube.allocation)
    with pytest.raises(VenueError, match=r"score\.basis: expected unit without a factor"):
        replace(cube, allocation=drift.allocation)
    with pytest.raises(VenueError, match=r"price\.kind: expected a price"):
        replace(cube, price=drift.price)


def test_strike_cancels_notional() -> None:
    """Strike's product of return and leverage is profit over equity: size does not count."""
    for name in ("strike-type1", "strike-type2"):
        venue = Venue.load(name)
        assert profit_formula(venue.score) == "pnl / equity"
        assert "only the profit counts, not the size it is made with" in flat(venue)
    assert Venue.load("strike-type1").allocation.completion is Completion.BEST_EFFORT
    assert Venue.load("strike-type2").allocation.completion is Completion.ALL_OR_NOTHING
    assert Venue.load("strike-type2").price.kind is PriceKind.MARK


@pytest.mark.parametrize(
    ("name", "profit", "loss"),
    [
        (
            "bitmex",
            "pnl / entry value * mark value / (margin + pnl)",
            "pnl / entry value / (mark value / (margin + pnl))",
        ),
        (
            "binance-usdm",
            "max(0, pnl) / max(1, wallet balance) * maintenance margin / equity",
            "0, all equal",
        ),
        ("kucoin-cross", "pnl / entry value", "as in profit"),
        ("ethereal", "mark value / equity", "never a candidate, nor at exactly zero"),
        ("cube", "pnl * mark value / equity", "pnl / (mark value / equity)"),
    ],
)
def test_formulas_are_printed_as_published(name: str, profit: str, loss: str) -> None:
    """The printed profit and loss lines are the venue's own formula."""
    score = Venue.load(name).score
    assert (profit_formula(score), loss_formula(score)) == (profit, loss)


def test_bitmex_score_matches_its_worked_figures() -> None:
    """Ten longs from 100, mark 120, bankrupt at 90 score 0.8 (support page formula)."""
    book = winner() | {
        "entry_value": Fraction(1000),
        "mark_value": Fraction(1200),
        "pnl": Fraction(200),
        "margin": Fraction(100),
    }
    assert score_of(Venue.load("bitmex").score, book) == Fraction(4, 5)


def test_editions_of_one_venue_differ_in_a_rule() -> None:
    """A new edition changes a rule, not only a source: order, tiers, trigger, stop or price."""
    groups = defaultdict(list)
    for name in NAMES:
        groups[name.partition("@")[0]].append(rules_of(Venue.load(name)))
    for editions in groups.values():
        assert all(
            first != second for index, first in enumerate(editions) for second in editions[:index]
        )


def rules_of(venue: Venue) -> list[object]:
    """Give an edition without its sources, dates, grades and notes."""
    provenance = {field.name for field in fields(Part)}
    parts = (venue.score, venue.tiers, venue.eligibility, venue.trigger, venue.stop, venue.price)
    return [
        getattr(part, field.name)
        for part in parts
        for field in fields(part)
        if field.name not in provenance
    ]


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("bitmex", ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ("binance-usdm", ["0", "0", "1", "2", "3", "4"]),
        ("bybit", ["0", "1", "2", "3", "4", "5"]),
        ("gate", ["6", "5", "4", "3", "2", "1"]),
        ("sat-is", ["0", "5", "4", "3", "2", "1"]),
    ],
)
def test_lights_map_to_the_venue_s_own_scale(name: str, scale: list[str]) -> None:
    """Light 0 is no place in the queue, the highest is next in line, whatever the venue prints."""
    venue = Venue.load(name)
    assert [venue.indicator(light) for light in range(6)] == [Decimal(text) for text in scale]
    with pytest.raises(InputError, match="light: expected 0 to 5, got 6"):
        venue.indicator(6)


def test_a_venue_may_show_nothing_without_a_place() -> None:
    """HTX shows null, not a number, where there is no place in the queue."""
    assert Venue.load("htx").indicator(0) is None


def test_the_wallet_floor_is_scaled_to_money_units() -> None:
    """Binance's floor of one asset is a million units of 1e-6; other rules need none."""
    rule = Venue.load("binance-usdm").score_rule(1_000_000)
    assert isinstance(rule, ScoreRule)
    assert rule.wallet_floor == 1_000_000
    assert Venue.load("binance-coinm").score_rule(10**8).wallet_floor == 10**8
    assert Venue.load("bitmex").score_rule(1_000_000).wallet_floor == 1
    venue = Venue.load("binance-usdm")
    small = replace(venue, score=replace(venue.score, wallet_floor=Decimal("0.5")))
    with pytest.raises(VenueError, match=r"score\.wallet_floor: expected a whole number"):
        small.score_rule(1)


def test_an_unpublished_number_must_be_supplied() -> None:
    """A number that was never published has no default; supplied, it is read like any other."""
    venue = Venue.load("bybit@2026-01")
    assert venue.required == ("trigger.symbol_drawdown.ratio", "stop.symbol_drawdown.ratio")
    with pytest.raises(VenueError, match="never published it; supply it"):
        venue.trigger.conditions[0].number("ratio")
    filled = venue.with_parameters(
        {
            "trigger.symbol_drawdown.ratio": Decimal("0.30"),
            "stop.symbol_drawdown.ratio": Decimal("0.25"),
        }
    )
    assert filled.required == ()
    assert isinstance(filled, Venue)
    assert filled.trigger.conditions[0].number("ratio") == Decimal("0.30")
    assert filled.stop.conditions[0].number("ratio") == Decimal("0.25")
    assert filled.trigger.conditions[0].number("window_hours") == Decimal(8)
    with pytest.raises(VenueError, match=r"parameter: expected one of .*'ratio'"):
        venue.with_parameters({"ratio": Decimal(1)})
    with pytest.raises(VenueError, match="expected a number 'colour'"):
        filled.trigger.conditions[0].number("colour")


def test_a_contradiction_cannot_be_built_either() -> None:
    """The record itself refuses what the file reader refuses, so replace() is as safe."""
    venue = Venue.load("bitmex")
    with pytest.raises(VenueError, match=r"score\.wallet_floor"):
        replace(venue, score=replace(venue.score, wallet_floor=Decimal(1)))
    with pytest.raises(VenueError, match=r"eligibility\.in_profit_only"):
        replace(venue, score=replace(venue.score, loss=Loss.EXCLUDE))
    with pytest.raises(VenueError, match=r"score\.ties: expected each key once"):
        replace(venue, score=replace(venue.score, ties=venue.score.ties * 2))


def test_overview_has_one_row_an_edition() -> None:
    """The overview lists every edition with the same nine columns, none of them empty."""
    rows = overview()
    assert [row["name"] for row in rows] == NAMES
    assert {tuple(row) for row in rows} == {
        (
            "name",
            "profit",
            "loss",
            "scope",
            "tiers",
            "price",
            "completion",
            "as_of",
            "evidence",
        )
    }
    assert all(all(row.values()) for row in rows)


def test_a_description_holds_every_source_and_gap(venue: Venue) -> None:
    """The printed rule names every source and everything unpublished, wrapped at 100."""
    text = describe(venue)
    printed = flat(venue)
    assert all(len(line) <= 100 or "https://" in line for line in text.splitlines())
    for part in dict(venue.parts()).values():
        assert " ".join(part.source.split()) in printed
    for gap in venue.unpublished:
        assert gap in printed


def test_the_page_of_venues_is_current() -> None:
    """docs/venues.md is what the presets give: deleverage.venue.document() writes it."""
    page = ROOT / "docs" / "venues.md"
    assert page.read_text(encoding="utf-8") == document()
