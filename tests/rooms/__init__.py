"""Tests of homeserver.rooms."""
