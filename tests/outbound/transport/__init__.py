"""Tests of homeserver.outbound.transport."""
