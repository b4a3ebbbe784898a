"""Auto-deleveraging: who is next, who is cut, by how much, at what price, and why."""

from deleverage.errors import AdlError, InputError, InvariantError, StateError, VenueError

__all__ = ["AdlError", "InputError", "InvariantError", "StateError", "VenueError"]
