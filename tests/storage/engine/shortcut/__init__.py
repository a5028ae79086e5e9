"""Tests of homeserver.storage.engine.shortcut, and of what it asks of SQLite."""
