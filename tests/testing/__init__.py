"""Tests of homeserver.testing."""
