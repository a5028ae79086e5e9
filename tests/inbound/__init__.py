"""Tests of homeserver.inbound."""
