"""Tests of homeserver.protocol.events."""
