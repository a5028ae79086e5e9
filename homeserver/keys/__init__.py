"""Other servers' keys."""
