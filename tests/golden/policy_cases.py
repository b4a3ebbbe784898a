"""The strict reader of the golden cases about policies: who gives how much where nobody is ranked.

Each table of `policies.toml` asks one question; its cases state a published fact (`says`, `source`,
`date`, `evidence`), what goes in and what must come out, in whole units or as exact text.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

POLICIES = Path(__file__).parent / "policies.toml"
FACTS = {"id", "says", "source", "date", "evidence"}
FIELDS = {
    "index": {"scale", "open_interest", "closed", "scale_after"},
    "ratio": {"residual", "profit", "ratio"},
    "haircut": {"profits", "missing", "taken"},
    "payouts": {"owed", "collected", "paid"},
    "printed": {"shortfall", "step", "profits", "percent", "lost", "net"},
    "funding": {"venue", "loss", "long", "short", "held", "delta", "refused"},
    "deposit": {"loss", "deposits", "interest", "delta", "interest_after", "deposits_after"},
    "size": {"maker", "long", "short", "long_paid", "short_paid"},
    "rate": {"deposits", "loss", "rate", "withdrawn", "burned"},
    "factor": {
        *("bankruptcy", "insurance", "balance", "factor"),
        *("withdrawn", "to_fund", "to_user"),
    },
    "senior": {
        *("collateral", "without_position", "with_position", "rates"),
        *("margins", "holds", "paid"),
    },
    "pool": {
        *("balance", "entry", "price", "size", "closed", "limit", "least"),
        *("factor", "size_after"),
    },
    "paid": {"holdings", "is_single_token", "profits", "collateral", "limit", "out"},
    "token": {"holdings", "pnl", "limit", "supply", "prices"},
    "named": {"wait_seconds"},
    "ring": {"close", "liquidated", "candidates", "fills", "left", "usdc_after"},
}

Case = Mapping[str, Any]


@cache
def policy_cases(question: str) -> tuple[Case, ...]:
    """The cases of one question, each with what its question's cases share."""
    tables = tomllib.loads(POLICIES.read_text())
    assert set(tables) - {"shared"} == set(FIELDS)
    cases = tuple({**tables["shared"].get(question, {}), **case} for case in tables[question])
    for case in cases:
        assert FACTS <= set(case), f"{case.get('id')}: expected {sorted(FACTS)}"
        unknown = set(case) - FACTS - {"realised"} - FIELDS[question]
        assert not unknown, f"{case['id']}: expected only {sorted(FIELDS[question])}, got {unknown}"
    return cases
