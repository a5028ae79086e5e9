"""The tests of hints."""
