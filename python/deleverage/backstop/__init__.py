"""What decides whether positions are cut by force, at what price, and what is booked."""
