"""Tests of homeserver.keys."""
