"""The local HTTP API for a person, a test suite, a monitor."""
