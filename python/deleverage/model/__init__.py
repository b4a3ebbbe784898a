"""Records, units and frames: what every floor above speaks in."""
