"""Auto-deleveraging: who is next, who is cut, by how much, at what price, and why."""

from importlib.metadata import version

from deleverage.advice import check, what_if
from deleverage.book import Book
from deleverage.engine import Choices, Engine, Frames
from deleverage.errors import AdlError, InputError, InvariantError, StateError, VenueError
from deleverage.model.snapshot import Snapshot
from deleverage.planning import Plan, plan, prepare, rank
from deleverage.venue import Venue, venues

__all__ = [
    "AdlError",
    "Book",
    "Choices",
    "Engine",
    "Frames",
    "InputError",
    "InvariantError",
    "Plan",
    "Snapshot",
    "StateError",
    "Venue",
    "VenueError",
    "__version__",
    "check",
    "plan",
    "prepare",
    "rank",
    "venues",
    "what_if",
]

__version__ = version("deleverage")
