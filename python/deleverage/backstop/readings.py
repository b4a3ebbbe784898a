"""What a line found, in the words of a reader: money in the asset, lots in contracts."""

from fractions import Fraction

from deleverage.backstop.lines import Reading
from deleverage.backstop.window import HOUR
from deleverage.model.quantise import decimal_of

__all__ = ["worded"]

LOTS = frozenset({"held_lots", "unfilled_lots", "remaining_lots", "backlog_lots", "quantity"})
TIMES = frozenset({"age", "elapsed", "window", "time"})
PLAIN = frozenset({"ratio", "is_backstop_full", "is_book_thin", "is_emergency"})
DIGITS = 9


def worded(reading: Reading, *, money_unit: Fraction, asset: str, lot_size: Fraction) -> str:
    """Give the reading in one line as a reader says it: money in the asset, times in hours.

    Args:
        reading: what the line found.
        money_unit: the asset's.
        asset: its name.
        lot_size: contracts a lot.
    """
    word = "start" if reading.is_start else "stop"
    reached = "reached" if reading.holds else "not reached"
    told = []
    for figure in reading.figures:
        if figure.name in LOTS:
            shown = f"{_decimal(figure.value * lot_size)} contracts"
        elif figure.name in TIMES:
            shown = f"{_decimal(Fraction(figure.value) / HOUR)} h"
        elif figure.name in PLAIN:
            shown = _decimal(Fraction(figure.value))
        else:
            shown = f"{_decimal(figure.value * money_unit)} {asset}"
        told.append(f"{figure.name.removesuffix('_lots').replace('_', ' ')} {shown}")
    return f"{word} {reading.kind} ({reading.bound}) {reached}: {', '.join(told)}"


def _decimal(value: Fraction) -> str:
    """Write a number, exactly where it ends soon, else about."""
    scaled = value * 10**DIGITS
    about = "" if scaled.denominator == 1 else "about "
    return f"{about}{decimal_of(Fraction(round(scaled), 10**DIGITS)):f}"
