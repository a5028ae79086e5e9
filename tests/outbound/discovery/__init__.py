"""Tests of homeserver.outbound.discovery."""
