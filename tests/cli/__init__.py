"""Tests of homeserver.cli."""
