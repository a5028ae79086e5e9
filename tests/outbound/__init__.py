"""Tests of homeserver.outbound."""
