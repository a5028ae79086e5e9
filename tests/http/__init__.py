"""Tests of homeserver.http."""
