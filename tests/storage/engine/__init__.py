"""Tests of homeserver.storage.engine."""
