"""Tests of homeserver.users."""
