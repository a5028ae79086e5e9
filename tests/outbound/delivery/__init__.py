"""Tests of homeserver.outbound.delivery."""
