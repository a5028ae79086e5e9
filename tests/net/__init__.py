"""Tests of homeserver.net."""
