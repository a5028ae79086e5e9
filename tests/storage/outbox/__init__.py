"""Tests of homeserver.storage.outbox."""
