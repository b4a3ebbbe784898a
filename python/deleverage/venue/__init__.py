"""Venue editions: one TOML file each, read strictly and printed as a formula."""

from deleverage.venue.formula import describe, document, overview
from deleverage.venue.loader import Venue, venues

__all__ = ["Venue", "describe", "document", "overview", "venues"]
