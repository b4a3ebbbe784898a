"""The contract with the Rust kernel; `deleverage.ranking` and `deleverage.model` are its faces.

A subject is (columns, accounts or None, rates, rule codes, instruction set), as `ranking` makes it.
Bad rows come back as a row number (-1 where there is none) beside the array.
"""

from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "Book",
    "allocate",
    "decimals",
    "first_duplicate",
    "floor",
    "floor_variants",
    "in_turn",
    "is_release_build",
    "least",
    "levels",
    "lights",
    "order",
    "post",
    "quantise",
    "rank",
    "score",
    "select",
    "shares",
    "spell",
    "spell_twin",
    "values",
]

def allocate(
    weight: npt.NDArray[np.int64],
    cap: npt.NDArray[np.int64] | None,
    ids: npt.NDArray[np.uint64] | None,
    is_within_weight: bool,
    request: tuple[int, str, str, int, str, int],
    out: npt.NDArray[np.int64] | None,
) -> tuple[npt.NDArray[np.int64], int, tuple[int, int] | None, int]: ...
def decimals(
    values: npt.NDArray[np.float64], market: npt.NDArray[np.uint32] | None = None, markets: int = 1
) -> tuple[npt.NDArray[np.uint8] | None, int]: ...
def first_duplicate(ids: npt.NDArray[np.uint64]) -> tuple[int, int] | None: ...
def floor(
    columns: list[npt.NDArray[np.int64]],
    gather: tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]] | None,
    variant: int,
    threads: int,
) -> int: ...
def floor_variants() -> list[str]: ...
def in_turn(
    subject: tuple[Any, ...],
    side: int,
    lots: npt.NDArray[np.int64],
    excluded: npt.NDArray[np.int64],
    wants_all: bool,
    threads: int,
) -> tuple[
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
]: ...
def is_release_build() -> bool: ...
def least(
    columns: list[npt.NDArray[np.int64]],
    variant: int,
    threads: int,
    out: npt.NDArray[np.int64] | None,
) -> npt.NDArray[np.int64]: ...
def levels() -> list[str]: ...
def lights(
    subject: tuple[Any, ...], bands: int, weight: str, threads: int
) -> npt.NDArray[np.uint8]: ...
def order(
    subject: tuple[Any, ...], rows: npt.NDArray[np.int64], threads: int
) -> npt.NDArray[np.int64]: ...
def post(
    lines: list[Any], balances: dict[str, dict[str, int]], opened: dict[str, bool]
) -> dict[str, dict[str, int | None]] | None: ...
def quantise(
    values: npt.NDArray[np.float64], exponent: int
) -> tuple[npt.NDArray[np.int64] | None, int]: ...
def rank(
    subject: tuple[Any, ...], threads: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.uint8]]: ...
def score(
    subject: tuple[Any, ...], threads: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]: ...
def select(
    subject: tuple[Any, ...],
    side: int,
    lots: int,
    excluded: npt.NDArray[np.int64],
    is_ordered: bool,
    threads: int,
) -> tuple[
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.float64],
    tuple[int, float] | None,
    int | None,
    int,
    int,
]: ...
def shares(
    values: npt.NDArray[np.int64],
    parts: npt.NDArray[np.int64],
    wholes: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64] | None, int]: ...
def spell(value: object) -> bytes | None: ...
def spell_twin(value: object) -> tuple[bytes, Any] | None: ...
def values(
    lots: npt.NDArray[np.int64],
    prices: npt.NDArray[np.int64],
    rate: tuple[int, int, bool],
) -> tuple[npt.NDArray[np.int64] | None, int, int]: ...

@final
class Book:
    def __new__(
        cls,
        columns: object,
        accounts: object,
        rates: list[tuple[int, int, bool]],
        rules: list[tuple[int, int, int, int, bool, int, list[int]]],
        simd: str,
        is_derived: bool,
        threads: int,
    ) -> Self: ...
    def __len__(self) -> int: ...
    def bytes(self) -> int: ...
    def find_edges(self, bands: int, weight: str, threads: int) -> int: ...
    def left_out(
        self, market: int, side: int, threads: int
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]: ...
    def light_bounds(
        self, market: int, side: int, bands: int, weight: str, threads: int
    ) -> list[tuple[int, int, float, int, int] | None]: ...
    def lights(
        self,
        position_id: npt.NDArray[np.uint64] | None,
        bands: int,
        weight: str,
        threads: int,
    ) -> npt.NDArray[np.uint8]: ...
    def passes(self) -> int: ...
    def rank_of(self, position_id: int, threads: int) -> int: ...
    def rebase(self, equity: npt.NDArray[np.int64]) -> None: ...
    def remove(self, position_id: npt.NDArray[np.uint64]) -> None: ...
    def require(self, position_id: npt.NDArray[np.uint64]) -> None: ...
    def scores(
        self, position_id: npt.NDArray[np.uint64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]: ...
    def select(
        self,
        market: int,
        side: int,
        lots: int,
        excluded: npt.NDArray[np.uint64],
        is_ordered: bool,
        threads: int,
    ) -> tuple[
        npt.NDArray[np.uint64],
        npt.NDArray[np.int64],
        npt.NDArray[np.float64],
        tuple[int, float] | None,
        int | None,
        int,
        bool,
        int,
    ]: ...
    def set_rates(self, rates: list[tuple[int, tuple[int, int, bool]]]) -> int: ...
    def snapshot(self) -> dict[str, Any]: ...
    def update_accounts(self, rows: npt.NDArray[np.uint32], accounts: object) -> None: ...
    def upsert(self, columns: object, threads: int) -> None: ...
    def version(self) -> int: ...
