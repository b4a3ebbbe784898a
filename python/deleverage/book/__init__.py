"""A book kept between ticks: marks move, positions change, and the head of each queue is at hand.

    book = Book.from_frame(positions, marks=marks, venue=Venue.load("bitmex"))
    book.set_marks({"BTC-PERP": "61250"})
    head = book.select("BTC-PERP", side="short", lots=12_500)
    head.position_id, head.lots, head.unfilled

Every answer is that of the stateless verbs of `deleverage.ranking` on the same rows. Many threads
may ask while one changes the book: each answer belongs to one tick, and `version` says which.
"""

from deleverage.book.answers import BookColumns, Head, LeftOut, LightBound
from deleverage.book.kept import Book
from deleverage.book.turns import Turns, in_turn

__all__ = ["Book", "BookColumns", "Head", "LeftOut", "LightBound", "Turns", "in_turn"]
