"""Who is next: score every position, order each side, light the lights."""

from pathlib import Path

import deleverage as dl

HERE = Path(__file__).parent

ranked = dl.rank(
    HERE / "positions.csv",
    marks=HERE / "marks.csv",
    venue=dl.Venue.load("bitmex"),
)

# Rank 1 is the first to be cut; light 5 is next in line, 0 has no place in the queue.
for row in ranked.sort("side", "rank").iter_rows(named=True):
    place = f"rank {row['rank']}" if row["rank"] else row["reason"]
    print(f"{row['side']:5} {row['account']:5} light {row['light']} {place}")
