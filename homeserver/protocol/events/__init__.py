"""An event and its room versions."""
