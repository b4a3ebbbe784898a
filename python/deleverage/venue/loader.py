"""Where editions come from: the ones shipped here, by name, or a user's own file."""

import difflib
import tomllib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Self

from deleverage.errors import VenueError
from deleverage.model import records
from deleverage.venue.strict import build

__all__ = ["Venue", "venues"]

SUFFIX = ".toml"


class Venue(records.Venue):
    """A venue edition, with the two ways to get one: `Venue.load` and `Venue.from_toml`."""

    __slots__ = ()

    @classmethod
    def load(cls, name: str) -> Self:
        """Load an edition that is shipped with the package.

        Args:
            name: an edition (`bybit@2025-09`), or a venue (`bybit`) for its newest edition.

        Raises:
            VenueError: there is no such edition; the message names the nearest ones.
        """
        editions = venues()
        if name in editions:
            return cls._shipped(name)
        same_venue = [edition for edition in editions if edition.partition("@")[0] == name]
        if same_venue:
            return max((cls._shipped(edition) for edition in same_venue), key=_edition)
        stems = {edition.partition("@")[0] for edition in editions}
        near = difflib.get_close_matches(name, sorted(stems.union(editions)), n=3, cutoff=0.5)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise VenueError(
            f"venue: expected one of the {len(editions)} names of venues(), got {name!r}{hint}"
        )

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read an edition from a file of one's own, as strictly as the shipped ones.

        Raises:
            VenueError: the file cannot be read, or is not a complete edition.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise VenueError(f"{path.name}: expected a readable TOML file, got {error}") from None
        return cls._parsed(text, where=path.name)

    @classmethod
    @cache  # shipped editions never change, and parsing one costs as much as a plan
    def _shipped(cls, name: str) -> Self:
        """Read one preset by its exact name."""
        text = _presets().joinpath(name + SUFFIX).read_text(encoding="utf-8")
        return cls._parsed(text, where=name + SUFFIX)

    @classmethod
    def _parsed(cls, text: str, *, where: str) -> Self:
        """Parse the text of one edition."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise VenueError(f"{where}: expected TOML, got {error}") from None
        return build(cls, table, where=where)


def venues() -> list[str]:
    """List the names of all editions shipped with the package, sorted."""
    return list(_names())


@cache  # what is shipped never changes, and listing a folder costs as much as a plan's frames
def _names() -> tuple[str, ...]:
    """Give the names of the shipped editions, sorted."""
    files = (entry.name for entry in _presets().iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX)))


def _presets() -> Traversable:
    """Give the folder of the shipped editions."""
    return resources.files("deleverage").joinpath("venue", "presets")


def _edition(venue: records.Venue) -> str:
    """Give the date that orders the editions of one venue; ISO dates order as text."""
    return venue.edition
