"""An edition as a reader wants it: the rule as a formula, with its sources.

Everything printed is worked out from the record; no edition has a text of its own here.
"""

import textwrap
from collections.abc import Iterator, Mapping

from deleverage.model.parts import Condition, Conditions, Number, Part, Score
from deleverage.model.records import Venue
from deleverage.model.rules import Basis, Factor, Loss, NoEquity, Scope, Weight
from deleverage.model.terms import (
    Bound,
    ConditionKind,
    Effect,
    Fee,
    Hedged,
    Payer,
    Rerank,
    Standing,
)
from deleverage.venue.backstop_lines import backstop_lines
from deleverage.venue.loader import Venue as ShippedVenue
from deleverage.venue.loader import venues
from deleverage.venue.words import (
    BASES,
    COMPLETIONS,
    CONVENTIONS,
    EQUITIES,
    FACTORS,
    GROWING_BASES,
    GROWING_FACTORS,
    PRICES,
    SHARINGS,
    START_WORDS,
    STOP_WORDS,
    TIES,
    UNRANKED,
)

__all__ = ["describe", "document", "loss_formula", "overview", "profit_formula", "size_counts"]

WIDTH = 100
LABEL = 14


def profit_formula(score: Score) -> str:
    """Write the score of a position in profit."""
    basis, factor = _basis(score), FACTORS[score.factor]
    if _orders_nothing(score):
        return UNRANKED
    if not factor:
        return basis
    return factor if score.basis is Basis.UNIT else f"{basis} * {factor}"


def loss_formula(score: Score) -> str:
    """Write the score of a position at a loss."""
    if _orders_nothing(score):
        return UNRANKED
    if score.loss is Loss.ZERO:
        return "0, all equal"
    if score.loss is Loss.EXCLUDE:
        return "never a candidate, nor at exactly zero"
    if score.loss is Loss.MULTIPLY or score.factor is Factor.NONE:
        return "as in profit"
    return f"{_basis(score)} / ({FACTORS[score.factor]})"


def size_counts(score: Score) -> bool:
    """Tell whether a position twice as large, on twice the margin, scores differently.

    Every factor and every basis but one is a ratio in which size cancels; only a profit in money
    keeps it.
    """
    return score.basis is Basis.ABSOLUTE


def describe(venue: Venue) -> str:
    """Print an edition: formula, order, price, trigger, fees, indicator, levers, sources.

    Returns:
        Plain text wrapped at 100 columns (a long address stays whole), no trailing newline.
    """
    lines = [f"{venue.title}  [{venue.name}, edition {venue.edition}]"]
    lines += textwrap.wrap(venue.summary, WIDTH)
    sections = (
        ("Score", _score_lines(venue), ("score",)),
        ("Order", _order_lines(venue), ("tiers", "eligibility", "allocation")),
        ("Trigger", _trigger_lines(venue), ("trigger", "stop")),
        ("Backstop", backstop_lines(venue.backstop) if venue.backstop else (), ("backstop",)),
        ("Settlement", _settlement_lines(venue), ("price", "fees", "orders")),
        ("Indicator", _light_lines(venue), ("lights",)),
        ("Levers", _lever_lines(venue), ("levers",)),
        ("Inputs", _need_lines(venue), ()),
    )
    parts = dict(venue.parts())
    for heading, rows, names in sections:
        lines += ["", heading]
        for label, text in rows:
            lines += _row(label, text)
        for name in names:
            if name in parts and parts[name].note:
                lines += _row("note", f"{name}: {parts[name].note}")
    lines += ["", "Unpublished"]
    for item in venue.unpublished or ("nothing known to be missing",):
        lines += textwrap.wrap(item, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    lines += ["", "Sources", *_source_lines(venue)]
    return "\n".join(line.rstrip() for line in lines)


def overview() -> list[dict[str, str]]:
    """List every shipped edition as one row of a table.

    Returns:
        Rows sorted by name, with the keys name, profit, loss, scope, tiers, price, completion,
        as_of, evidence (the last two are those of the score).
    """
    rows = []
    for name in venues():
        venue = ShippedVenue.load(name)
        rows.append(
            {
                "name": name,
                "profit": profit_formula(venue.score),
                "loss": loss_formula(venue.score),
                "scope": str(venue.score.scope),
                "tiers": _tiers(venue),
                "price": str(venue.price.kind),
                "completion": str(venue.allocation.completion),
                "as_of": venue.score.as_of,
                "evidence": str(venue.score.evidence),
            }
        )
    return rows


def document() -> str:
    """Write the page docs/venues.md: an overview table, then every edition in full."""
    rows = overview()
    columns = list(rows[0])
    lines = [
        "# Venue editions",
        "",
        "Written by `deleverage.venue.document()` from `python/deleverage/venue/presets/*.toml`;",
        "mend the preset, not this page. A bare venue name means its newest edition.",
        "",
        "Evidence: `published` the source says all of the part; `partial` it says some of it, or",
        "is silent and the part says so; `assumed` the value is our reading.",
        "",
        "Levers are those of one position in profit, all else equal: isolated, with margin = entry",
        "value / leverage and margin in proportion to size; or, where the rule looks at the",
        "account, sharing an equity that stays as it is.",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + " --- |" * len(columns),
    ]
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    for name in venues():
        text = describe(ShippedVenue.load(name))
        lines += ["", f"## {name}", "", "```text", text, "```"]
    return "\n".join(lines) + "\n"


def _orders_nothing(score: Score) -> bool:
    """Tell whether a score is the same for everybody."""
    return score.basis is Basis.UNIT and score.factor is Factor.NONE


def _basis(score: Score) -> str:
    """Write the basis of a score, with its floor."""
    floor = "" if score.wallet_floor is None else format(score.wallet_floor, "f")
    return BASES[score.basis].format(floor=floor)


def _row(label: str, text: str) -> list[str]:
    """Lay out one fact: a label, and its text wrapped beside it."""
    wrapped = textwrap.wrap(
        text, WIDTH - LABEL - 2, break_long_words=False, break_on_hyphens=False
    ) or [""]
    first = f"  {label:<{LABEL}}{wrapped[0]}"
    return [first, *(" " * (LABEL + 2) + line for line in wrapped[1:])]


def _score_lines(venue: Venue) -> Iterator[tuple[str, str]]:
    """Write the score section."""
    score = venue.score
    if not venue.is_ranked:
        yield "ranking", UNRANKED
        return
    yield "in profit", profit_formula(score)
    yield "at a loss", loss_formula(score)
    needs_equity = score.factor in GROWING_FACTORS or score.basis is Basis.EQUITY
    if needs_equity:
        yield "equity", EQUITIES[score.scope]
    if score.basis is Basis.WALLET:
        yield "wallet", "isolated: the position's margin; cross: the account's wallet balance"
    if needs_equity or score.factor is Factor.BANKRUPTCY_DISTANCE:
        empty = score.no_equity is NoEquity.ZERO
        yield "no equity", "score 0" if empty else "left out, with the reason"
    if score.joint_hedge:
        yield "hedge mode", "cross long and short legs of one market share one joint profit"
    yield "size", _size(score)


def _size(score: Score) -> str:
    """Say whether size counts, from the algebra of the score."""
    if score.scope is Scope.ACCOUNT:
        own = ""
    elif size_counts(score):
        own = "size counts: twice the position on twice the margin scores twice as high"
    else:
        own = "size does not count: twice the position on twice the margin scores the same"
        if score.basis is Basis.WALLET:
            own += ", above the wallet floor"
    if score.scope is Scope.POSITION:
        return own
    grows = score.basis in GROWING_BASES or score.factor in GROWING_FACTORS
    if score.basis is Basis.EQUITY and score.factor is Factor.NONE:
        shared = "only the profit counts, not the size it is made with"
    elif grows:
        shared = "a larger position scores higher"
    else:
        shared = "size does not count"
    shared = f"against an unchanged account equity {shared}"
    return f"{own}; {shared}" if own else shared


def _order_lines(venue: Venue) -> Iterator[tuple[str, str]]:
    """Write who queues, in what order, and how far a cut goes."""
    if not venue.is_ranked:
        yield "shared by", SHARINGS[venue.allocation.policy]
        yield "completion", COMPLETIONS[venue.allocation.completion]
        return
    profit = " with profit above zero" if venue.eligibility.in_profit_only else ""
    yield "candidates", f"other side of the same market{profit}, not in liquidation"
    if venue.eligibility.hedged is Hedged.EXEMPT:
        yield "hedged part", "exempt"
    if venue.eligibility.pools is not Standing.UNPUBLISHED:
        yield "venue's pools", f"{venue.eligibility.pools}"
    yield "tiers", _tiers(venue)
    if venue.tiers.neutral:
        limit = _numbers("{delta_limit}", venue.tiers.numbers, venue.tiers.required)
        bound = _bound(venue.tiers.bound) if venue.tiers.numbers else ""
        yield "neutral if", f"delta within {limit}{bound}"
    keys = ", ".join(TIES[tie] for tie in venue.score.ties)
    ours = "" if venue.score.ties_published else " (ours; the venue is silent)"
    yield "ties", f"{keys}{', ' if keys else ''}position id{ours}"
    yield "completion", COMPLETIONS[venue.allocation.completion]
    again = {Rerank.BETWEEN_EVENTS: "between events, not inside one"}
    yield "re-ranked", again[venue.allocation.rerank]


def _tiers(venue: Venue) -> str:
    """Name the tiers in queue order."""
    names = ["all others"]
    if venue.tiers.neutral:
        names.append("delta-neutral accounts")
    if venue.tiers.hedged:
        names.append("hedged parts")
    return ", then ".join(names) if len(names) > 1 else "one"


def _trigger_lines(venue: Venue) -> Iterator[tuple[str, str]]:
    """Write when deleveraging starts and stops."""
    yield "starts when", _conditions(venue.trigger, START_WORDS)
    yield "stops when", _conditions(venue.stop, STOP_WORDS)


def _conditions(group: Conditions, words: Mapping[ConditionKind, str]) -> str:
    """Write conditions and how they combine."""
    joint = " AND " if group.combine == "all" else " OR "
    return joint.join(_condition(item, words) for item in group.conditions)


def _condition(item: Condition, words: Mapping[ConditionKind, str]) -> str:
    """Write one condition with its numbers."""
    text = _numbers(words[item.kind], item.numbers, item.required)
    known = item.numbers or item.bound is not Bound.UNPUBLISHED
    return text + (_bound(item.bound) if known else "")


def _numbers(text: str, numbers: tuple[Number, ...], required: tuple[str, ...]) -> str:
    """Put published numbers into a text, and a mark where one must be supplied."""
    values = {number.name: format(number.value, "f") for number in numbers}
    values |= {name: f"<{name}: unpublished>" for name in required}
    return text.format(**values)


def _bound(bound: Bound) -> str:
    """Say whether reaching a number exactly counts."""
    words = {
        Bound.INCLUSIVE: " (exactly there counts)",
        Bound.STRICT: " (exactly there does not count)",
        Bound.UNPUBLISHED: " (exactly there: unpublished)",
    }
    return words[bound]


def _settlement_lines(venue: Venue) -> Iterator[tuple[str, str]]:
    """Write price, fees and cancelled orders."""
    price = venue.price
    yield "price", _numbers(PRICES[price.kind], price.numbers, price.required)
    yield "bankruptcy", CONVENTIONS[price.convention]
    if price.difference is not Payer.NOBODY:
        yield "difference", f"to the bankruptcy price: {price.difference}"
    fees = venue.fees
    names = {Fee.NONE: "none", Fee.LIQUIDATION: "liquidation fee", Fee.UNPUBLISHED: "unpublished"}
    pair = [names.get(fee, f"{fee} fee") for fee in (fees.deleveraged, fees.liquidated)]
    yield "fees", f"deleveraged: {pair[0]}; liquidated: {pair[1]}"
    yield "open orders", f"cancelled: {venue.orders.cancelled}"


def _light_lines(venue: Venue) -> Iterator[tuple[str, str]]:
    """Write the indicator's scale."""
    lights = venue.lights
    none = "nothing" if lights.none is None else format(lights.none, "f")
    yield "scale", f"next in line {lights.first:f}, end {lights.last:f}, no place {none}"
    weight = {
        Weight.QUANTITY: "the side's quantity",
        Weight.ENTRIES: "the side's entries",
        Weight.ACCOUNTS: "the side's accounts",
    }[lights.weight]
    yield "bands", f"{lights.bands}, sharing out {weight}"


def _lever_lines(venue: Venue) -> Iterator[tuple[str, str]]:
    """Write what a trader can do about the rank."""
    levers = venue.levers
    words = {
        Effect.RAISES: "raises the rank",
        Effect.LOWERS: "lowers the rank",
        Effect.NONE: "does not move the rank",
        Effect.UNKNOWN: "unknown",
    }
    yield (
        "for a winner",
        "sharing an account equity that stays as it is"
        if venue.score.scope is Scope.ACCOUNT
        else "isolated, margin = entry value / leverage, in proportion to size",
    )
    yield "more leverage", words[levers.leverage_setting]
    yield "more margin", words[levers.added_margin]
    yield "part close", words[levers.part_close]
    yield "hedge", words[levers.hedge]
    yield "more size", words[levers.size]


def _need_lines(venue: Venue) -> Iterator[tuple[str, str]]:
    """Write the input columns the rule reads."""
    needs = venue.needs
    yield "positions", ", ".join(needs.positions)
    if needs.isolated:
        yield "if isolated", ", ".join(needs.isolated)
    if needs.accounts:
        yield "accounts", ", ".join(needs.accounts)
    if needs.tiers:
        yield "for tiers", ", ".join(needs.tiers)


def _source_lines(venue: Venue) -> Iterator[str]:
    """Write every source once, with the parts, date and evidence that rest on it."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, part in venue.parts():
        groups.setdefault((part.source, _date(part)), []).append(f"{name} {_grade(part)}")
    for (source, dated), names in groups.items():
        yield from textwrap.wrap(
            f"- {source} ({dated}): {', '.join(names)}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _date(part: Part) -> str:
    """Write the date of a part, and whether the page printed it."""
    return f"page undated, read {part.as_of}" if part.undated else part.as_of


def _grade(part: Part) -> str:
    """Write the evidence of a part."""
    return str(part.evidence)
