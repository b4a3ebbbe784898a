"""The laboratory: synthetic books, experiments on them, and the measurements."""
