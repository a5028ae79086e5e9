"""Tests of homeserver.metrics."""
