"""Tests of homeserver.protocol."""
