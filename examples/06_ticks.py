"""A book kept between ticks: marks come in, and the head of the queue is printed as it changes."""

from deleverage import Book, Venue

ACCOUNTS = ["ann", "bob", "cat", "dan", "zed"]
POSITIONS = {
    "position_id": [0, 1, 2, 3, 4],
    "account": ACCOUNTS,
    "market": ["BTC-PERP"] * 5,
    "side": ["short", "short", "short", "short", "long"],
    "qty": ["8", "4", "6", "2", "12.5"],
    "entry_price": ["71000", "64000", "68500", "60500", "66000"],
    "margin": ["56000", "20000", "90000", "12000", "59375"],
}
TICKS = ["61000", "60990", "63500", "63900", "64100", "68400", "70900", "57500"]

book = Book.from_frame(POSITIONS, marks={"BTC-PERP": "61000"}, venue=Venue.load("bitmex"))
shown: list[str] = []
for mark in TICKS:
    book.set_marks({"BTC-PERP": mark})
    head = book.select("BTC-PERP", side="short", lots=120, is_ordered=True)
    queue = [ACCOUNTS[number] for number in head.position_id.tolist()]
    if queue != shown:
        print(f"at {mark} the first to be cut are {', '.join(queue)}; not covered {head.unfilled}")
        shown = queue
