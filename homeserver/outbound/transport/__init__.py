"""From a route to a verified connection."""
