"""Who is cut: a bankrupt long of 12.5 contracts is closed against the head of the short queue."""

from pathlib import Path

import deleverage as dl

HERE = Path(__file__).parent
VENUE = dl.Venue.load("bitmex")

# Prepared once, a snapshot answers any number of questions about the same moment.
snapshot = dl.prepare(HERE / "positions.csv", marks=HERE / "marks.csv", venue=VENUE)
plan = dl.plan(
    snapshot,
    market="BTC-PERP",
    bankrupt_side="long",
    qty="12.5",
    bankruptcy_price="61250",
    bankrupt_account="zed",
)

for fill in plan.fills.iter_rows(named=True):
    print(f"{fill['account']:6} closes {fill['qty_closed']} at {fill['price']}")
print("not covered:", plan.unfilled)
print("digest:", plan.digest)
print(plan.explain("carol"))
