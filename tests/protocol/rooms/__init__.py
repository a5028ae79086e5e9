"""The tests of the rooms' rules."""
