"""What the commands take in: frames by path or by directory, the venue, exact numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path

from deleverage.errors import InputError
from deleverage.model.scalars import exact_of
from deleverage.model.sources import load
from deleverage.venue import Venue

__all__ = ["Inputs", "Request", "decimal_of", "nearest", "request_of", "unknown", "venue_of"]

FRAMES = ("positions", "accounts", "marks", "markets", "neutral", "bankrupt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The paths of the frames of one call.

    Attributes:
        positions: one position a row.
        marks: mark prices.
        accounts: equity and balances of cross accounts, where given.
        markets: contract terms, where given.
        neutral: delta-neutral accounts, where given.
        bankrupt: bankrupt quantities that an import wrote, where given.
    """

    positions: Path
    marks: Path
    accounts: Path | None
    markets: Path | None
    neutral: Path | None
    bankrupt: Path | None

    def refuse_as_output(self, output: Path | None) -> None:
        """Refuse to write over a file that is being read.

        Args:
            output: where the data goes, None for standard output.

        Raises:
            InputError: it is one of the inputs.
        """
        if output is None or not output.exists():
            return
        paths = (getattr(self, name) for name in FRAMES)
        if any(path is not None and output.samefile(path) for path in paths):
            raise InputError(f"-o {output}: expected another file than an input, got that one")

    @classmethod
    def of(
        cls,
        positions: Path,
        *,
        marks: Path | None,
        accounts: Path | None,
        markets: Path | None,
        neutral: Path | None,
    ) -> "Inputs":
        """Settle the paths; a directory stands for the files an import writes into it.

        Args:
            positions: a file, or a directory with positions.parquet, marks.parquet and so on.
            marks: a file; where left out it must be in the directory.
            accounts: a file, or None.
            markets: a file, or None.
            neutral: a file, or None.

        Returns:
            The paths; a path that was named goes before one of the directory.

        Raises:
            InputError: there is no such file or directory, or the marks are missing.
        """
        found = _of_directory(positions) if positions.is_dir() else {"positions": positions}
        named = {"marks": marks, "accounts": accounts, "markets": markets, "neutral": neutral}
        paths = found | {name: path for name, path in named.items() if path is not None}
        for path in paths.values():
            if not path.exists():
                raise InputError(f"{path}: expected a file, got no such file")
            if path.is_dir():
                raise InputError(f"{path}: expected a file, got a directory")
        if "positions" not in paths:
            raise InputError(f"{positions}: expected positions.parquet in it, got no such file")
        if "marks" not in paths:
            raise InputError("--marks: expected a file with market and mark_price, got nothing")
        return cls(
            positions=paths["positions"],
            marks=paths["marks"],
            accounts=paths.get("accounts"),
            markets=paths.get("markets"),
            neutral=paths.get("neutral"),
            bankrupt=paths.get("bankrupt"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The bankrupt quantity of one event.

    Attributes:
        bankrupt_side: `long` or `short`.
        qty: contracts.
    """

    bankrupt_side: str
    qty: Decimal


def venue_of(name: str) -> Venue:
    """Load an edition by name, or one's own from a TOML file.

    Args:
        name: such as `bitmex` or `okx@2025-11`, or a path that ends in .toml.

    Returns:
        The edition.

    Raises:
        VenueError: there is no such edition; the nearest names are offered.
        InputError: there is no such file.
    """
    if not name.endswith(".toml"):
        return Venue.load(name)
    if not Path(name).is_file():
        raise InputError(f"{name}: expected a venue edition, got no such file")
    return Venue.from_toml(Path(name))


def decimal_of(text: str, *, option: str) -> Decimal:
    """Read an exact number from an option.

    Args:
        text: such as `12.5`.
        option: named in the message.

    Returns:
        The number.

    Raises:
        InputError: not a finite decimal number, or beyond 10^40.
    """
    bare = text.strip()
    exact_of(bare, option)
    return Decimal(bare)


def request_of(
    inputs: Inputs, *, market: str, bankrupt_side: str | None, qty: str | None
) -> Request:
    """Settle the bankrupt side and quantity from the options or from the directory.

    Args:
        inputs: the paths of the call.
        market: whose queue is asked.
        bankrupt_side: `long` or `short`, or None to take it from the directory.
        qty: contracts, or None to take them from the directory.

    Returns:
        The request.

    Raises:
        InputError: neither options nor directory say it, or the directory does not know the market.
    """
    wanted = None if qty is None else decimal_of(qty, option="--qty")
    if bankrupt_side is not None and wanted is not None:
        return Request(bankrupt_side=bankrupt_side, qty=wanted)
    if inputs.bankrupt is None:
        missing = "--qty" if wanted is None else "--bankrupt-side"
        raise InputError(f"{missing}: expected a value, or a directory that an import wrote")
    rows = _bankrupt(inputs.bankrupt)
    if market not in {name for name, _, _ in rows}:
        raise InputError(unknown("--market", market, {name for name, _, _ in rows}))
    sides = {side: size for name, side, size in rows if name == market}
    if bankrupt_side is None and len(sides) > 1:
        raise InputError(f"--bankrupt-side: expected one of {', '.join(sides)}, got nothing")
    side = bankrupt_side if bankrupt_side is not None else next(iter(sides))
    if wanted is None and side not in sides:
        raise InputError(f"--bankrupt-side: expected {', '.join(sides)} in {market}, got {side}")
    return Request(bankrupt_side=side, qty=sides[side] if wanted is None else wanted)


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Find the known names that look most like one.

    Args:
        name: what was asked for.
        known: what there is.

    Returns:
        At most three names, the most similar first.
    """
    folded = {candidate.casefold(): candidate for candidate in known}
    return [folded[match] for match in get_close_matches(name.casefold(), folded, cutoff=0.4)]


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Word the message for a name that does not exist.

    Args:
        what: the option or column.
        name: what was asked for.
        known: what there is.

    Returns:
        The message with the nearest names.
    """
    names = sorted(known)
    close = nearest(name, names) or names[:3]
    more = f" ({len(names)} in all)" if len(names) > len(close) else ""
    return f"{what}: expected one of {', '.join(close)}{more}, got {name!r}"


def _bankrupt(path: Path) -> list[tuple[str, str, Decimal]]:
    """Market, bankrupt side and quantity, as an import wrote them."""
    name, frame = load(path, name="bankrupt")
    columns = ("market", "bankrupt_side", "qty")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise InputError(f"{name}: expected a column {missing[0]}, got {frame.columns}")
    rows = frame.select(columns).iter_rows()
    return [
        (str(market), str(side), decimal_of(str(qty), option=name)) for market, side, qty in rows
    ]


def _of_directory(directory: Path) -> dict[str, Path]:
    """The frames that lie in a directory."""
    paths = {name: directory / f"{name}.parquet" for name in FRAMES}
    return {name: path for name, path in paths.items() if path.exists()}
