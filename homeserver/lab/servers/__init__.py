"""The servers of a lab."""
