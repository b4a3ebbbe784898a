"""A book kept between ticks: marks come in, and the head of the queue is printed as it changes."""

from deleverage import Book, Venue

POSITIONS = {
    "position_id": [11, 12, 13, 14, 15],
    "account": ["ann", "bob", "cat", "dan", "zed"],
    "market": ["BTC-PERP"] * 5,
    "side": ["short", "short", "short", "short", "long"],
    "qty": ["8", "4", "6", "2", "12.5"],
    "entry_price": ["71000", "64000", "68500", "60500", "66000"],
    "margin": ["56000", "20000", "90000", "12000", "59375"],
}
TICKS = ["61000", "60990", "60400", "57500", "57510", "63900", "66100"]

book = Book.from_frame(POSITIONS, marks={"BTC-PERP": "61000"}, venue=Venue.load("bitmex"))
names = dict(zip(POSITIONS["position_id"], POSITIONS["account"], strict=True))
shown = None
for mark in TICKS:
    book.set_marks({"BTC-PERP": mark})
    head = book.select("BTC-PERP", side="short", lots=12, is_ordered=True)
    queue = [names[number] for number in head.position_id.tolist()]
    if queue != shown:
        print(f"at {mark}: first to be cut {', '.join(queue)}; not covered {head.unfilled}")
        shown = queue
