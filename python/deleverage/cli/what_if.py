"""`deleverage what-if`: where a position stands, where it would, and how much of it is cut."""

from dataclasses import dataclass

import polars as pl

from deleverage.advice.asking import WhatIf, what_if
from deleverage.cli.exits import ExitCode, say
from deleverage.cli.inputs import Inputs, venue_of
from deleverage.cli.options import Format, Side
from deleverage.cli.output import Sink, emit_record
from deleverage.cli.tables import Page

__all__ = ["Wish", "ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was typed; numbers are still text.

    Attributes:
        venue: edition by name or path.
        account: who asks.
        market: where it has positions in several, or None.
        side: where it has both, or None.
        position_id: where it has several there, or None.
        leverage: the new setting, or None.
        add_margin: of the settlement asset, or None.
        close: contracts, or None.
        hedge: contracts of the other side, or None.
        delta_neutral: whether the account then counts as delta-neutral, or None.
        bankrupt: contracts of the other side that go bankrupt, each a question of its own.
    """

    venue: str
    account: str
    market: str | None
    side: Side | None
    position_id: str | None
    leverage: str | None
    add_margin: str | None
    close: str | None
    hedge: str | None
    delta_neutral: bool | None
    bankrupt: tuple[str, ...]


def ask(inputs: Inputs, wish: Wish, *, shape: Format | None, output: str) -> int:
    """Say where a position would stand, and write the answer.

    Args:
        inputs: the paths of the frames.
        wish: what was typed.
        shape: `--format`; table or JSON.
        output: `-o`.

    Returns:
        The exit code.

    Raises:
        InputError: an input is not what the contract says, there is no such position, or the change
            cannot be made.
    """
    sink = Sink.of(shape, output, allowed=(Format.TABLE, Format.JSON))
    inputs.refuse_as_output(sink.path)
    found = what_if(
        inputs.positions,
        account=wish.account,
        market=wish.market,
        side=None if wish.side is None else wish.side.value,
        position_id=wish.position_id,
        leverage=wish.leverage,
        add_margin=wish.add_margin,
        close=wish.close,
        hedge=wish.hedge,
        delta_neutral=wish.delta_neutral,
        marks=inputs.marks,
        venue=venue_of(wish.venue),
        accounts=inputs.accounts,
        markets=inputs.markets,
        neutral=inputs.neutral,
    )
    curves = _curves(found, wish.bankrupt)
    emit_record(_record(found, curves), sink, table=lambda: _page(found, curves, sink))
    for note in (*found.notes, found.after.liquidation_note):
        if note:
            say(note)
    return ExitCode.DONE


def _curves(found: WhatIf, bankrupt: tuple[str, ...]) -> pl.DataFrame:
    """Give what is cut before and after, at the corners of both curves or where it was asked."""
    corners = [one.curve.frame()["bankrupt"].to_list() for one in (found.before, found.after)]
    places = bankrupt or [f"{place.normalize():f}" for place in sorted({*corners[0], *corners[1]})]
    cuts = [found.cut(place) for place in places]
    return pl.DataFrame(
        {
            "bankrupt": pl.Series(places, dtype=pl.String),
            "cut_before": pl.Series([str(before) for before, _ in cuts], dtype=pl.String),
            "cut_after": pl.Series([str(after) for _, after in cuts], dtype=pl.String),
        }
    )


def _standings(found: WhatIf) -> pl.DataFrame:
    """Give both standings side by side, a line a fact."""
    before, after = found.before.facts(), found.after.facts()
    return pl.DataFrame(
        {
            "fact": list(before),
            "before": pl.Series([_text(value) for value in before.values()], dtype=pl.String),
            "after": pl.Series([_text(value) for value in after.values()], dtype=pl.String),
        }
    )


def _text(value: object) -> str | None:
    """Write a fact as text; a score to six digits."""
    if value is None:
        return None
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _record(found: WhatIf, curves: pl.DataFrame) -> dict[str, object]:
    """The answer for JSON."""
    return {
        "account": found.before.account,
        "market": found.before.market,
        "side": found.before.side,
        "position_id": found.before.position_id,
        "before": found.before.facts(),
        "after": found.after.facts(),
        "moved": str(found.moved),
        "declared": {name: str(effect) for name, effect in found.declared.items()},
        "conditions": dict(found.conditions),
        "at_risk": {"before": found.at_risk[0], "after": found.at_risk[1]},
        "curve": curves,
        "surroundings": found.surroundings.facts(),
        "warnings": found.surroundings.warnings,
        "notes": found.notes,
    }


def _page(found: WhatIf, curves: pl.DataFrame, sink: Sink) -> str:
    """The answer as it is printed."""
    page, one = Page(is_terminal=sink.is_terminal), found.before
    page.frame(f"{one.account}: {one.market} {one.side}", _standings(found))
    page.text("\n".join(found.effects()))
    page.frame("contracts of it that are cut, by the contracts that go bankrupt", curves)
    page.facts("around it (not scored)", found.surroundings.facts())
    page.text("\n".join(f"warning: {words}" for words in found.surroundings.warnings))
    return str(page)
