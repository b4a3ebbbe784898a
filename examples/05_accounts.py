"""Cross accounts, delta-neutral accounts and contract terms; then what a trader can do about it."""

import deleverage as dl

# A cross position is judged on its account; an isolated one on its own margin.
POSITIONS = {
    "account": ["alice", "bob", "carol", "market-maker"],
    "market": ["BTC-PERP"] * 4,
    "side": ["short"] * 4,
    "qty": ["4000", "2500", "3000", "9000"],
    "entry_price": ["68000", "66000", "64500", "67000"],
    "margin_mode": ["cross", "isolated", "cross", "cross"],
    "margin": [None, "1650", None, None],
    "maintenance_margin": ["1360", "825", "967.5", "3015"],
}
ACCOUNTS = {
    "account": ["alice", "carol", "market-maker"],
    "asset": ["USDT"] * 3,
    "equity": ["42000", "20000", "500000"],
    "maintenance_margin": ["1360", "2400", "31000"],
}
MARKETS = {
    "market": ["BTC-PERP"],
    "kind": ["linear"],
    "underlier": ["BTC"],
    "contract_size": ["0.001"],  # BTC a contract; quantities are contracts
    "settle": ["USDT"],
}
NEUTRAL = {"account": ["market-maker"], "underlier": ["BTC"], "delta_neutral": [True]}
VENUE, MARKS = dl.Venue.load("bybit"), {"BTC-PERP": "61000"}
book = dl.prepare(
    POSITIONS, marks=MARKS, venue=VENUE, accounts=ACCOUNTS, markets=MARKETS, neutral=NEUTRAL
)
for row in dl.rank(book).sort("rank").iter_rows(named=True):
    print(f"{row['account']:12} tier {row['tier']} rank {row['rank']} light {row['light']}")
print(dl.what_if(book, account="bob", leverage="10"))
print(dl.check(book, account="alice", funding_rate="0.0012", thin_session=False))
