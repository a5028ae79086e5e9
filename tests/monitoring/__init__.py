"""Tests of homeserver.monitoring."""
