"""An engine on a journal: marks fall, a long is liquidated, the queue is cut, the books close."""

import tempfile
from pathlib import Path

from deleverage.backstop.trigger import StopReading
from deleverage.engine import Choices, Engine, Frames
from deleverage.model.terms import Fee
from deleverage.venue import Venue

FRAMES = Frames(
    positions={
        "account": ["zed", "alice", "bob"],
        "market": ["ETH-PERP"] * 3,
        "side": ["long", "short", "short"],
        "qty": ["10", "4", "6"],
        "entry_price": ["2000", "2100", "1950"],
        "margin": ["1000", "400", "1800"],
    },
    marks={"ETH-PERP": "2000"},
    markets={"market": ["ETH-PERP"], "kind": ["linear"], "settle": ["USDT"], "lot_size": ["1"]}
    | {"price_unit": ["0.01"], "money_unit": ["0.000001"]},
)
CHOICES = Choices(stop=StopReading.CEASES, deleveraged=Fee.NONE, liquidated=Fee.NONE)

with tempfile.TemporaryDirectory() as folder, Engine.open(Path(folder) / "venue.journal") as engine:
    engine.load(
        FRAMES, Venue.load("bitmex"), pools=[{"name": "fund", "cash": "50"}], choices=CHOICES
    )
    engine.marks({"ETH-PERP": "1800"}, at=1)
    engine.liquidate("zed-1", "zed/ETH-PERP/long", fills=[("3", "1910")], at=2)
    plan = engine.plan("zed-1")
    engine.commit(plan)

    print(plan.frame().select("rank_in_queue", "account", "qty_closed", "qty_left"))
    print(plan.price.reason, engine.state.statuses["ETH-PERP"].state)
    print("books closed:", engine.trial_balance.is_closed, "receipt", engine.head.sequence)
