"""Tests of homeserver.identity."""
