"""Auto-deleveraging: who is next, who is cut, by how much, at what price, and why."""

from importlib.metadata import version

from deleverage.errors import AdlError, InputError, InvariantError, StateError, VenueError
from deleverage.venue import Venue, venues

__all__ = [
    "AdlError",
    "InputError",
    "InvariantError",
    "StateError",
    "Venue",
    "VenueError",
    "__version__",
    "venues",
]

__version__ = version("deleverage")
