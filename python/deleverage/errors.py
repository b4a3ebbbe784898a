"""The errors a caller can meet.

AdlError
├── InputError      (also ValueError)    the data is not what the contract says
├── StateError      (also RuntimeError)  the step is not allowed in this state
├── VenueError      (also ValueError)    a venue edition is unknown or contradicts itself
└── InvariantError  (also RuntimeError)  a guarantee broke: a defect of ours, never of the data

What the market can do (a shortage, an empty queue) is a value of the result, not an error.
"""

__all__ = ["AdlError", "InputError", "InvariantError", "StateError", "VenueError"]


class AdlError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(AdlError, ValueError):
    """The data is not what the contract says; the message names where, what and the way out."""


class StateError(AdlError, RuntimeError):
    """The step is not allowed in the present state."""


class VenueError(AdlError, ValueError):
    """A venue edition is unknown, incomplete or contradicts itself."""


class InvariantError(AdlError, RuntimeError):
    """A guarantee of the engine broke; nothing was done."""
